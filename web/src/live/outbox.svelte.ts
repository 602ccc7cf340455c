import type { Ack, ClientFrame, Refusal } from "../api/frames";
import type { Message } from "../api/types";
import { newId } from "./id";

/** A message on its way to the log. */
export interface Outgoing {
  id: string;
  session_id: string;
  content: string;
  /** When it was written, in milliseconds. */
  at: number;
  state: "pending" | "sent" | "failed";
  reason?: string;
  /** Its place in the log, once acknowledged. */
  seq?: number;
}

const UNREADABLE_CLOSES = new Set([1009, 4400]);
const CONFLICT = "IDEMPOTENCY_CONFLICT";

/**
 * Messages that are not in the log yet. Each is stored before it is sent and forgotten only once
 * acknowledged, and is sent again under the same id until then, so neither a reload nor a lost
 * connection loses or doubles one.
 */
export class Outbox {
  entries = $state.raw<Outgoing[]>([]);

  #inFlight = new Set<string>();
  #limits: { max_frame: number; max_in_flight: number } | null = null;
  #held: ReturnType<typeof setTimeout> | undefined;
  readonly #prefix: string;

  /** `arrived` tells whether a place of a conversation's log is already on the page. */
  constructor(
    user: string,
    private readonly send: (frame: ClientFrame) => void,
    private readonly arrived: (session: string, seq: number) => boolean,
    private readonly storage: Storage,
  ) {
    this.#prefix = `parlour.${user}.unsent.`;
    this.entries = this.#restore();
  }

  of(session: string): Outgoing[] {
    return this.entries.filter((entry) => entry.session_id === session);
  }

  /** How many are still without an acknowledgement. */
  get unsent(): number {
    return this.entries.filter((entry) => entry.state !== "sent").length;
  }

  add(session: string, content: string): Outgoing {
    const entry: Outgoing = { id: newId(), session_id: session, content, at: Date.now(), state: "pending" };
    this.entries = [...this.entries, entry];
    this.#store(entry);
    this.#drain();
    return entry;
  }

  retry(id: string): void {
    this.#change(id, ({ reason: _, ...entry }) => ({ ...entry, state: "pending" }));
    this.#drain();
  }

  discard(id: string): void {
    this.entries = this.entries.filter((entry) => entry.id !== id);
    this.#forget(id);
  }

  hello(limits: { max_frame: number; max_in_flight: number }): void {
    this.#limits = limits;
    this.#inFlight.clear();
    this.#drain();
  }

  lost(code: number): void {
    this.#limits = null;
    clearTimeout(this.#held);
    this.#held = undefined;
    // The server closed over something it could not read. Sending that again would end the next
    // connection as well, so the oldest one in flight is put aside for the person to decide.
    const [first] = this.entries.filter((entry) => this.#inFlight.has(entry.id));
    if (first && UNREADABLE_CLOSES.has(code)) this.#fail(first.id, "The server could not read this message.");
    this.#inFlight.clear();
  }

  acked(ack: Ack): void {
    this.#inFlight.delete(ack.id);
    this.#forget(ack.id);
    if (this.arrived(ack.session_id, ack.seq)) {
      this.entries = this.entries.filter((entry) => entry.id !== ack.id);
    } else {
      this.#change(ack.id, (entry) => ({ ...entry, state: "sent", seq: ack.seq }), false);
    }
    this.#drain();
  }

  /** Takes a refusal; false when it is not about one of these messages. */
  refused(frame: Refusal): boolean {
    const entry = this.entries.find((candidate) => candidate.id === frame.id);
    if (!entry) return false;
    this.#inFlight.delete(entry.id);
    if (frame.retry_after_ms !== null && frame.retry_after_ms !== undefined) this.#hold(frame.retry_after_ms);
    else if (frame.error.code === CONFLICT) this.#renumber(entry);
    else this.#fail(entry.id, frame.error.message);
    this.#drain();
    return true;
  }

  /** The message is on the page, so its copy here has done its work. */
  delivered(message: Message): void {
    const entry = this.entries.find(
      ({ id, session_id, seq }) =>
        session_id === message.session_id && (id === message.client_id || seq === message.seq),
    );
    if (!entry) return;
    this.#inFlight.delete(entry.id);
    this.discard(entry.id);
  }

  #drain(): void {
    if (!this.#limits || this.#held !== undefined) return;
    for (const entry of this.entries) {
      if (this.#inFlight.size >= this.#limits.max_in_flight) return;
      if (entry.state !== "pending" || this.#inFlight.has(entry.id)) continue;
      const frame: ClientFrame = {
        type: "message",
        id: entry.id,
        session_id: entry.session_id,
        content: entry.content,
      };
      if (new TextEncoder().encode(JSON.stringify(frame)).length > this.#limits.max_frame) {
        this.#fail(entry.id, "This message is too long to send.");
        continue;
      }
      this.#inFlight.add(entry.id);
      this.send(frame);
    }
  }

  /** Sends nothing for a while, as the server asked. */
  #hold(wait: number): void {
    clearTimeout(this.#held);
    this.#held = setTimeout(() => {
      this.#held = undefined;
      this.#drain();
    }, wait);
  }

  /** The id belongs to another message: this one was never taken, and needs an id of its own. */
  #renumber(entry: Outgoing): void {
    const fresh = { ...entry, id: newId() };
    this.entries = this.entries.map((candidate) => (candidate.id === entry.id ? fresh : candidate));
    this.#forget(entry.id);
    this.#store(fresh);
  }

  #fail(id: string, reason: string): void {
    this.#change(id, (entry) => ({ ...entry, state: "failed", reason }));
  }

  #change(id: string, change: (entry: Outgoing) => Outgoing, keep = true): void {
    this.entries = this.entries.map((entry) => {
      if (entry.id !== id) return entry;
      const changed = change(entry);
      if (keep) this.#store(changed);
      return changed;
    });
  }

  #store(entry: Outgoing): void {
    try {
      this.storage.setItem(this.#prefix + entry.id, JSON.stringify(entry));
    } catch {
      // A full or closed storage costs the safety over a reload, not the message.
    }
  }

  #forget(id: string): void {
    this.storage.removeItem(this.#prefix + id);
  }

  #restore(): Outgoing[] {
    const entries: Outgoing[] = [];
    for (let i = 0; i < this.storage.length; i += 1) {
      const key = this.storage.key(i);
      if (!key?.startsWith(this.#prefix)) continue;
      try {
        entries.push(JSON.parse(this.storage.getItem(key) ?? "") as Outgoing);
      } catch {
        this.storage.removeItem(key);
      }
    }
    return entries.sort((a, b) => (a.id < b.id ? -1 : 1));
  }
}
