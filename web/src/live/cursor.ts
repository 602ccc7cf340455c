import type { Subscribed } from "../api/frames";

export type Verdict = "apply" | "drop" | "gap";

/**
 * How far one stream has been read. Sequence numbers have no gaps, so each event is the next one,
 * one already seen, or proof that some were missed.
 */
export class Cursor {
  epoch: string | undefined;

  constructor(
    public last: number,
    epoch?: string,
  ) {
    this.epoch = epoch;
  }

  judge(seq: number): Verdict {
    if (seq <= this.last) return "drop";
    return seq === this.last + 1 ? "apply" : "gap";
  }

  applied(seq: number): void {
    this.last = seq;
  }

  /**
   * Takes the server's answer to a subscription. `restart` means that what was read before does not
   * join on to the replay: another log, or more missed than is replayed.
   */
  subscribed(frame: Subscribed): "continue" | "restart" {
    this.epoch = frame.epoch;
    if (frame.recovered && !frame.limited) return "continue";
    this.last = frame.first_seq - 1;
    return "restart";
  }
}
