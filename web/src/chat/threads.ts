import type { Message } from "../api/types";

/** What a message's row says of the thread below it. */
export interface ThreadSummary {
  replies: number;
  /** When the last of them was said. */
  lastAt: number;
}

/**
 * Which messages of a stretch of the log are a thread.
 *
 * A thread begins when a person replies to a message: `reply_to` of what bots say names only what
 * they answer, and such an answer stands in the log where it was given. Within a thread it is the
 * other way round: what a bot answers to a reply belongs to the thread as the reply does. A reply to
 * a reply belongs to the thread of the first message, so threads are one level deep.
 *
 * A message whose `reply_to` lies outside of the stretch counts as a reply to that message itself.
 */
export class Threads {
  /** By id; made when somebody looks for one, since most stretches are only drawn. */
  #messages: Map<string, Message> | null = null;
  readonly #roots = new Map<string, string>();
  readonly #replies = new Map<string, Message[]>();

  /** `messages` in the order of the log. */
  constructor(private readonly stretch: readonly Message[]) {
    for (const message of stretch) {
      const root = this.#rootOf(message);
      if (root === null) continue;
      this.#roots.set(message.message_id, root);
      const replies = this.#replies.get(root);
      if (replies) replies.push(message);
      else this.#replies.set(root, [message]);
    }
  }

  message(id: string): Message | undefined {
    this.#messages ??= new Map(this.stretch.map((message) => [message.message_id, message]));
    return this.#messages.get(id);
  }

  /** The first message of the thread that a message stands in; `null` for what stands in the log itself. */
  root(message: Message): string | null {
    return this.#roots.get(message.message_id) ?? null;
  }

  /** What was said in a thread after its first message. */
  replies(root: string): readonly Message[] {
    return this.#replies.get(root) ?? [];
  }

  summary(root: string): ThreadSummary | null {
    const replies = this.#replies.get(root);
    const last = replies?.at(-1);
    return replies && last ? { replies: replies.length, lastAt: Date.parse(last.ts) } : null;
  }

  #rootOf({ sender, reply_to }: Message): string | null {
    if (!reply_to) return null;
    const thread = this.#roots.get(reply_to);
    if (sender.kind === "user") return thread ?? reply_to;
    return thread ?? null;
  }
}
