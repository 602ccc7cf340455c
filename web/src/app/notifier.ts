import type { Conversation } from "../chat/conversation.svelte";
import type { Message, User } from "../api/types";
import { plain } from "../rail/plain";
import type { Notify } from "../ui/settings.svelte";

/** What is older when it arrives was caught up with, not missed: nobody is called for it. */
const FRESH_MS = 60_000;
const LONGEST_BODY = 160;

/** What a message is to the person at this page, as far as notices go. */
export function concerns(message: Message, me: User, mine: (message: string) => boolean, wish: Notify): boolean {
  const { sender } = message;
  if (wish === "off" || message.deleted_at || (sender.kind === "user" && sender.id === me.id)) return false;
  if (wish === "all") return true;
  const answers = typeof message.reply_to === "string" && mine(message.reply_to);
  return answers || waits(message) || mentions(message.content, me.name);
}

/** Says whether a message asks its reader for something: a form to fill in, a button to press. */
function waits(message: Message): boolean {
  return message.form?.state === "open" || (message.actions?.length ?? 0) > 0;
}

function mentions(content: string, name: string): boolean {
  const written = `@${name}`.toLowerCase();
  const at = content.toLowerCase().indexOf(written);
  return name !== "" && at >= 0 && !/[\p{L}\p{N}]/u.test(content[at + written.length] ?? "");
}

/** Calls for attention when the page is not looked at. */
export class Notifier {
  readonly #shown = new Map<string, Notification>();

  constructor(
    private readonly me: User,
    private readonly wish: () => Notify,
    private readonly open: (session: string) => void,
  ) {
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "hidden") return;
      for (const notification of this.#shown.values()) notification.close();
      this.#shown.clear();
    });
  }

  arrived(conversation: Conversation, message: Message): void {
    if (document.visibilityState !== "hidden" || !granted()) return;
    if (Date.now() - Date.parse(message.ts) > FRESH_MS) return;
    const mine = (id: string): boolean => {
      const sender = conversation.threads.message(id)?.sender;
      return sender?.kind === "user" && sender.id === this.me.id;
    };
    if (!concerns(message, this.me, mine, this.wish())) return;
    const body = plain(message.content).slice(0, LONGEST_BODY) || message.title || "";
    // One per conversation: the newest takes the place of the one before.
    const notification = new Notification(message.sender.name, {
      body,
      tag: `parlour/${conversation.id}`,
      icon: "/favicon.svg",
      silent: true,
    });
    this.#shown.set(conversation.id, notification);
    notification.onclick = () => {
      window.focus();
      this.open(conversation.id);
      notification.close();
    };
  }
}

export type Permission = NotificationPermission | "impossible";

/** Whether this browser lets the page call. Pages without HTTPS, other than on the same machine, may not. */
export function permission(): Permission {
  return "Notification" in window ? Notification.permission : "impossible";
}

/** Asks the person, which a browser allows only in answer to a click. */
export async function askPermission(): Promise<Permission> {
  return permission() === "default" ? await Notification.requestPermission() : permission();
}

function granted(): boolean {
  return permission() === "granted";
}
