import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ClientFrame } from "../api/frames";
import { Outbox } from "./outbox.svelte";

const LIMITS = { max_frame: 4096, max_in_flight: 2 };

describe("Outbox", () => {
  let sent: ClientFrame[];
  let shown: Set<number>;

  beforeEach(() => {
    vi.useFakeTimers();
    localStorage.clear();
    sent = [];
    shown = new Set();
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  function outbox(): Outbox {
    return new Outbox("u1", (frame) => sent.push(frame), (_, seq) => shown.has(seq), localStorage);
  }

  function contents(): string[] {
    return sent.flatMap((frame) => (frame.type === "message" ? [frame.content ?? ""] : []));
  }

  function ack(box: Outbox, id: string, seq: number): void {
    box.acked({ type: "ack", id, session_id: "s1", message_id: `m${seq}`, seq, duplicate: false });
  }

  function refuse(box: Outbox, id: string, code: string, wait: number | null = null): boolean {
    return box.refused({ type: "error", id, error: { code, message: "No." }, retry_after_ms: wait });
  }

  it("keeps messages over a reload and sends them again in order under the same ids", () => {
    const before = outbox();
    const ids = ["one", "two", "three"].map((text) => before.add("s1", text).id);
    expect(sent).toEqual([]);

    const after = outbox();
    after.hello({ ...LIMITS, max_in_flight: 32 });
    expect(contents()).toEqual(["one", "two", "three"]);
    expect(sent.map((frame) => "id" in frame && frame.id)).toEqual(ids);
  });

  it("sends unacknowledged ones again after a loss, and forgets acknowledged ones", () => {
    const box = outbox();
    box.hello(LIMITS);
    const first = box.add("s1", "one");
    box.add("s1", "two");
    ack(box, first.id, 1);
    box.lost(1006);
    sent = [];
    box.hello(LIMITS);
    expect(contents()).toEqual(["two"]);
    expect(outbox().of("s1").map((entry) => entry.content)).toEqual(["two"]);
  });

  it("has no more in flight than the server allows", () => {
    const box = outbox();
    box.hello(LIMITS);
    const [first] = ["one", "two", "three"].map((text) => box.add("s1", text));
    expect(contents()).toEqual(["one", "two"]);
    ack(box, first?.id ?? "", 1);
    expect(contents()).toEqual(["one", "two", "three"]);
  });

  it("shows a message as sent from its ack until the log brings it", () => {
    const box = outbox();
    box.hello(LIMITS);
    const { id } = box.add("s1", "one");
    ack(box, id, 4);
    expect(box.of("s1")).toMatchObject([{ state: "sent", seq: 4 }]);
    expect(box.unsent).toBe(0);
    box.delivered({ session_id: "s1", seq: 4 });
    expect(box.entries).toEqual([]);
  });

  it("shows nothing twice when the log was quicker than the ack", () => {
    const box = outbox();
    box.hello(LIMITS);
    const { id } = box.add("s1", "one");
    shown.add(1);
    ack(box, id, 1);
    expect(box.entries).toEqual([]);
  });

  it("takes its own client id in the log for an ack that was lost", () => {
    const box = outbox();
    box.hello(LIMITS);
    const { id } = box.add("s1", "one");
    box.lost(1006);
    box.delivered({ session_id: "s1", seq: 1, client_id: id });
    sent = [];
    box.hello(LIMITS);
    expect(sent).toEqual([]);
  });

  it("says why a message was refused, and sends it again under the same id when asked to", () => {
    const box = outbox();
    box.hello(LIMITS);
    const { id } = box.add("s1", "one");
    expect(refuse(box, id, "FORBIDDEN")).toBe(true);
    expect(box.entries).toMatchObject([{ state: "failed", reason: "No." }]);
    expect(outbox().entries).toMatchObject([{ state: "failed" }]);
    sent = [];
    box.retry(id);
    expect(sent).toMatchObject([{ type: "message", id, content: "one" }]);
    expect(box.entries[0]).not.toHaveProperty("reason");
  });

  it("waits as long as the server asks and then goes on", () => {
    const box = outbox();
    box.hello(LIMITS);
    const { id } = box.add("s1", "one");
    refuse(box, id, "RATE_LIMITED", 1000);
    box.add("s1", "two");
    expect(contents()).toEqual(["one"]);
    vi.advanceTimersByTime(1000);
    expect(contents()).toEqual(["one", "one", "two"]);
  });

  it("gives a message a new id when its own belongs to another one", () => {
    const box = outbox();
    box.hello(LIMITS);
    const { id } = box.add("s1", "one");
    refuse(box, id, "IDEMPOTENCY_CONFLICT");
    expect(contents()).toEqual(["one", "one"]);
    expect(box.entries[0]?.id).not.toBe(id);
    expect(outbox().entries).toHaveLength(1);
  });

  it("does not send what is larger than a frame may be", () => {
    const box = outbox();
    box.hello(LIMITS);
    box.add("s1", "x".repeat(5000));
    box.add("s1", "small");
    expect(contents()).toEqual(["small"]);
    expect(box.entries[0]).toMatchObject({ state: "failed" });
  });

  it("puts aside the message that made the server close the connection", () => {
    const box = outbox();
    box.hello(LIMITS);
    box.add("s1", "poison");
    box.add("s1", "fine");
    box.lost(1009);
    sent = [];
    box.hello(LIMITS);
    expect(contents()).toEqual(["fine"]);
  });

  it("takes an action like a message: stored, sent again, doubled never", () => {
    const before = outbox();
    const { id } = before.take("s1", "m1", "a_yes", { env: "prod" });
    expect(before.of("s1")).toEqual([]);

    const box = outbox();
    box.hello(LIMITS);
    box.lost(1006);
    box.hello(LIMITS);
    const frame = { type: "action", id, session_id: "s1", message_id: "m1", action_id: "a_yes", value: { env: "prod" } };
    expect(sent).toEqual([frame, frame]);
    expect(box.taking("m1")).toMatchObject([{ state: "pending" }]);
    ack(box, id, 5);
    expect(box.taking("m1")).toMatchObject([{ state: "sent" }]);
    box.delivered({ session_id: "s1", seq: 5 });
    expect(box.taking("m1")).toEqual([]);
  });

  it("keeps why an action was refused until it is taken again or its message changes", () => {
    const box = outbox();
    box.hello(LIMITS);
    const first = box.take("s1", "m1", "a_yes", null);
    refuse(box, first.id, "FORBIDDEN");
    expect(outbox().taking("m1")).toMatchObject([{ state: "failed", error: { code: "FORBIDDEN" } }]);
    const second = box.take("s1", "m1", "a_yes", null);
    expect(box.taking("m1")).toMatchObject([{ id: second.id, state: "pending" }]);
    refuse(box, second.id, "ACTION_USED");
    box.settled("m2");
    expect(box.taking("m1")).toHaveLength(1);
    box.settled("m1");
    expect(box.taking("m1")).toEqual([]);
  });

  it("sends what is secret and stores nothing of it", () => {
    const box = outbox();
    box.take("s1", "m1", "a_form", { token: "hush" }, true);
    expect(JSON.stringify({ ...localStorage })).not.toContain("hush");
    box.hello(LIMITS);
    expect(sent).toMatchObject([{ type: "action", value: { token: "hush" } }]);
  });

  it("leaves the messages of another user alone", () => {
    const mine = outbox();
    mine.add("s1", "mine");
    const theirs = new Outbox("u2", (frame) => sent.push(frame), () => false, localStorage);
    expect(theirs.entries).toEqual([]);
  });
});
