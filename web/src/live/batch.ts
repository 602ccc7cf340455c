/** The shortest time between two deliveries. */
const PAUSE_MS = 25;

/**
 * Hands things on at once while they come singly, and together while they come in a stream, so that
 * a thousand events cost a few drawings of the page and not a thousand.
 */
export class Batch<T> {
  #waiting: T[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly deliver: (items: T[]) => void) {}

  push(item: T): void {
    this.#waiting.push(item);
    if (this.#timer === undefined) this.#deliver();
  }

  /** Forgets what has not been handed on. */
  clear(): void {
    this.#waiting = [];
  }

  #deliver = (): void => {
    this.#timer = undefined;
    if (this.#waiting.length === 0) return;
    const items = this.#waiting;
    this.#waiting = [];
    this.#timer = setTimeout(this.#deliver, PAUSE_MS);
    this.deliver(items);
  };
}
