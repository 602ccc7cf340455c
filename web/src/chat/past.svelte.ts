import { isActionTaken, isMessage, type ActionTaken } from "../api/frames";
import { reason } from "../api/rest";
import type { DurableFrame, EventPage, Message } from "../api/types";
import type { Pages } from "./pages";

const PAGE = 80;

/** A gapless stretch of a conversation's log, as the page of messages draws it. */
export interface Stretch {
  readonly messages: Message[];
  /** Which actions were taken, within the same stretch. */
  readonly taken: ActionTaken[];
  readonly hasOlder: boolean;
  readonly loadingOlder: boolean;
  readonly loadFault: string | null;
  loadOlder(): Promise<void>;
}

/**
 * A stretch of the log that someone went to and that does not reach the newest event. It grows both
 * ways, until it touches the stretch that does.
 */
export class Past implements Stretch {
  messages = $state.raw<Message[]>([]);
  taken = $state.raw<ActionTaken[]>([]);
  first = $state(1);
  /** The highest `seq` of the stretch. */
  end: number;
  loadingOlder = $state(false);
  loadFault = $state<string | null>(null);
  readonly hasOlder = $derived(this.first > 1);
  #loadingLater = false;

  /** `events` are some of the log without a gap, oldest first, at least one. */
  constructor(
    private readonly pages: Pages,
    events: DurableFrame[],
    private readonly grown: (past: Past) => void,
  ) {
    this.messages = events.filter(isMessage);
    this.taken = events.filter(isActionTaken);
    this.first = events[0]?.seq ?? 1;
    this.end = events.at(-1)?.seq ?? 0;
  }

  async loadOlder(): Promise<void> {
    if (this.loadingOlder || !this.hasOlder) return;
    this.loadingOlder = true;
    const page = await this.#page(() => this.pages.before(this.first, PAGE));
    this.loadingOlder = false;
    if (!page) return;
    this.first = page.events[0]?.seq ?? 1;
    this.messages = [...page.events.filter(isMessage), ...this.messages];
    this.taken = [...page.events.filter(isActionTaken), ...this.taken];
  }

  async loadLater(): Promise<void> {
    if (this.#loadingLater) return;
    this.#loadingLater = true;
    const page = await this.#page(() => this.pages.after(this.end, PAGE));
    this.#loadingLater = false;
    if (!page) return;
    this.end = page.events.at(-1)?.seq ?? this.end;
    this.messages = [...this.messages, ...page.events.filter(isMessage)];
    this.taken = [...this.taken, ...page.events.filter(isActionTaken)];
    this.grown(this);
  }

  async #page(ask: () => Promise<EventPage>): Promise<EventPage | null> {
    this.loadFault = null;
    try {
      return await ask();
    } catch (error) {
      this.loadFault = reason(error);
      return null;
    }
  }
}
