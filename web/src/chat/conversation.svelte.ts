import {
  isActionTaken,
  isMessage,
  isMessageChange,
  type ActionTaken,
  type MessageChange,
  type PassingFrame,
} from "../api/frames";
import { reason, type Rest } from "../api/rest";
import type { ConversationSummary, DurableFrame, Message, Sender, WireError } from "../api/types";
import { Batch } from "../live/batch";
import type { Outbox } from "../live/outbox.svelte";
import type { Follower, Streams } from "../live/streams";
import { changed, Pages } from "./pages";
import { Past, type Stretch } from "./past.svelte";
import type { ReadMarks } from "./read_marks";
import { StreamedReplies, type StreamedReply } from "./streamed";
import { Threads } from "./threads";

const PAGE = 80;
const LAST_LINE_CHARACTERS = 120;
/** The replies that are being written follow right behind the log; by then they have come. */
const REPLIES_FOLLOW_MS = 1000;

/** What a conversation is made from. */
export interface Surroundings {
  user: string;
  rest: Rest;
  streams: Streams;
  outbox: Outbox;
  marks: ReadMarks;
  /** Hears of every message as it arrives, not of those that are read back. */
  arrived: (conversation: Conversation, message: Message) => void;
}

export interface LastLine {
  seq: number;
  sender: Sender;
  text: string;
  ts: string;
}

/**
 * One conversation: a gapless window of its log that ends at the newest event, and grows to the
 * past as someone scrolls up.
 */
export class Conversation implements Follower, Stretch {
  readonly id: string;
  readonly stream: string;
  botId = $state("");
  botName = $state("");
  avatar = $state<string | null>(null);
  messages = $state.raw<Message[]>([]);
  /** Which actions were taken, within the same window. */
  taken = $state.raw<ActionTaken[]>([]);
  /** Replies that are still being written; each becomes a message. */
  streamed = $state.raw<StreamedReply[]>([]);
  lastLine = $state.raw<LastLine | null>(null);
  activeAt = $state(0);
  /** The lowest `seq` of the window. */
  first = $state(1);
  /** The highest `seq` known of. */
  head = $state(0);
  /** The highest `seq` that was looked at. */
  readSeq = $state(0);
  /** Where the line goes that says "new": above the first message past this `seq`. */
  newAfter = $state<number | null>(null);
  status = $state<"active" | "closed">("active");
  /** True once the newest page is here. */
  loaded = $state(false);
  loadingOlder = $state(false);
  loadFault = $state<string | null>(null);
  /** A stretch further back that is looked at instead of the window. */
  past = $state.raw<Past | null>(null);
  /** The place of the log that someone wants to see, until the log shows it. */
  target = $state.raw<{ seq: number } | null>(null);
  /** What is looked at: the past someone went to, or the window. */
  readonly shown: Stretch = $derived(this.past ?? this);
  readonly threads = $derived(new Threads(this.past ? [...this.past.messages, ...this.messages] : this.messages));
  readonly hasOlder = $derived(this.first > 1);
  readonly unread = $derived(Math.max(0, this.head - this.readSeq));

  /** The highest `seq` of the window: everything from `first` to here is on the page. */
  #end: number;
  readonly #pages: Pages;
  readonly #arriving = new Batch<DurableFrame>((events) => this.#append(events));
  readonly #streaming = new StreamedReplies();
  #settling: ReturnType<typeof setTimeout> | undefined;
  readonly #growing = new Batch<true>(() => (this.streamed = this.#streaming.all));
  /** Counts restarts, so that a page asked for before one is not taken after it. */
  #generation = 0;

  constructor(
    summary: ConversationSummary,
    readonly around: Surroundings,
  ) {
    this.id = summary.session_id;
    this.stream = summary.stream;
    this.#pages = new Pages(summary.session_id, around.rest);
    this.#end = summary.head_seq;
    this.first = summary.head_seq + 1;
    this.head = summary.head_seq;
    // A conversation that was marked nowhere counts as read: its owner may have held it with a program.
    const marked = Math.max(around.marks.read(this.id) ?? 0, summary.read_seq ?? 0);
    this.readSeq = Math.min(marked > 0 ? marked : this.head, this.head);
    this.refresh(summary);
  }

  /** Takes what a newer listing says. */
  refresh(summary: ConversationSummary): void {
    this.botId = summary.bot_id;
    this.botName = summary.bot.display_name;
    this.avatar = summary.bot.avatar;
    this.status = summary.status;
    if (summary.last_message && summary.last_message.seq >= (this.lastLine?.seq ?? 0)) {
      this.lastLine = summary.last_message;
    }
    const active = Date.parse(this.lastLine?.ts ?? summary.updated_at ?? summary.created_at);
    this.activeAt = Math.max(this.activeAt, active);
    if (!this.around.streams.follows(this.stream)) this.noticed(summary.head_seq);
  }

  /** Follows the log from the end of the window on. */
  follow(): void {
    this.around.streams.follow(this.stream, this.#end, this);
  }

  /** Something was appended that this page did not receive. */
  noticed(head: number): void {
    if (head <= this.head) return;
    this.head = head;
    if (this.around.streams.follows(this.stream)) return;
    this.#end = head;
    this.first = head + 1;
  }

  /** Someone comes to read: marks where new messages begin, and brings the newest page, once. */
  async load(): Promise<void> {
    this.follow();
    this.newAfter = this.readSeq < this.head ? this.readSeq : null;
    if (this.loaded) return;
    await this.loadOlder();
  }

  async loadOlder(): Promise<void> {
    if (this.loadingOlder) return;
    if (!this.hasOlder) {
      this.loaded = true;
      return;
    }
    const generation = this.#generation;
    this.loadingOlder = true;
    this.loadFault = null;
    try {
      const page = await this.#pages.before(this.first, PAGE);
      if (generation !== this.#generation) return;
      const events = page.events.filter((event) => event.seq < this.first);
      this.first = page.has_more === false ? 1 : (events[0]?.seq ?? 1);
      const older = events.filter(isMessage);
      this.messages = [...older, ...this.messages];
      this.taken = [...events.filter(isActionTaken), ...this.taken];
      for (const event of events) this.#delivered(event);
      this.loaded = true;
    } catch (error) {
      if (generation === this.#generation) this.loadFault = reason(error);
    } finally {
      this.loadingOlder = false;
    }
  }

  /**
   * Shows a place of the log. What lies between it and the window is not fetched, unless one page
   * reaches the window.
   */
  async goTo(seq: number): Promise<void> {
    if (this.loaded && seq >= this.first) {
      this.past = null;
      this.target = { seq };
      return;
    }
    const page = await this.#pages.before(seq + PAGE / 2, PAGE);
    if (page.events.length === 0) return;
    this.#join(new Past(this.#pages, page.events, (past) => this.#join(past)));
    this.target = { seq };
  }

  /** Goes to what was said first on or after a moment; false when nothing was. */
  async goToDay(at: Date): Promise<boolean> {
    const [event] = (await this.around.rest.eventAt(this.id, at)).events;
    if (event) await this.goTo(event.seq);
    return event !== undefined;
  }

  /** Reads back until a message is here; false when it is in none of the log. */
  async find(message: string): Promise<boolean> {
    while (!this.threads.message(message) && this.hasOlder && !this.loadFault) await this.loadOlder();
    return this.threads.message(message) !== undefined;
  }

  /** Back from the past to what is said now. */
  leavePast(): void {
    this.past = null;
    this.target = null;
  }

  /** Puts another version of a message in the place of the one that is shown. */
  replace(id: string, change: (message: Message) => Message): void {
    const changed = (messages: Message[]): Message[] =>
      messages.map((message) => (message.message_id === id ? change(message) : message));
    this.messages = changed(this.messages);
    if (this.past) this.past.messages = changed(this.past.messages);
  }

  /** Says whether this place of the log is on the page. */
  holds(seq: number): boolean {
    return seq >= this.first && seq <= this.#end;
  }

  /** Everything up to the end has been looked at. */
  markRead(): void {
    if (this.readSeq >= this.head) return;
    this.#readTo(this.head);
  }

  /** Another tab looked at it. */
  readElsewhere(seq: number): void {
    this.readSeq = Math.max(this.readSeq, Math.min(seq, this.head));
  }

  event(event: DurableFrame): void {
    this.#arriving.push(event);
  }

  restart(first: number): void {
    this.#generation += 1;
    this.#arriving.clear();
    this.#pages.restart();
    this.messages = [];
    this.taken = [];
    this.past = null;
    this.first = first;
    this.#end = first - 1;
  }

  subscribed(head: number): void {
    this.head = Math.max(head, this.#end);
    this.readSeq = Math.min(this.readSeq, this.head);
  }

  passing(frame: PassingFrame): "gap" | undefined {
    const outcome = this.#streaming.take(frame);
    if (outcome === "grown") this.#growing.push(true);
    return outcome === "gap" ? "gap" : undefined;
  }

  asked(): void {
    clearTimeout(this.#settling);
    this.#streaming.asked();
  }

  caughtUp(): void {
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => {
      if (this.#streaming.answered()) this.#growing.push(true);
    }, REPLIES_FOLLOW_MS);
  }

  refused(error: WireError): void {
    this.loadFault = error.message;
  }

  #append(events: DurableFrame[]): void {
    this.#end = events.at(-1)?.seq ?? this.#end;
    this.head = Math.max(this.head, this.#end);
    for (const event of events) this.#delivered(event);
    const taken = events.filter(isActionTaken);
    if (taken.length > 0) this.taken = [...this.taken, ...taken];
    const arrived = events.filter(isMessage);
    for (const message of arrived) this.#mark(message);
    if (arrived.length > 0) this.messages = [...this.messages, ...arrived];
    // What was said and changed in one delivery is on the page by now.
    for (const event of events) if (isMessageChange(event)) this.#change(event);
    if (arrived.filter(({ message_id }) => this.#streaming.end(message_id)).length > 0) this.streamed = this.#streaming.all;
    const last = arrived.at(-1);
    if (!last) return;
    this.lastLine = lineOf(this.messages.at(-1) ?? last);
    this.activeAt = Math.max(this.activeAt, Date.parse(last.ts));
    for (const message of arrived) this.around.arrived(this, message);
  }

  #delivered(event: DurableFrame): void {
    if (isMessage(event) || isActionTaken(event)) this.around.outbox.delivered(event);
  }

  /** Looks at a stretch of the past, or takes it into the window when it reaches that. */
  #join(past: Past): void {
    const begins = this.first;
    if (past.end < begins - 1) {
      this.past = past;
      return;
    }
    // A page that was asked for before would be laid over this one.
    this.#generation += 1;
    this.messages = [...past.messages.filter(({ seq }) => seq < begins), ...this.messages];
    this.taken = [...past.taken.filter(({ seq }) => seq < begins), ...this.taken];
    this.first = Math.min(past.first, begins);
    this.loaded = true;
    this.past = null;
  }

  /** A replayed message already is as it is now; one on the page becomes so here, one on its way when it is here. */
  #change(change: MessageChange): void {
    this.#pages.heard(change);
    this.replace(change.message_id, (message) => {
      const now = changed(message, change);
      if (this.lastLine?.seq === now.seq) this.lastLine = lineOf(now);
      return now;
    });
    this.around.outbox.settled(change.message_id);
  }

  #readTo(seq: number): void {
    this.readSeq = seq;
    this.around.marks.mark(this.id, seq);
  }

  /** Own words say that all before was seen; other words in a hidden page are new to its reader. */
  #mark({ sender, seq }: Message): void {
    if (sender.kind === "user" && sender.id === this.around.user) {
      this.newAfter = null;
      if (seq > this.readSeq) this.#readTo(seq);
    } else if (this.newAfter === null && document.visibilityState === "hidden") this.newAfter = seq - 1;
  }
}

function lineOf(message: Message): LastLine {
  const { seq, sender, ts } = message;
  return { seq, sender, ts, text: message.content.slice(0, LAST_LINE_CHARACTERS) };
}
