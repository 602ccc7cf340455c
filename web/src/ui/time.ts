const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const exactDay = new Intl.DateTimeFormat(undefined, { dateStyle: "full" });
const weekday = new Intl.DateTimeFormat("en", { weekday: "long" });
const date = new Intl.DateTimeFormat("en", { day: "numeric", month: "long" });
const dateWithYear = new Intl.DateTimeFormat("en", { day: "numeric", month: "long", year: "numeric" });
const shortDate = new Intl.DateTimeFormat("en", { day: "numeric", month: "short" });

const DAY_MS = 86_400_000;

/** 09:12 */
export function time(at: number): string {
  return clock.format(at);
}

/** The full date and time, for the tooltip. */
export function moment(at: number): string {
  return exact.format(at);
}

/** The full date, for the tooltip of a day. */
export function fullDay(at: number): string {
  return exactDay.format(at);
}

/** The day as fields for dates hold it: 2026-03-05, in the person's own time. */
export function localDate(at: number): string {
  const date = new Date(at);
  return [date.getFullYear(), date.getMonth() + 1, date.getDate()].map((part) => String(part).padStart(2, "0")).join("-");
}

/** "Today", "Yesterday", "Monday", "3 March", "3 March 2024" */
export function day(at: number, now: number = Date.now()): string {
  const days = daysAgo(at, now);
  if (days <= 0) return "Today";
  if (days === 1) return "Yesterday";
  if (days < 7) return weekday.format(at);
  return new Date(at).getFullYear() === new Date(now).getFullYear() ? date.format(at) : dateWithYear.format(at);
}

/** The shortest way to say when, for a narrow column. */
export function ago(at: number, now: number = Date.now()): string {
  const days = daysAgo(at, now);
  if (days <= 0) return time(at);
  if (days === 1) return "Yesterday";
  return days < 7 ? weekday.format(at).slice(0, 3) : shortDate.format(at);
}

function daysAgo(at: number, now: number): number {
  return Math.round((midnight(now) - midnight(at)) / DAY_MS);
}

function midnight(at: number): number {
  return new Date(at).setHours(0, 0, 0, 0);
}
