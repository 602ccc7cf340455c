import { describe, expect, it } from "vitest";
import type { Message } from "../api/types";
import type { Outgoing } from "../live/outbox.svelte";
import { rows, type Row } from "./rows";

const ME = { id: "u1", name: "Ada" };
const NOON = new Date(2026, 2, 5, 12, 0, 0).getTime();

function message(seq: number, who: string, at: number, change: Partial<Message> = {}): Message {
  return {
    type: "message",
    stream: "conv:s",
    seq,
    session_id: "s",
    message_id: `m${seq}`,
    sender: { kind: who === "u1" ? "user" : "bot", id: who, name: who },
    content: "",
    ts: new Date(at).toISOString(),
    ...change,
  };
}

function shape(list: Row[]): string[] {
  return list.map((row) => (row.kind === "message" || row.kind === "outgoing" ? (row.head ? "head" : "tail") : row.kind));
}

describe("rows", () => {
  it("groups one speaker within one minute", () => {
    const list = [
      message(1, "u1", NOON),
      message(2, "u1", NOON + 59_000),
      message(3, "u1", NOON + 60_000),
      message(4, "hello", NOON + 61_000),
    ];
    expect(shape(rows(list, [], ME, null))).toEqual(["day", "head", "tail", "head", "head"]);
  });

  it("draws a line per day and starts a group after it", () => {
    const midnight = new Date(2026, 2, 6).getTime();
    const list = [message(1, "u1", midnight - 1000), message(2, "u1", midnight)];
    expect(shape(rows(list, [], ME, null))).toEqual(["day", "head", "day", "head"]);
  });

  it("puts the new line above the first message past the mark, below its day", () => {
    const midnight = new Date(2026, 2, 6).getTime();
    const list = [message(1, "u1", midnight - 1000), message(2, "hello", midnight), message(3, "hello", midnight)];
    expect(shape(rows(list, [], ME, 1))).toEqual(["day", "head", "day", "new", "head", "tail"]);
    expect(shape(rows(list, [], ME, 3))).not.toContain("new");
  });

  it("shows what is on its way last, in the speaker's own group", () => {
    const entry: Outgoing = { id: "c9", session_id: "s", content: "x", at: NOON + 1000, state: "pending" };
    expect(shape(rows([message(1, "u1", NOON)], [entry], ME, null))).toEqual(["day", "head", "tail"]);
  });

  it("keeps the key of a message from the moment it is written", () => {
    const entry: Outgoing = { id: "c9", session_id: "s", content: "x", at: NOON, state: "pending" };
    const [, pending] = rows([], [entry], ME, null);
    const [, kept] = rows([message(1, "u1", NOON, { client_id: "c9" })], [], ME, null);
    expect(kept?.key).toBe(pending?.key);
  });
});
