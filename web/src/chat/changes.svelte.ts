import { SvelteMap } from "svelte/reactivity";
import { reason, type Rest } from "../api/rest";
import type { Message } from "../api/types";
import type { Conversation } from "./conversation.svelte";

/** Why a change of a message did not happen, and the words that were not taken. */
export interface ChangeFault {
  reason: string;
  /** The text of an edit; `null` when the message should have been taken back. */
  content: string | null;
}

/**
 * Edits and takes back one's own messages. The page shows the change at once; when the server
 * refuses it, the message is again what it was and says why.
 */
export class Changes {
  /** The message that is being edited, and the one that is asked about. */
  editing = $state<string | null>(null);
  removing = $state<string | null>(null);
  readonly faults = new SvelteMap<string, ChangeFault>();
  /** Texts that were typed and not taken, by message. */
  readonly #drafts = new Map<string, string>();

  constructor(
    private readonly conversation: Conversation,
    private readonly rest: Pick<Rest, "edit" | "takeBack">,
  ) {}

  edit(message: Message): void {
    this.removing = null;
    this.editing = message.message_id;
  }

  ask(message: Message): void {
    this.editing = null;
    this.removing = message.message_id;
  }

  leave(): void {
    this.editing = null;
    this.removing = null;
  }

  /** The text to edit: what was refused before, else what the message says. */
  draft(message: Message): string {
    return this.#drafts.get(message.message_id) ?? message.content;
  }

  async save(message: Message, content: string): Promise<void> {
    this.leave();
    this.faults.delete(message.message_id);
    if (content === message.content) return;
    this.#drafts.set(message.message_id, content);
    const edited = { ...message, content, edited_at: new Date().toISOString() };
    const done = await this.#try(message, edited, content, () => this.rest.edit(message.session_id, message.message_id, content));
    if (done) this.#drafts.delete(message.message_id);
  }

  async takeBack(message: Message): Promise<void> {
    this.leave();
    this.faults.delete(message.message_id);
    const gone = { ...message, content: "", deleted_at: new Date().toISOString() };
    await this.#try(message, gone, null, () => this.rest.takeBack(message.session_id, message.message_id));
  }

  dismiss(message: Message): void {
    this.faults.delete(message.message_id);
    this.#drafts.delete(message.message_id);
  }

  async #try(before: Message, after: Message, content: string | null, ask: () => Promise<void>): Promise<boolean> {
    this.conversation.replace(before.message_id, () => after);
    try {
      await ask();
      return true;
    } catch (error) {
      // Only if nothing newer came in between: what the log says then counts.
      this.conversation.replace(before.message_id, (now) => (now === after ? before : now));
      this.faults.set(before.message_id, { reason: reason(error), content });
      return false;
    }
  }
}
