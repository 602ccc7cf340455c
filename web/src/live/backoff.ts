const FLOOR_MS = 500;
const CEILING_MS = 30_000;
/** A connection that held this long was a good one: the next failure starts from the floor again. */
const STABLE_MS = 30_000;

/** When to try again: full jitter between the floor and a ceiling that doubles with each failure. */
export class Backoff {
  #failures = 0;
  #openedAt: number | null = null;

  constructor(
    private readonly now: () => number = Date.now,
    private readonly random: () => number = Math.random,
  ) {}

  opened(): void {
    this.#openedAt = this.now();
  }

  /** The wait after a failure or a lost connection. `asked` is the wait the server wished for. */
  next(asked: number | null = null): number {
    if (this.#openedAt !== null && this.now() - this.#openedAt >= STABLE_MS) this.#failures = 0;
    this.#openedAt = null;
    const ceiling = Math.min(CEILING_MS, FLOOR_MS * 2 ** (this.#failures + 1));
    this.#failures += 1;
    const jittered = FLOOR_MS + this.random() * (ceiling - FLOOR_MS);
    return Math.round(Math.max(asked ?? 0, jittered));
  }

  reset(): void {
    this.#failures = 0;
  }
}
