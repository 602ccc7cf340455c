/** Rows beyond this many leave the page at the far end. */
export const MOST = 200;
/** How many are drawn at first, and come with a step. */
export const STEP = 40;
/** How many come with a step while someone scrolls: as many as are drawn well within a frame. */
export const FEW = 8;

/**
 * The stretch of a long conversation that is drawn, by sequence number. `to: null` means it ends at
 * the newest message and moves with it.
 */
export interface Span {
  from: number;
  to: number | null;
}

interface Numbered {
  seq: number;
}

/** The newest messages. */
export function latest(messages: readonly Numbered[]): Span {
  return { from: messages.at(-STEP)?.seq ?? 0, to: null };
}

/** The messages around one place. */
export function near(messages: readonly Numbered[], seq: number): Span {
  const at = firstAtOrAfter(messages, seq);
  return bounds(messages, Math.max(0, at - STEP), Math.min(messages.length, at + STEP));
}

/** How many messages there are before a span. */
export function before(messages: readonly Numbered[], span: Span): number {
  return firstAtOrAfter(messages, span.from);
}

export function cut<M extends Numbered>(messages: readonly M[], span: Span): M[] {
  const start = firstAtOrAfter(messages, span.from);
  const end = span.to === null ? messages.length : firstAtOrAfter(messages, span.to + 1);
  return messages.slice(start, end);
}

/** A step of `by` towards the past, or the same span when nothing older is here. */
export function earlier(messages: readonly Numbered[], span: Span, by = STEP): Span {
  const start = firstAtOrAfter(messages, span.from);
  if (start === 0) return span;
  const from = Math.max(0, start - by);
  const end = span.to === null ? messages.length : firstAtOrAfter(messages, span.to + 1);
  return end - from > MOST ? bounds(messages, from, from + MOST) : bounds(messages, from, end);
}

/** A step of `by` towards the present, or the same span when it is there already. */
export function later(messages: readonly Numbered[], span: Span, by = STEP): Span {
  if (span.to === null) return span;
  const start = firstAtOrAfter(messages, span.from);
  const end = Math.min(messages.length, firstAtOrAfter(messages, span.to + 1) + by);
  return bounds(messages, Math.max(start, end - MOST), end);
}

/** The span while it follows the newest message, kept from growing without end. */
export function trimmed(messages: readonly Numbered[], span: Span): Span {
  const start = firstAtOrAfter(messages, span.from);
  return span.to === null && messages.length - start > MOST ? latest(messages) : span;
}

function bounds(messages: readonly Numbered[], start: number, end: number): Span {
  const to = end >= messages.length ? null : (messages[end - 1]?.seq ?? null);
  return { from: messages[start]?.seq ?? 0, to };
}

function firstAtOrAfter(messages: readonly Numbered[], seq: number): number {
  let low = 0;
  let high = messages.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((messages[middle]?.seq ?? Infinity) < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}
