import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ClientFrame } from "../api/frames";
import type { Message, Sender } from "../api/types";
import { Writers, writingWords } from "./typing.svelte";

const ANN: Sender = { kind: "user", id: "ann", name: "Ann" };
const ME: Sender = { kind: "user", id: "me", name: "Me" };

function typing(sender: Sender): Parameters<Writers["heard"]>[0] {
  return { type: "typing", session_id: "s", sender, active: true, ttl_ms: 6000 };
}

describe("Writers", () => {
  let sent: ClientFrame[];
  let writers: Writers;

  beforeEach(() => {
    vi.useFakeTimers();
    sent = [];
    writers = new Writers("me", (frame) => sent.push(frame));
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  it("says that one is writing now and then, not at every key", () => {
    for (let key = 0; key < 50; key += 1) {
      writers.write("s");
      vi.advanceTimersByTime(100);
    }
    expect(sent).toHaveLength(2);
  });

  it("shows others until they stop, or have said it", () => {
    writers.heard(typing(ANN));
    expect(writers.in("s")).toEqual([ANN]);
    vi.advanceTimersByTime(5000);
    writers.heard(typing(ANN));
    vi.advanceTimersByTime(5000);
    expect(writers.in("s")).toEqual([ANN]);
    vi.advanceTimersByTime(1000);
    expect(writers.in("s")).toEqual([]);
    writers.heard(typing(ANN));
    writers.said({ session_id: "s", sender: ANN } as Message);
    expect(writers.in("s")).toEqual([]);
    expect(writers.in("other")).toEqual([]);
  });

  it("does not take one's own word for somebody else's, except from another device", () => {
    writers.write("s");
    writers.heard(typing(ME));
    expect(writers.in("s")).toEqual([]);
    vi.advanceTimersByTime(10_000);
    writers.heard(typing(ME));
    expect(writers.in("s")).toEqual([ME]);
  });

  it("is told in words", () => {
    const bob = { ...ANN, id: "bob", name: "Bob" };
    expect(writingWords([], "me")).toBe("");
    expect(writingWords([ANN], "me")).toBe("Ann is writing…");
    expect(writingWords([ANN, bob], "me")).toBe("Ann and Bob are writing…");
    expect(writingWords([ANN, bob, ME], "me")).toBe("Several people are writing…");
    expect(writingWords([ME], "me")).toBe("You are writing on another device…");
  });
});
