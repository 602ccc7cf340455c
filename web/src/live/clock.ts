let ahead = 0;

/** Takes the server's clock, in milliseconds, as it was just now. */
export function setServerTime(at: number, now: number = Date.now()): void {
  ahead = at - now;
}

/** What the server's clock shows, in milliseconds: people's own clocks may be wrong by hours. */
export function serverNow(now: number = Date.now()): number {
  return now + ahead;
}
