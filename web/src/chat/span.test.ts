import { describe, expect, it } from "vitest";
import { cut, earlier, later, latest, MOST, near, STEP, trimmed, type Span } from "./span";

function log(count: number): { seq: number }[] {
  // Every third event of the log is not a message.
  return Array.from({ length: count }, (_, index) => ({ seq: index + Math.floor(index / 2) + 1 }));
}

describe("span", () => {
  it("begins with the newest messages and follows new ones", () => {
    const messages = log(500);
    const span = latest(messages);
    expect(cut(messages, span)).toEqual(messages.slice(-STEP));
    expect(cut([...messages, { seq: 5000 }], span).at(-1)).toEqual({ seq: 5000 });
  });

  it("walks to the first message and back, never drawing more than the most", () => {
    const messages = log(1000);
    let span = latest(messages);
    const steps: Span[] = [];
    for (let next = earlier(messages, span); next !== span; next = earlier(messages, span)) {
      span = next;
      steps.push(span);
      expect(cut(messages, span).length).toBeLessThanOrEqual(MOST);
    }
    expect(steps).toHaveLength(Math.ceil((1000 - STEP) / STEP));
    expect(cut(messages, span)[0]).toBe(messages[0]);
    while (span.to !== null) {
      span = later(messages, span);
      expect(cut(messages, span).length).toBeLessThanOrEqual(MOST);
    }
    expect(cut(messages, span).at(-1)).toBe(messages.at(-1));
  });

  it("moves one step at a time, so that what is read stays drawn", () => {
    const messages = log(1000);
    const before = latest(messages);
    const after = earlier(messages, before);
    expect(cut(messages, after)).toEqual(messages.slice(-2 * STEP));
  });

  it("goes on into older messages as they arrive, never drawing more than the most", () => {
    const all = log(1000);
    let known = all.slice(-STEP);
    let span = latest(known);
    while (known.length < all.length) {
      expect(earlier(known, span)).toBe(span);
      known = all.slice(-known.length - STEP);
      span = earlier(known, span);
      expect(cut(known, span)[0]).toBe(known[0]);
      expect(cut(known, span).length).toBeLessThanOrEqual(MOST);
    }
  });

  it("lets go of the oldest while it follows a busy conversation", () => {
    const messages = log(MOST + 1);
    const wide: Span = { from: 0, to: null };
    expect(cut(messages, trimmed(messages, wide)).length).toBe(STEP);
    expect(trimmed(log(MOST), wide)).toBe(wide);
  });

  it("has nothing to draw of an empty conversation", () => {
    expect(cut([], latest([]))).toEqual([]);
    expect(cut(log(3), latest([]))).toHaveLength(3);
  });

  it("shows a place in the middle of a long log with what stands around it", () => {
    const messages = log(500);
    const seq = messages[250]?.seq ?? 0;
    const shown = cut(messages, near(messages, seq));
    expect(shown).toEqual(messages.slice(250 - STEP, 250 + STEP));
    expect(near(messages, 1).from).toBe(1);
    expect(near(messages, messages.at(-1)?.seq ?? 0).to).toBeNull();
  });
});
