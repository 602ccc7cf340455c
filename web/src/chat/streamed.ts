import type { Chunk, PartialMessage, PassingFrame } from "../api/frames";
import type { Sender } from "../api/types";

/** A reply that is still being written. */
export interface StreamedReply {
  message_id: string;
  /** The run that writes it; null while it is not known. */
  invocation_id: string | null;
  sender: Sender;
  content: string;
  /** How many characters `content` has, counted as the server does: by code points. */
  length: number;
  /** When this page saw it first, in milliseconds. */
  at: number;
}

/**
 * Puts replies together that arrive piece by piece. Pieces say where they belong, so one that is
 * missing shows, and one that came twice adds nothing. None of them is in the log: the whole
 * message, once written, ends its reply here.
 */
export class StreamedReplies {
  #replies = new Map<string, StreamedReply>();
  /** Which ones the server spoke of since it was last asked. */
  #heardOf = new Set<string>();
  /** Which ones were asked for because a piece was missing, and which of them did not come: asking again brings no more. */
  #asking = new Set<string>();
  #givenUp = new Set<string>();
  /** Which ones are whole: a piece that comes late is none of theirs. */
  #ended = new Set<string>();

  constructor(private readonly now: () => number = Date.now) {}

  /** All of them, the oldest first. */
  get all(): StreamedReply[] {
    return [...this.#replies.values()];
  }

  /** Takes a piece. "gap" says that something before it is missing, and leaves all as it was. */
  take(frame: PassingFrame): "grown" | "same" | "gap" {
    const id = frame.message_id;
    if (this.#ended.has(id)) return "same";
    if (frame.type === "message_dropped") return this.end(id) ? "grown" : "same";
    const outcome = frame.type === "chunk" ? this.#chunk(frame) : this.#partial(frame);
    if (outcome !== "gap") {
      this.#heardOf.add(id);
      this.#asking.delete(id);
      return outcome;
    }
    if (this.#givenUp.has(id) || this.#asking.has(id)) return "same";
    this.#asking.add(id);
    return "gap";
  }

  /** The whole message is in the log, or there will be none; says whether it was streamed. */
  end(message: string): boolean {
    const streamed = this.#replies.delete(message);
    if (streamed) this.#ended.add(message);
    return streamed;
  }

  /** The server was asked anew, and speaks of every reply that is still being written. */
  asked(): void {
    this.#heardOf.clear();
  }

  /** It has spoken: what it did not name will not go on. Says whether anything was forgotten. */
  answered(): boolean {
    const before = this.#replies.size;
    for (const id of this.#replies.keys()) if (!this.#heardOf.has(id)) this.#replies.delete(id);
    for (const id of this.#asking) this.#givenUp.add(id);
    this.#asking.clear();
    return this.#replies.size !== before;
  }

  clear(): void {
    this.#replies.clear();
  }

  #chunk({ message_id, sender, offset, delta }: Chunk): "grown" | "same" | "gap" {
    const known = this.#replies.get(message_id);
    const length = known?.length ?? 0;
    if (offset > length) return "gap";
    const fresh = [...delta].slice(length - offset);
    if (fresh.length === 0) return "same";
    this.#replies.set(message_id, {
      message_id,
      invocation_id: known?.invocation_id ?? null,
      sender,
      content: (known?.content ?? "") + fresh.join(""),
      length: length + fresh.length,
      at: known?.at ?? this.now(),
    });
    return "grown";
  }

  #partial({ message_id, invocation_id, sender, content }: PartialMessage): "grown" | "same" {
    // It may say less than is here: another process took over and began anew.
    const known = this.#replies.get(message_id);
    if (known?.content === content && known.invocation_id === invocation_id) return "same";
    const [length, at] = [[...content].length, known?.at ?? this.now()];
    this.#replies.set(message_id, { message_id, invocation_id, sender, content, length, at });
    return "grown";
  }
}
