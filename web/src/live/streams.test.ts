import { beforeEach, describe, expect, it } from "vitest";
import type { ClientFrame, ServerFrame } from "../api/frames";
import { Streams, type Follower } from "./streams";

class Recorder implements Follower {
  seqs: number[] = [];
  restarts: number[] = [];
  refusal: string | null = null;

  event(event: { seq: number }): void {
    this.seqs.push(event.seq);
  }

  restart(first: number): void {
    this.restarts.push(first);
    this.seqs = [];
  }

  refused(error: { message: string }): void {
    this.refusal = error.message;
  }
}

function event(seq: number, stream = "conv:a"): ServerFrame {
  return { type: "event", event: { type: "message", stream, seq } };
}

describe("Streams", () => {
  let sent: ClientFrame[];
  let streams: Streams;
  let follower: Recorder;

  beforeEach(() => {
    sent = [];
    streams = new Streams((frame) => sent.push(frame));
    follower = new Recorder();
  });

  function subscribe(after: number): Extract<ClientFrame, { type: "subscribe" }> {
    const frame = sent.findLast((candidate) => candidate.type === "subscribe");
    if (frame?.type !== "subscribe") throw new Error("nothing was subscribed");
    expect(frame.after).toBe(after);
    return frame;
  }

  function answer(after: number, change: object = {}): void {
    const { id, stream } = subscribe(after);
    streams.frame({
      type: "subscribed",
      id,
      stream,
      epoch: "e1",
      recovered: true,
      head: 10,
      first_seq: after + 1,
      limited: false,
      ...change,
    });
  }

  it("subscribes once connected, and again from where it was after each loss", () => {
    streams.follow("conv:a", 3, follower);
    expect(sent).toEqual([]);
    streams.hello();
    answer(3);
    streams.frame(event(4));
    streams.lost();
    streams.hello();
    expect(subscribe(4).epoch).toBe("e1");
  });

  it("applies each event once and in order, whatever arrives", () => {
    streams.hello();
    streams.follow("conv:a", 0, follower);
    answer(0);
    for (const seq of [1, 2, 2, 1, 3]) streams.frame(event(seq));
    expect(follower.seqs).toEqual([1, 2, 3]);
  });

  it("asks again on a gap, once, and takes nothing until the answer", () => {
    streams.hello();
    streams.follow("conv:a", 0, follower);
    answer(0);
    streams.frame(event(1));
    streams.frame(event(5));
    streams.frame(event(6));
    expect(sent.filter((frame) => frame.type === "subscribe")).toHaveLength(2);
    answer(1);
    for (const seq of [2, 3, 4, 5, 6]) streams.frame(event(seq));
    expect(follower.seqs).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it("counts events of kinds it does not know", () => {
    streams.hello();
    streams.follow("conv:a", 0, follower);
    answer(0);
    streams.frame({ type: "event", event: { type: "of_a_later_version", stream: "conv:a", seq: 1 } });
    streams.frame(event(2));
    expect(follower.seqs).toEqual([1, 2]);
  });

  it("tells the follower to start again when the log is another one", () => {
    streams.hello();
    streams.follow("conv:a", 7, follower);
    answer(7, { recovered: false, first_seq: 1, epoch: "e2" });
    streams.frame(event(1));
    expect(follower).toMatchObject({ restarts: [1], seqs: [1] });
  });

  it("ignores the answer to a request that was overtaken", () => {
    streams.hello();
    streams.follow("conv:a", 2, follower);
    const stale = subscribe(2);
    streams.lost();
    streams.hello();
    streams.frame({
      type: "subscribed",
      id: stale.id,
      stream: "conv:a",
      epoch: "old",
      recovered: false,
      head: 0,
      first_seq: 1,
      limited: false,
    });
    expect(follower.restarts).toEqual([]);
  });

  it("asks again, once, when a piece of a reply is missing, and tells when all has come", () => {
    const calls: string[] = [];
    streams.hello();
    streams.follow("conv:a", 0, {
      event: () => undefined,
      restart: () => undefined,
      passing: ({ message_id }) => (message_id === "m2" ? "gap" : undefined),
      asked: () => calls.push("asked"),
      caughtUp: () => calls.push("caught up"),
    });
    answer(0);
    const place = { stream: "conv:a", session_id: "a", sender: { kind: "bot", id: "b", name: "B" } } as const;
    for (const message_id of ["m1", "m2", "m2"]) streams.frame({ type: "chunk", ...place, message_id, offset: 9, delta: "x" });
    expect(sent.filter((frame) => frame.type === "subscribe")).toHaveLength(2);
    streams.frame({ type: "caught_up", stream: "conv:a", seq: 0 });
    expect(calls).toEqual(["asked", "asked"]);
    answer(0);
    streams.frame({ type: "caught_up", stream: "conv:a", seq: 0 });
    expect(calls).toEqual(["asked", "asked", "caught up"]);
  });

  it("stops following what is refused", () => {
    streams.hello();
    streams.follow("conv:a", 0, follower);
    const refusal = { code: "NOT_FOUND", message: "There is no such conversation." };
    const { id } = subscribe(0);
    expect(streams.frame({ type: "error", id, error: refusal, retry_after_ms: null })).toBe(true);
    expect(follower.refusal).toBe(refusal.message);
    expect(streams.follows("conv:a")).toBe(false);
    expect(streams.frame({ type: "error", id: "other", error: refusal, retry_after_ms: null })).toBe(false);
  });

  it("unsubscribes from what is not followed any more", () => {
    streams.hello();
    streams.follow("conv:a", 0, follower);
    streams.unfollow("conv:a");
    expect(sent.at(-1)).toEqual({ type: "unsubscribe", stream: "conv:a" });
  });
});
