import { SvelteMap } from "svelte/reactivity";
import type { ClientFrame, Typing } from "../api/frames";
import type { Message, Sender } from "../api/types";

/** Who writes says so again this often; the server lets it count for a little longer. */
const AGAIN_MS = 4_000;

/** Within this time what one said oneself has come back. */
const ECHO_MS = 1_500;

/** Who is writing in which conversation, and saying so oneself. */
export class Writers {
  readonly #writing = new SvelteMap<string, SvelteMap<string, Sender>>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  /** When this page last said that its person is writing, by conversation. */
  readonly #told = new Map<string, number>();

  constructor(
    private readonly user: string,
    private readonly send: (frame: ClientFrame) => void,
    private readonly now: () => number = Date.now,
  ) {}

  /** Who is writing there, without this page's own writing. */
  in(session: string): Sender[] {
    return [...(this.#writing.get(session)?.values() ?? [])];
  }

  /** The person at this page is writing; the server hears of it now and then. */
  write(session: string): void {
    const told = this.#told.get(session) ?? -Infinity;
    if (this.now() - told < AGAIN_MS) return;
    this.#told.set(session, this.now());
    this.send({ type: "typing", session_id: session });
  }

  heard({ session_id, sender, active, ttl_ms }: Typing): void {
    // One's own word comes back as well; only from another device is it news.
    if (sender.id === this.user && this.now() - (this.#told.get(session_id) ?? -Infinity) < ECHO_MS) return;
    const key = `${session_id}/${sender.id}`;
    clearTimeout(this.#timers.get(key));
    if (!active) return this.#stopped(session_id, sender.id);
    const there = this.#writing.get(session_id) ?? new SvelteMap<string, Sender>();
    there.set(sender.id, sender);
    this.#writing.set(session_id, there);
    this.#timers.set(key, setTimeout(() => this.#stopped(session_id, sender.id), ttl_ms));
  }

  /** Who has said something is not writing it any more. */
  said({ session_id, sender }: Message): void {
    this.#stopped(session_id, sender.id);
  }

  #stopped(session: string, sender: string): void {
    clearTimeout(this.#timers.get(`${session}/${sender}`));
    this.#timers.delete(`${session}/${sender}`);
    this.#writing.get(session)?.delete(sender);
  }
}

/** "Ann is writing…", "Ann and Bob are writing…", "Several people are writing…"; empty for nobody. */
export function writingWords(writers: readonly Sender[], me: string): string {
  const names = writers.map(({ id, name }) => (id === me ? "You" : name));
  const [first, second] = names;
  if (first === undefined) return "";
  if (names.length > 2) return "Several people are writing…";
  if (second !== undefined) return `${first} and ${second} are writing…`;
  return first === "You" ? "You are writing on another device…" : `${first} is writing…`;
}
