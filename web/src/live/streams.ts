import type { ClientFrame, PassingFrame, ServerFrame, Subscribed, Want } from "../api/frames";
import type { DurableFrame, WireError } from "../api/types";
import { Cursor } from "./cursor";

export interface Follower {
  /** The next event of the stream, in order, each exactly once. */
  event(event: DurableFrame): void;
  /** What was read before does not join on: the stream starts again at `first`. */
  restart(first: number): void;
  /** The subscription stands; `head` is the last event the server holds. */
  subscribed?(head: number): void;
  /** Something that is not in the log; "gap" when something before it was missed. */
  passing?(frame: PassingFrame): "gap" | undefined;
  /** A subscription was asked for; everything the server knows up to now follows. */
  asked?(): void;
  /** All of that has arrived. */
  caughtUp?(): void;
  /** The stream is not there, or not ours. */
  refused?(error: WireError): void;
}

/** What passes by and is wanted, of conversations only. */
const WANTED: Want[] = ["typing", "presence"];

interface Subscription {
  cursor: Cursor;
  follower: Follower;
  limit: number;
  /** The id of the request whose answer is awaited; until then nothing can be judged. */
  asked: string | null;
}

/** The streams this page follows over one connection, each by the client's rule on `seq`. */
export class Streams {
  readonly #following = new Map<string, Subscription>();
  #asked = 0;
  #connected = false;

  constructor(private readonly send: (frame: ClientFrame) => void) {}

  follows(stream: string): boolean {
    return this.#following.has(stream);
  }

  follow(stream: string, after: number, follower: Follower, limit = 500, epoch?: string): void {
    if (this.#following.has(stream)) return;
    const subscription = { cursor: new Cursor(after, epoch), follower, limit, asked: null };
    this.#following.set(stream, subscription);
    if (this.#connected) this.#subscribe(stream, subscription);
  }

  unfollow(stream: string): void {
    if (this.#following.delete(stream) && this.#connected) this.send({ type: "unsubscribe", stream });
  }

  /** A fresh connection: every stream goes on from where it was. */
  hello(): void {
    this.#connected = true;
    for (const [stream, subscription] of this.#following) this.#subscribe(stream, subscription);
  }

  lost(): void {
    this.#connected = false;
    for (const subscription of this.#following.values()) subscription.asked = null;
  }

  /** Takes a frame that concerns streams; false when it is none of these. */
  frame(frame: ServerFrame): boolean {
    switch (frame.type) {
      case "subscribed":
        this.#subscribed(frame);
        return true;
      case "event":
        this.#event(frame.event);
        return true;
      case "error":
        return frame.id !== null && this.#refused(frame.id, frame.error);
      case "chunk":
      case "message_partial":
      case "message_dropped":
        this.#passing(frame);
        return true;
      case "caught_up":
        this.#caughtUp(frame.stream);
        return true;
      default:
        return false;
    }
  }

  #subscribe(stream: string, subscription: Subscription): void {
    this.#asked += 1;
    const id = `s${this.#asked}`;
    subscription.asked = id;
    subscription.follower.asked?.();
    const { last, epoch } = subscription.cursor;
    this.send({
      type: "subscribe",
      id,
      stream,
      after: last,
      limit: subscription.limit,
      ...(epoch ? { epoch } : {}),
      ...(stream.startsWith("conv:") ? { want: WANTED } : {}),
    });
  }

  #subscribed(frame: Subscribed): void {
    const subscription = this.#following.get(frame.stream);
    if (!subscription || subscription.asked !== frame.id) return;
    subscription.asked = null;
    if (subscription.cursor.subscribed(frame) === "restart") subscription.follower.restart(frame.first_seq);
    subscription.follower.subscribed?.(frame.head);
  }

  #event(event: DurableFrame): void {
    const subscription = this.#following.get(event.stream);
    if (!subscription || subscription.asked !== null) return;
    const verdict = subscription.cursor.judge(event.seq);
    if (verdict === "gap") {
      this.#subscribe(event.stream, subscription);
    } else if (verdict === "apply") {
      subscription.cursor.applied(event.seq);
      subscription.follower.event(event);
    }
  }

  /** What was missed of a reply comes whole with the next subscription, which none is needed for twice. */
  #passing(frame: PassingFrame): void {
    const subscription = this.#following.get(frame.stream);
    const verdict = subscription?.follower.passing?.(frame);
    if (subscription && verdict === "gap" && subscription.asked === null) this.#subscribe(frame.stream, subscription);
  }

  #caughtUp(stream: string): void {
    const subscription = this.#following.get(stream);
    if (subscription?.asked === null) subscription.follower.caughtUp?.();
  }

  #refused(id: string, error: WireError): boolean {
    for (const [stream, subscription] of this.#following) {
      if (subscription.asked !== id) continue;
      this.#following.delete(stream);
      subscription.follower.refused?.(error);
      return true;
    }
    return false;
  }
}
