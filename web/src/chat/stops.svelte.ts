import { SvelteMap } from "svelte/reactivity";
import type { ClientFrame, Refusal } from "../api/frames";
import { newId } from "../live/id";
import type { StreamedReply } from "./streamed";

/** A wish to stop the run that writes a reply. */
export interface Stop {
  /** The id it was sent under. */
  id: string;
  session: string;
  invocation: string;
  /** Why it was refused; null while it is asked for, or granted and the last words are on their way. */
  fault: string | null;
  /** There is nothing left to stop; the last words are on their way. */
  over?: boolean;
}

/** The run had come to its end by itself: nothing to tell, its words follow. */
const ENDED = "RUN_ENDED";

/**
 * What someone asked to stop, by the message that the reply will be. It is asked again on every new connection until
 * that message is here; stopping twice does no harm.
 */
export class Stops {
  readonly #stops = new SvelteMap<string, Stop>();

  constructor(private readonly send: (frame: ClientFrame) => void) {}

  of(reply: StreamedReply): Stop | undefined {
    return this.#stops.get(reply.message_id);
  }

  /** Asks for the end of the run that writes this; does nothing when it was asked already, or no run is known. */
  ask(session: string, reply: StreamedReply): void {
    if (reply.invocation_id === null || this.of(reply)?.fault === null) return;
    const stop: Stop = { id: newId(), session, invocation: reply.invocation_id, fault: null };
    this.#stops.set(reply.message_id, stop);
    this.#tell(stop);
  }

  hello(): void {
    for (const stop of this.#stops.values()) if (stop.fault === null && !stop.over) this.#tell(stop);
  }

  /** Takes a refusal; false when it is about something else. */
  refused({ id, error }: Refusal): boolean {
    const found = [...this.#stops].find(([, stop]) => stop.id === id);
    if (!found) return false;
    const [message, stop] = found;
    this.#stops.set(message, error.code === ENDED ? { ...stop, over: true } : { ...stop, fault: error.message });
    return true;
  }

  /** The reply is whole: there is nothing more to stop. */
  ended(message: string): void {
    this.#stops.delete(message);
  }

  #tell({ id, session, invocation }: Stop): void {
    this.send({ type: "cancel", id, session_id: session, invocation_id: invocation });
  }
}
