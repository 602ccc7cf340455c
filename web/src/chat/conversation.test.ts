import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Rest } from "../api/rest";
import type { ConversationSummary, DurableFrame, EventPage, Message } from "../api/types";
import type { Outbox } from "../live/outbox.svelte";
import { Streams } from "../live/streams";
import { Conversation } from "./conversation.svelte";
import { ReadMarks } from "./read_marks";

function message(seq: number, kind: "user" | "bot" = "bot"): Message {
  return {
    type: "message",
    stream: "conv:s",
    seq,
    session_id: "s",
    message_id: `m${seq}`,
    sender: { kind, id: kind === "user" ? "u1" : "hello", name: kind },
    content: `text ${seq}`,
    ts: new Date(seq * 1000).toISOString(),
  };
}

function summary(head: number): ConversationSummary {
  return {
    session_id: "s",
    bot_id: "hello",
    bot: { display_name: "Hello", avatar: null },
    status: "active",
    stream: "conv:s",
    head_seq: head,
    created_at: new Date(0).toISOString(),
  };
}

describe("Conversation", () => {
  let log: Message[];
  let marks: ReadMarks;
  let delivered: number[];
  let settled: string[];
  let told: [string, number][];
  let hold: Promise<void>;

  beforeEach(() => {
    localStorage.clear();
    log = Array.from({ length: 200 }, (_, index) => message(index + 1));
    told = [];
    marks = new ReadMarks("u1", localStorage, (session, seq) => told.push([session, seq]));
    delivered = [];
    settled = [];
    hold = Promise.resolve();
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  function open(head = log.length): Conversation {
    const eventsBefore = async (_: string, before: number, limit: number): Promise<EventPage> => {
      const older = log.filter((event) => event.seq < before);
      await hold;
      const events = older.slice(-limit);
      return { stream: "conv:s", epoch: "e", head: log.length, events, has_more: older.length > events.length };
    };
    return new Conversation(summary(head), {
      user: "u1",
      rest: { eventsBefore } as unknown as Rest,
      streams: new Streams(() => undefined),
      outbox: {
        delivered: (event: Message) => delivered.push(event.seq),
        settled: (id: string) => settled.push(id),
      } as unknown as Outbox,
      marks,
      arrived: () => undefined,
    });
  }

  function seqs(conversation: Conversation): number[] {
    return conversation.messages.map(({ seq }) => seq);
  }

  it("loads the newest page and then older ones down to the first event", async () => {
    const conversation = open();
    await conversation.load();
    expect(seqs(conversation)).toEqual(log.slice(-80).map(({ seq }) => seq));
    while (conversation.hasOlder) await conversation.loadOlder();
    expect(seqs(conversation)).toEqual(log.map(({ seq }) => seq));
    expect(conversation.holds(1) && conversation.holds(200)).toBe(true);
  });

  it("joins what arrives live to what was loaded", async () => {
    const conversation = open();
    const loading = conversation.load();
    conversation.event(message(201));
    await loading;
    expect(seqs(conversation)).toEqual([...log.slice(-80).map(({ seq }) => seq), 201]);
    expect(conversation.lastLine?.text).toBe("text 201");
    expect(delivered).toContain(201);
  });

  it("takes no page that was asked for before a restart", async () => {
    let release = (): void => undefined;
    hold = new Promise((resolve) => {
      release = resolve;
    });
    const conversation = open();
    const loading = conversation.load();
    conversation.restart(1);
    release();
    await loading;
    expect(conversation.messages).toEqual([]);
    conversation.event(message(1));
    expect(seqs(conversation)).toEqual([1]);
    expect(conversation.hasOlder).toBe(false);
  });

  it("counts what came after the last look, and remembers the look", async () => {
    marks.mark("s", 190);
    const conversation = open();
    expect(conversation.unread).toBe(10);
    await conversation.load();
    expect(conversation.newAfter).toBe(190);
    conversation.markRead();
    expect(conversation.unread).toBe(0);
    expect(marks.read("s")).toBe(200);
    expect(told.at(-1)).toEqual(["s", 200]);
  });

  it("counts a conversation seen for the first time as read", () => {
    expect(open().unread).toBe(0);
  });

  it("takes the mark of another device over its own older one", () => {
    marks.mark("s", 150);
    const conversation = new Conversation({ ...summary(200), read_seq: 180 }, open().around);
    expect(conversation.unread).toBe(20);
  });

  it.each([
    ["message_update", { content: "better", edited_at: "2026-11-23T04:00:00.000Z" }],
    ["message_delete", { content: "", deleted_at: "2026-11-23T04:00:00.000Z" }],
  ])("changes the message on the page at a %s", async (type, change) => {
    const conversation = open();
    await conversation.load();
    const event = { type, stream: "conv:s", seq: 201, session_id: "s", message_id: "m200", ...change };
    conversation.event(event as DurableFrame);
    expect(conversation.messages.at(-1)).toMatchObject({ message_id: "m200", ...change });
    expect(conversation.messages).toHaveLength(80);
  });

  it("shows a message as it is now when its change overtakes the page that holds it", async () => {
    let release = (): void => undefined;
    hold = new Promise((resolve) => {
      release = resolve;
    });
    const conversation = open();
    const loading = conversation.load();
    const change = { stream: "conv:s", session_id: "s", edited_at: "2026-11-23T04:00:00.000Z" };
    const first = { type: "message_update", seq: 201, message_id: "m200", content: "first", ...change };
    const then = { ...first, seq: 202, content: "then" };
    for (const event of [first, then]) conversation.event(event as DurableFrame);
    release();
    await loading;
    expect(conversation.messages.at(-1)).toMatchObject({ seq: 200, content: "then", edited_at: change.edited_at });
    // A page that was asked for later was read later, and knows better.
    hold = Promise.resolve();
    log[0] = { ...message(1), content: "newest" };
    conversation.event({ ...first, seq: 203, message_id: "m1" } as DurableFrame);
    while (conversation.hasOlder) await conversation.loadOlder();
    expect(conversation.messages[0]).toMatchObject({ content: "newest" });
  });

  it("replaces the whole message when a bot did, also in the list of conversations", async () => {
    const conversation = open();
    await conversation.load();
    conversation.event(message(201));
    const { type: _, stream: __, seq: ___, ...before } = message(201);
    const post = { ...before, content: "done", parts: [{ type: "divider" }], edited_at: "2026-11-23T04:00:00.000Z" };
    const event = { type: "message_update", stream: "conv:s", seq: 202, session_id: "s", message_id: "m201", post };
    conversation.event({ ...event, content: "done" } as DurableFrame);
    await vi.waitFor(() => expect(settled).toEqual(["m201"]));
    expect(conversation.messages.at(-1)).toEqual({ ...post, type: "message", stream: "conv:s", seq: 201 });
    expect(conversation.lastLine).toMatchObject({ seq: 201, text: "done" });
  });

  it("keeps the actions that were taken within its window", async () => {
    const action = (seq: number) =>
      ({ type: "action", stream: "conv:s", seq, event_id: `e${seq}`, message_id: "m1" }) as unknown as Message;
    log[149] = action(150);
    const conversation = open();
    await conversation.load();
    conversation.event(action(201));
    expect(conversation.taken.map(({ seq }) => seq)).toEqual([150, 201]);
    expect(delivered.slice(-1)).toEqual([201]);
    expect(seqs(conversation)).not.toContain(150);
    conversation.restart(1);
    expect(conversation.taken).toEqual([]);
  });

  it("shows a reply as it is written, until the whole message is in the log", async () => {
    const conversation = open();
    const place = { stream: "conv:s", session_id: "s", message_id: "m201", sender: message(201).sender };
    expect(conversation.passing({ type: "chunk", ...place, offset: 0, delta: "text " })).toBeUndefined();
    expect(conversation.passing({ type: "chunk", ...place, offset: 9, delta: "!" })).toBe("gap");
    expect(conversation.streamed).toMatchObject([{ content: "text " }]);
    conversation.passing({ type: "message_partial", ...place, invocation_id: "e1", content: "text 20", offset: 7 });
    await vi.waitFor(() => expect(conversation.streamed).toMatchObject([{ content: "text 20" }]));
    conversation.event(message(201));
    expect(conversation.streamed).toEqual([]);
    expect(seqs(conversation)).toEqual([201]);
  });

  it("lets go of a reply that nobody writes any more, once the server had time to speak of it", () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const conversation = open();
    const place = { stream: "conv:s", session_id: "s", message_id: "m201", sender: message(201).sender };
    conversation.passing({ type: "chunk", ...place, offset: 0, delta: "text" });
    conversation.asked();
    conversation.caughtUp();
    vi.advanceTimersByTime(500);
    expect(conversation.streamed).toHaveLength(1);
    vi.advanceTimersByTime(600);
    expect(conversation.streamed).toEqual([]);
  });

  it("takes away the new line when its reader answers", async () => {
    marks.mark("s", 190);
    const conversation = open();
    await conversation.load();
    conversation.event(message(201, "user"));
    expect(conversation.newAfter).toBeNull();
  });

  it("forgets reading marks that lie beyond a log that was restored", () => {
    marks.mark("s", 500);
    const conversation = open(200);
    expect(conversation.unread).toBe(0);
    conversation.restart(1);
    conversation.subscribed(3);
    expect(conversation).toMatchObject({ head: 3, unread: 0 });
  });
});
