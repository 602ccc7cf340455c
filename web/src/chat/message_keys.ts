import type { Message } from "../api/types";
import { typing } from "../ui/keys";

/** What the keys do to the message that has the focus. */
export interface MessageKeys {
  message: (seq: number) => Message | undefined;
  mine: (message: Message) => boolean;
  edit: (message: Message) => void;
  remove: (message: Message) => void;
  reply: (message: Message) => void;
  /** Stops the reply that is being written and will be this message. */
  stop: (message: string) => void;
  leave: () => void;
}

/**
 * The keys of a log of messages. The arrows walk from message to message, the newest first when the
 * log itself has the focus; E edits, Delete takes back, R replies, S stops what is being written, Escape leaves.
 */
export function messageKeys(log: HTMLElement, keys: MessageKeys): () => void {
  function items(): HTMLElement[] {
    return [...log.querySelectorAll<HTMLElement>("[data-seqs]")];
  }

  function walk(event: KeyboardEvent, row: HTMLElement | null): boolean {
    const all = items();
    if (!row) {
      // From the log itself only upwards, to the last message that can be seen.
      const bottom = log.getBoundingClientRect().bottom;
      const last = all.findLast((item) => item.getBoundingClientRect().top < bottom - 24);
      if (event.key !== "ArrowUp" || !last) return false;
      last.focus({ preventScroll: true });
      return true;
    }
    const next = all[all.indexOf(row) + (event.key === "ArrowUp" ? -1 : 1)];
    if (!next) return false;
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
    return true;
  }

  function act(key: string, message: Message): boolean {
    if (key === "r") keys.reply(message);
    else if (!keys.mine(message)) return false;
    else if (key === "e") keys.edit(message);
    else if (key === "Delete" || key === "Backspace") keys.remove(message);
    else return false;
    return true;
  }

  function handle(event: KeyboardEvent, target: HTMLElement): boolean {
    const row = target.closest<HTMLElement>("[data-seqs]");
    if (event.key === "ArrowUp" || event.key === "ArrowDown") return (target === log || target === row) && walk(event, row);
    if (event.key === "Escape" && row) {
      keys.leave();
      return true;
    }
    // A thread's line stands for several messages, and has a button for the thread.
    if (!row || target !== row) return false;
    const { streamed } = row.dataset;
    if (streamed !== undefined && event.key.toLowerCase() === "s") {
      keys.stop(streamed);
      return true;
    }
    const message = keys.message(Number(row.dataset["seqs"]));
    return message !== undefined && act(event.key.length === 1 ? event.key.toLowerCase() : event.key, message);
  }

  function key(event: KeyboardEvent): void {
    const { target } = event;
    if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    if (!(target instanceof HTMLElement) || typing(target)) return;
    if (handle(event, target)) event.preventDefault();
  }

  log.addEventListener("keydown", key);
  return () => log.removeEventListener("keydown", key);
}
