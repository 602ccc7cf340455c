import { describe, expect, it } from "vitest";
import type { Subscribed } from "../api/frames";
import { Cursor } from "./cursor";

function answer(change: Partial<Subscribed>): Subscribed {
  return {
    type: "subscribed",
    id: "s1",
    stream: "conv:a",
    epoch: "e1",
    recovered: true,
    head: 9,
    first_seq: 6,
    limited: false,
    ...change,
  };
}

describe("Cursor", () => {
  it("drops what was seen, applies the next, and sees a gap", () => {
    const cursor = new Cursor(5);
    expect(cursor.judge(5)).toBe("drop");
    expect(cursor.judge(6)).toBe("apply");
    expect(cursor.judge(7)).toBe("gap");
    cursor.applied(6);
    expect(cursor.judge(7)).toBe("apply");
  });

  it("goes on where it was when everything missed is replayed", () => {
    const cursor = new Cursor(5, "e1");
    expect(cursor.subscribed(answer({}))).toBe("continue");
    expect(cursor.last).toBe(5);
  });

  it("starts again in another log, and remembers that log", () => {
    const cursor = new Cursor(50, "e0");
    expect(cursor.subscribed(answer({ recovered: false, epoch: "e2", first_seq: 1 }))).toBe("restart");
    expect(cursor).toMatchObject({ last: 0, epoch: "e2" });
  });

  it("starts at the first replayed event when more was missed", () => {
    const cursor = new Cursor(1);
    expect(cursor.subscribed(answer({ limited: true, first_seq: 400 }))).toBe("restart");
    expect(cursor.judge(400)).toBe("apply");
  });
});
