import { isSessionUpdate } from "../api/frames";
import { RequestError, reason } from "../api/rest";
import type { ConversationSummary, DurableFrame, Message } from "../api/types";
import type { Follower } from "../live/streams";
import { Conversation, type Surroundings } from "./conversation.svelte";

/** How many of the newest conversations are followed while another one is open. */
const FOLLOWED = 20;
/** How many pages of the list a deep link may cost before the log itself is asked. */
const SEARCHED_PAGES = 4;

/** The caller's open conversations, kept current by the stream of that user. */
export class Conversations implements Follower {
  all = $state.raw<Conversation[]>([]);
  /** True once the list was answered for the first time. */
  listed = $state(false);
  fault = $state<string | null>(null);
  #next: string | null = null;
  #refreshing: Promise<void> | null = null;
  #again = false;

  constructor(private readonly around: Surroundings) {}

  get unread(): number {
    return this.all.reduce((sum, conversation) => sum + conversation.unread, 0);
  }

  find(id: string): Conversation | undefined {
    return this.all.find((conversation) => conversation.id === id);
  }

  holds(session: string, seq: number): boolean {
    return this.find(session)?.holds(seq) ?? false;
  }

  /** Reads the list anew; calls during a reading cost one more, not one each. */
  refresh(): Promise<void> {
    if (this.#refreshing) {
      this.#again = true;
      return this.#refreshing;
    }
    this.#refreshing = this.#read().finally(() => {
      this.#refreshing = null;
      if (this.#again) {
        this.#again = false;
        void this.refresh();
      }
    });
    return this.#refreshing;
  }

  /** Starts a conversation with a bot. */
  async open(bot: string): Promise<Conversation> {
    return this.#take(await this.around.rest.open(bot));
  }

  async close(conversation: Conversation): Promise<void> {
    await this.around.rest.close(conversation.id);
    this.#remove(conversation.id);
  }

  /** The conversation of a link, also when it is too old for the first page of the list. */
  async locate(id: string): Promise<Conversation> {
    if (!this.listed) await this.refresh();
    for (let page = 0; page < SEARCHED_PAGES && !this.find(id) && this.#next; page += 1) await this.more();
    return this.find(id) ?? (await this.#fromLog(id));
  }

  get hasMore(): boolean {
    return this.#next !== null;
  }

  async more(): Promise<void> {
    if (!this.#next) return;
    const page = await this.around.rest.conversations(this.#next);
    this.#next = page.next;
    for (const summary of page.sessions) this.#take(summary);
  }

  noticed(session: string, head: number): void {
    const conversation = this.find(session);
    // What is followed arrives by itself.
    if (conversation && this.around.streams.follows(conversation.stream)) return;
    conversation?.noticed(head);
    void this.refresh();
  }

  readElsewhere(session: string, seq: number): void {
    this.find(session)?.readElsewhere(seq);
  }

  event(event: DurableFrame): void {
    if (!isSessionUpdate(event)) return;
    if (event.data.status === "closed") this.#remove(event.session_id);
    else if (!this.find(event.session_id)) void this.refresh();
  }

  restart(): void {
    // The user's stream only announces; the list itself is read when the subscription stands.
  }

  subscribed(): void {
    void this.refresh();
  }

  async #read(): Promise<void> {
    try {
      const page = await this.around.rest.conversations();
      const listed = new Set(page.sessions.map((summary) => summary.session_id));
      for (const summary of page.sessions) this.#take(summary);
      // What the first page covers but does not name has been closed since.
      const covered = page.next === null ? 0 : Math.min(...page.sessions.map(activity));
      for (const conversation of this.all) {
        if (!listed.has(conversation.id) && conversation.activeAt > covered) this.#remove(conversation.id);
      }
      if (!this.listed) this.#next = page.next;
      this.listed = true;
      this.fault = null;
      const newest = this.all.toSorted((a, b) => b.activeAt - a.activeAt);
      for (const conversation of newest.slice(0, FOLLOWED)) conversation.follow();
    } catch (error) {
      this.fault = reason(error);
    }
  }

  #take(summary: ConversationSummary): Conversation {
    const known = this.find(summary.session_id);
    if (known) {
      known.refresh(summary);
      return known;
    }
    const conversation = new Conversation(summary, this.around);
    this.all = [...this.all, conversation];
    return conversation;
  }

  #remove(id: string): void {
    const conversation = this.find(id);
    if (!conversation) return;
    conversation.status = "closed";
    this.all = this.all.filter((candidate) => candidate.id !== id);
    this.around.streams.unfollow(conversation.stream);
    this.around.marks.forget(id);
  }

  /** A conversation the list does not name (closed ones are not in it) is read from its log. */
  async #fromLog(id: string): Promise<Conversation> {
    const { stream, head, events } = await this.around.rest.head(id);
    const last = head > 0 ? (await this.around.rest.eventsBefore(id, head + 1, 20)).events : events;
    const bot = last.find((event): event is Message => isBotMessage(event))?.sender;
    return new Conversation(
      {
        session_id: id,
        bot_id: bot?.id ?? "",
        bot: { display_name: bot?.name ?? "Conversation", avatar: null },
        status: "closed",
        stream,
        head_seq: head,
        created_at: new Date(0).toISOString(),
      },
      this.around,
    );
  }
}

function activity(summary: ConversationSummary): number {
  return Date.parse(summary.last_message?.ts ?? summary.updated_at ?? summary.created_at);
}

function isBotMessage(event: DurableFrame): boolean {
  return event.type === "message" && (event as Message).sender.kind === "bot";
}

/** Says whether a link led nowhere, as opposed to a server that could not answer. */
export function notFound(error: unknown): boolean {
  return error instanceof RequestError && (error.status === 404 || error.status === 403);
}

