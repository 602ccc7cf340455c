import { describe, expect, it } from "vitest";
import type { Message } from "../api/types";
import type { Outgoing } from "../live/outbox.svelte";
import type { ActionTaken } from "../api/frames";
import { kept, rows, type Around, type Row } from "./rows";
import { Threads } from "./threads";

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

const NONE: Around = { taken: [], streamed: [], outgoing: [] };

function taken(seq: number, at: number): ActionTaken {
  return {
    type: "action",
    stream: "conv:s",
    seq,
    session_id: "s",
    event_id: `e${seq}`,
    message_id: "m1",
    action_id: "a_1",
    label: "Approve",
    sender: { kind: "user", id: "u1", name: "Ada" },
    ts: new Date(at).toISOString(),
  };
}

function shape(list: Row[]): string[] {
  return list.map((row) => ("head" in row ? (row.head ? "head" : "tail") : row.kind));
}

describe("rows", () => {
  it("groups one speaker within one minute", () => {
    const list = [
      message(1, "u1", NOON),
      message(2, "u1", NOON + 59_000),
      message(3, "u1", NOON + 60_000),
      message(4, "hello", NOON + 61_000),
    ];
    expect(shape(rows(list, NONE, ME, null))).toEqual(["day", "head", "tail", "head", "head"]);
  });

  it("draws a line per day and starts a group after it", () => {
    const midnight = new Date(2026, 2, 6).getTime();
    const list = [message(1, "u1", midnight - 1000), message(2, "u1", midnight)];
    expect(shape(rows(list, NONE, ME, null))).toEqual(["day", "head", "day", "head"]);
  });

  it("puts the new line above the first message past the mark, below its day", () => {
    const midnight = new Date(2026, 2, 6).getTime();
    const list = [message(1, "u1", midnight - 1000), message(2, "hello", midnight), message(3, "hello", midnight)];
    expect(shape(rows(list, NONE, ME, 1))).toEqual(["day", "head", "day", "new", "head", "tail"]);
    expect(shape(rows(list, NONE, ME, 3))).not.toContain("new");
  });

  it("shows what is on its way last, in the speaker's own group", () => {
    const entry: Outgoing = { id: "c9", session_id: "s", content: "x", at: NOON + 1000, state: "pending" };
    expect(shape(rows([message(1, "u1", NOON)], { ...NONE, outgoing: [entry] }, ME, null))).toEqual(["day", "head", "tail"]);
  });

  it("draws actions where they were taken, and a head after each", () => {
    const list = [message(1, "hello", NOON), message(3, "hello", NOON + 1000), message(4, "hello", NOON + 2000)];
    const around = { ...NONE, taken: [taken(2, NOON + 500), taken(5, NOON + 3000)] };
    expect(shape(rows(list, around, ME, null))).toEqual(["day", "head", "taken", "head", "tail", "taken"]);
  });

  it("shows a reply being written after the messages, in its speaker's group, under a key of its own", () => {
    const { sender } = message(1, "hello", NOON);
    const reply = { message_id: "m2", invocation_id: "e1", sender, content: "So", length: 2, at: NOON + 10 };
    const lines = rows([message(1, "hello", NOON)], { ...NONE, streamed: [reply] }, ME, null);
    expect(shape(lines)).toEqual(["day", "head", "tail"]);
    const [, , whole] = rows([message(1, "hello", NOON), message(2, "hello", NOON)], NONE, ME, null);
    expect(lines[2]?.key).not.toBe(whole?.key);
  });

  it("shows what was said in a thread as one line where it was said", () => {
    const list = [
      message(1, "u1", NOON),
      message(2, "hello", NOON, { reply_to: "m1" }),
      message(3, "u1", NOON, { reply_to: "m2" }),
      message(4, "hello", NOON, { reply_to: "m3" }),
      message(5, "u1", NOON),
      message(6, "u1", NOON, { reply_to: "m2" }),
    ];
    const entry: Outgoing = { id: "c9", session_id: "s", content: "x", reply_to: "m2", at: NOON, state: "pending" };
    const all = rows(list, { ...NONE, outgoing: [entry] }, ME, null, new Threads(list));
    expect(shape(all)).toEqual(["day", "head", "head", "thread", "head", "thread"]);
    expect(all[3]).toMatchObject({ root: "m2", messages: [{ seq: 3 }, { seq: 4 }] });
    const failed: Outgoing = { ...entry, state: "failed" };
    expect(shape(rows(list, { ...NONE, outgoing: [failed] }, ME, null, new Threads(list))).at(-1)).toBe("head");
  });

  it("keeps the key of a message from the moment it is written", () => {
    const entry: Outgoing = { id: "c9", session_id: "s", content: "x", at: NOON, state: "pending" };
    const [, pending] = rows([], { ...NONE, outgoing: [entry] }, ME, null);
    const [, kept] = rows([message(1, "u1", NOON, { client_id: "c9" })], NONE, ME, null);
    expect(kept?.key).toBe(pending?.key);
  });
});

describe("kept", () => {
  it("leaves rows that say the same as they were, and no other", () => {
    const list = [message(1, "ann", NOON), message(2, "ann", NOON + 1), message(3, "bob", NOON + 2)];
    const first = rows(list, NONE, ME, null);
    const known = new Map(first.map((row) => [row.key, row]));
    expect(kept(rows(list, NONE, ME, null), known)).toEqual(first);
    kept(rows(list, NONE, ME, null), known).forEach((row, index) => expect(row).toBe(first[index]));
    // Another message before it takes the head away; another text is another message.
    const changed = list.map((one) => (one.seq === 3 ? { ...one, content: "other" } : one));
    const next = kept(rows([message(0, "ann", NOON), ...changed], NONE, ME, null), known);
    expect(next.map((row) => known.get(row.key) === row)).toEqual([true, false, false, true, false]);
  });
});
