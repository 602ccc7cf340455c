import { isMessage, type MessageChange } from "../api/frames";
import type { Rest } from "../api/rest";
import type { EventPage, Message } from "../api/types";

/** The message as a change leaves it, at the same place of the log. */
export function changed(message: Message, { content, edited_at, deleted_at, post }: MessageChange): Message {
  const { type, stream, seq } = message;
  if (post) return { ...post, type, stream, seq };
  return { ...message, content: content ?? "", edited_at: edited_at ?? null, deleted_at: deleted_at ?? null };
}

/**
 * Pages of one conversation's log. A page holds its messages as they were when the server read it; changes that
 * overtake it on the live connection are made up for here, since nobody tells of them again.
 */
export class Pages {
  #asked = 0;
  /** The latest change of each message, while a page is on its way. */
  readonly #overtaking = new Map<string, MessageChange>();

  constructor(
    private readonly session: string,
    private readonly rest: Pick<Rest, "eventsBefore" | "eventsAfter">,
  ) {}

  /** The newest `limit` events below `before`, oldest first. */
  before(before: number, limit: number): Promise<EventPage> {
    return this.#ask(this.rest.eventsBefore(this.session, before, limit));
  }

  /** The first `limit` events past `after`, oldest first. */
  after(after: number, limit: number): Promise<EventPage> {
    return this.#ask(this.rest.eventsAfter(this.session, after, limit));
  }

  /** A message was changed just now. */
  heard(change: MessageChange): void {
    if (this.#asked > 0) this.#overtaking.set(change.message_id, change);
  }

  /** The log is another one: what was heard of the old one says nothing. */
  restart(): void {
    this.#overtaking.clear();
  }

  async #ask(asking: Promise<EventPage>): Promise<EventPage> {
    this.#asked += 1;
    try {
      const page = await asking;
      return { ...page, events: page.events.map((event) => (isMessage(event) ? this.#now(event) : event)) };
    } finally {
      this.#asked -= 1;
      if (this.#asked === 0) this.#overtaking.clear();
    }
  }

  #now(message: Message): Message {
    const change = this.#overtaking.get(message.message_id);
    return change ? changed(message, change) : message;
  }
}
