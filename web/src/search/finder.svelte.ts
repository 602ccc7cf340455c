import { reason, type Rest } from "../api/rest";
import type { Hit } from "../api/types";

const DEBOUNCE_MS = 150;
/** One letter is in every message. */
const SHORTEST = 2;

/** Looks for messages as someone types, in all conversations or in one. */
export class Finder {
  hits = $state.raw<Hit[]>([]);
  /** The query the hits are for. */
  asked = $state("");
  waiting = $state(false);
  fault = $state<string | null>(null);
  #next = $state.raw<string | null>(null);
  readonly hasMore = $derived(this.#next !== null);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #request: AbortController | null = null;

  constructor(
    private readonly rest: Pick<Rest, "search">,
    private readonly limit: number,
    private readonly session?: string,
  ) {}

  look(query: string): void {
    clearTimeout(this.#timer);
    this.#request?.abort();
    this.fault = null;
    const wanted = query.trim();
    this.waiting = wanted.length >= SHORTEST;
    if (this.waiting) this.#timer = setTimeout(() => void this.#ask(wanted), DEBOUNCE_MS);
    else this.#take("", [], null);
  }

  async more(): Promise<void> {
    if (this.#next !== null && !this.waiting) await this.#ask(this.asked, this.#next);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#request?.abort();
  }

  async #ask(query: string, before?: string): Promise<void> {
    const request = new AbortController();
    this.#request = request;
    this.waiting = true;
    try {
      const page = await this.rest.search(query, this.limit, request.signal, this.session, before);
      if (request.signal.aborted) return;
      this.#take(query, before === undefined ? page.results : [...this.hits, ...page.results], page.next);
    } catch (error) {
      if (request.signal.aborted) return;
      this.fault = reason(error);
      this.#take(query, [], null);
    }
  }

  #take(query: string, hits: Hit[], next: string | null): void {
    this.asked = query;
    this.hits = hits;
    this.#next = next;
    this.waiting = false;
  }
}
