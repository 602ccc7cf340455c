/** What comes within this time counts as coming in a stream, after the first few. */
const PAUSE_MS = 25;
/** A message, its acknowledgement and the reply come together, and none of them waits. */
const AT_ONCE = 4;

/**
 * Hands things on at once while they come singly, and together while they come in a stream, so that
 * a thousand events cost a few drawings of the page and not a thousand.
 */
export class Batch<T> {
  #waiting: T[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** How often it was handed on since the pause began. */
  #delivered = 0;

  constructor(private readonly deliver: (items: T[]) => void) {}

  push(item: T): void {
    this.#waiting.push(item);
    if (this.#delivered < AT_ONCE) this.#deliver();
  }

  /** Forgets what has not been handed on. */
  clear(): void {
    this.#waiting = [];
  }

  #deliver(): void {
    const items = this.#waiting;
    this.#waiting = [];
    this.#delivered += 1;
    this.#timer ??= setTimeout(this.#paused, PAUSE_MS);
    this.deliver(items);
  }

  #paused = (): void => {
    this.#timer = undefined;
    // What had to wait goes together, and what follows it in the next pause as well.
    this.#delivered = this.#waiting.length > 0 ? AT_ONCE - 1 : 0;
    if (this.#waiting.length > 0) this.#deliver();
  };
}
