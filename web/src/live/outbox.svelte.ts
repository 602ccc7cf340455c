import type { Ack, ClientFrame, Refusal } from "../api/frames";
import type { ActionValue, FileInfo } from "../api/action";
import type { WireError } from "../api/types";
import { newId } from "./id";

/** Something on its way to the log. */
interface Queued {
  id: string;
  session_id: string;
  /** When it was written, in milliseconds. */
  at: number;
  state: "pending" | "sent" | "failed";
  reason?: string;
  /** What the server said when it refused it. */
  error?: WireError;
  /** Its place in the log, once acknowledged. */
  seq?: number;
}

/** A message on its way. */
export interface Outgoing extends Queued {
  content: string;
  /** The message this one replies to in a thread. */
  reply_to?: string;
  /** Files that were uploaded for it. */
  attachments?: FileInfo[];
}

/** What a message may carry beside its text. */
export type Extras = Pick<Outgoing, "reply_to" | "attachments">;

/** An action of a message on its way. */
export interface Taking extends Queued {
  message_id: string;
  action_id: string;
  value: ActionValue;
  /** Holds something that must not be stored: it is lost with the page, and nothing worse. */
  secret?: boolean;
}

/** The place of something in a log, and the id it was sent under. */
interface Arrived {
  session_id: string;
  seq: number;
  client_id?: string | null;
}

const UNREADABLE_CLOSES = new Set([1009, 4400]);
const CONFLICT = "IDEMPOTENCY_CONFLICT";

/**
 * Messages and actions that are not in the log yet. Each is stored before it is sent and forgotten only once
 * acknowledged, and is sent again under the same id until then, so neither a reload nor a lost
 * connection loses or doubles one.
 */
export class Outbox {
  entries = $state.raw<(Outgoing | Taking)[]>([]);

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

  /** The messages on their way to a conversation. */
  of(session: string): Outgoing[] {
    return this.entries.filter(isWritten).filter((entry) => entry.session_id === session);
  }

  /** The actions of a message that are on their way. */
  taking(message: string): Taking[] {
    return this.entries.filter(isTaking).filter((entry) => entry.message_id === message);
  }

  /** How many are still without an acknowledgement. */
  get unsent(): number {
    return this.entries.filter((entry) => entry.state !== "sent").length;
  }

  add(session: string, content: string, extras: Extras = {}): Outgoing {
    return this.#queue({ id: newId(), session_id: session, content, ...extras, at: Date.now(), state: "pending" });
  }

  /** Takes an action of a message, in place of an attempt of the same that failed. */
  take(session: string, message: string, action: string, value: ActionValue, secret = false): Taking {
    for (const { id, action_id, state } of this.taking(message)) {
      if (action_id === action && state === "failed") this.discard(id);
    }
    return this.#queue({
      id: newId(),
      session_id: session,
      message_id: message,
      action_id: action,
      value,
      at: Date.now(),
      state: "pending",
      ...(secret ? { secret } : {}),
    });
  }

  #queue<E extends Outgoing | Taking>(entry: E): E {
    this.entries = [...this.entries, entry];
    this.#store(entry);
    this.#drain();
    return entry;
  }

  retry(id: string): void {
    this.#change(id, ({ reason: _, error: __, ...entry }) => ({ ...entry, state: "pending" }));
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
    if (first && UNREADABLE_CLOSES.has(code)) this.#fail(first.id, "The server could not read this.");
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
    else this.#fail(entry.id, frame.error.message, frame.error);
    this.#drain();
    return true;
  }

  /** It is on the page, so its copy here has done its work. */
  delivered(message: Arrived): void {
    const entry = this.entries.find(
      ({ id, session_id, seq }) =>
        session_id === message.session_id && (id === message.client_id || seq === message.seq),
    );
    if (!entry) return;
    this.#inFlight.delete(entry.id);
    this.discard(entry.id);
  }

  /** A message is another one now: why its actions were refused before says nothing any more. */
  settled(message: string): void {
    for (const { id, state } of this.taking(message)) if (state === "failed") this.discard(id);
  }

  #drain(): void {
    if (!this.#limits || this.#held !== undefined) return;
    for (const entry of this.entries) {
      if (this.#inFlight.size >= this.#limits.max_in_flight) return;
      if (entry.state !== "pending" || this.#inFlight.has(entry.id)) continue;
      const frame = frameOf(entry);
      if (new TextEncoder().encode(JSON.stringify(frame)).length > this.#limits.max_frame) {
        this.#fail(entry.id, "This is too long to send.");
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
  #renumber(entry: Outgoing | Taking): void {
    const fresh = { ...entry, id: newId() };
    this.entries = this.entries.map((candidate) => (candidate.id === entry.id ? fresh : candidate));
    this.#forget(entry.id);
    this.#store(fresh);
  }

  #fail(id: string, reason: string, error?: WireError): void {
    this.#change(id, (entry) => ({ ...entry, state: "failed", reason, ...(error ? { error } : {}) }));
  }

  #change(id: string, change: (entry: Outgoing | Taking) => Outgoing | Taking, keep = true): void {
    this.entries = this.entries.map((entry) => {
      if (entry.id !== id) return entry;
      const changed = change(entry);
      if (keep) this.#store(changed);
      return changed;
    });
  }

  #store(entry: Outgoing | Taking): void {
    if (isTaking(entry) && entry.secret) return;
    try {
      this.storage.setItem(this.#prefix + entry.id, JSON.stringify(entry));
    } catch {
      // A full or closed storage costs the safety over a reload, not the message.
    }
  }

  #forget(id: string): void {
    this.storage.removeItem(this.#prefix + id);
  }

  #restore(): (Outgoing | Taking)[] {
    const entries: (Outgoing | Taking)[] = [];
    for (let i = 0; i < this.storage.length; i += 1) {
      const key = this.storage.key(i);
      if (!key?.startsWith(this.#prefix)) continue;
      try {
        entries.push(JSON.parse(this.storage.getItem(key) ?? "") as Outgoing | Taking);
      } catch {
        this.storage.removeItem(key);
      }
    }
    return entries.sort((a, b) => (a.id < b.id ? -1 : 1));
  }
}

function isTaking(entry: Outgoing | Taking): entry is Taking {
  return "action_id" in entry;
}

function isWritten(entry: Outgoing | Taking): entry is Outgoing {
  return !isTaking(entry);
}

function frameOf(entry: Outgoing | Taking): ClientFrame {
  const { id, session_id } = entry;
  if (!isTaking(entry)) {
    return {
      type: "message",
      id,
      session_id,
      content: entry.content,
      ...(entry.reply_to ? { reply_to: entry.reply_to } : {}),
      ...(entry.attachments?.length ? { attachments: entry.attachments.map((file) => file.id) } : {}),
    };
  }
  return { type: "action", id, session_id, message_id: entry.message_id, action_id: entry.action_id, value: entry.value };
}
