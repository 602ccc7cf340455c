/**
 * Keeps a connection below the server's limit of frames per second: `burst` at once, then `rate`
 * each second.
 */
export class Pace {
  #left: number;
  #at: number;

  constructor(
    private readonly burst = 30,
    private readonly rate = 16,
    private readonly now: () => number = Date.now,
  ) {
    this.#left = burst;
    this.#at = now();
  }

  /** Takes one frame's worth: 0 when it may go now, else the milliseconds until one may. */
  take(): number {
    const now = this.now();
    this.#left = Math.min(this.burst, this.#left + ((now - this.#at) / 1000) * this.rate);
    this.#at = now;
    if (this.#left >= 1) {
      this.#left -= 1;
      return 0;
    }
    return Math.ceil(((1 - this.#left) / this.rate) * 1000);
  }
}
