import type { Rest } from "../api/rest";
import type { Completion, Slot, Understood } from "../api/types";
import { choices, type Choice } from "./choices";

/** An answer that takes longer is not waited for when more is typed. */
const PATIENCE_MS = 500;
const MOST_OFFERED = 8;
/** A text that begins with `/` asks what there is. */
const MOST_LISTED = 50;

/**
 * What the composer offers for the text it holds, asked from the server's matcher: at once, and one question at a
 * time, so that a burst of typing costs the server no more than it can answer.
 */
export class Completer {
  rows = $state.raw<Choice[]>([]);
  understood = $state.raw<Understood | null>(null);
  /** The slot that comes next, of the first completion. */
  slot = $state.raw<Slot | null>(null);
  /** The highlighted row, or -1 for none. */
  active = $state(-1);
  readonly open = $derived(this.rows.length > 0);
  /** The row that Tab takes: the highlighted one, else the first that changes something. */
  readonly ready = $derived(this.active >= 0 ? this.rows[this.active] : this.rows.find((row) => row.changes));
  /** True while the answer for the text as it stands is not here. */
  waiting = $state(false);

  #text = "";
  #request: AbortController | null = null;
  #askedAt = 0;
  /** Asks for the text as it stands, once the question before is answered. */
  #next: (() => void) | null = null;
  /** Tab was pressed before the answer came: take its first row when it does. */
  #acceptFirst: ((insert: string) => void) | null = null;

  constructor(private readonly rest: Pick<Rest, "complete">) {}

  /** The text has changed. */
  offer(bot: string, text: string): void {
    this.#text = text;
    this.active = -1;
    this.#acceptFirst = null;
    if (text.trim() === "") {
      this.close();
      return;
    }
    if (Date.now() - this.#askedAt > PATIENCE_MS) this.#abandon();
    this.waiting = true;
    const ask = (): void => void this.#ask(bot, text);
    if (this.#request) this.#next = ask;
    else ask();
  }

  /** Moves the highlight; one step past either end leaves none. */
  move(step: 1 | -1): void {
    const count = this.rows.length;
    if (count === 0) return;
    this.active = ((this.active + 1 + step + (count + 1)) % (count + 1)) - 1;
  }

  /**
   * Gives the row that is ready to `take`, now or as soon as it is known. False when there is none
   * that changes anything.
   */
  accept(take: (insert: string) => void): boolean {
    if (this.waiting) {
      this.#acceptFirst = take;
      return true;
    }
    const row = this.ready;
    if (!row?.changes) return false;
    take(row.insert);
    return true;
  }

  close(): void {
    this.#abandon();
    this.#acceptFirst = null;
    this.rows = [];
    this.understood = null;
    this.slot = null;
    this.active = -1;
  }

  #abandon(): void {
    this.#request?.abort();
    this.#request = null;
    this.#next = null;
    this.waiting = false;
  }

  async #ask(bot: string, text: string): Promise<void> {
    const request = new AbortController();
    this.#request = request;
    this.#askedAt = Date.now();
    try {
      const listing = text.startsWith("/");
      const wanted = listing ? text.slice(1).trimStart() : text;
      const answer = await this.rest.complete(bot, wanted, listing ? MOST_LISTED : MOST_OFFERED, request.signal);
      if (request.signal.aborted || this.#text !== text) return;
      this.#answer(choices(wanted, answer.completions), listing ? null : answer.understood, answer.completions);
    } catch {
      // Completion is help, not a condition: without it the text is sent as it stands.
      if (!request.signal.aborted && this.#text === text) this.close();
    } finally {
      if (this.#request === request) {
        const next = this.#next;
        this.#request = this.#next = null;
        next?.();
      }
    }
  }

  #answer(rows: Choice[], understood: Understood | null, completions: Completion[]): void {
    this.waiting = false;
    this.rows = rows;
    this.understood = understood;
    this.slot = completions[0]?.slot ?? null;
    const accept = this.#acceptFirst;
    this.#acceptFirst = null;
    if (accept) this.accept(accept);
  }
}
