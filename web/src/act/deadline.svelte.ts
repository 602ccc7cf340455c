import { serverNow } from "../live/clock";

/** The longest wait a browser's timer takes. */
const LONGEST_MS = 2 ** 31 - 1;

/** Tells a component when a time (RFC 3339, by the server's clock) has passed. */
export class Deadline {
  /** The server's time when it was last looked at; moves when the deadline passes. */
  now = $state(serverNow());

  constructor(until: () => string | null | undefined) {
    $effect(() => {
      const at = Date.parse(until() ?? "");
      const left = at - serverNow();
      if (!(left > 0)) return;
      const timer = setTimeout(() => (this.now = serverNow()), Math.min(left + 50, LONGEST_MS));
      return () => clearTimeout(timer);
    });
  }
}
