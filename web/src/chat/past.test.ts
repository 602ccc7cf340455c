import { beforeEach, describe, expect, it } from "vitest";
import { RequestError, type Rest } from "../api/rest";
import type { EventPage, Message } from "../api/types";
import type { Outbox } from "../live/outbox.svelte";
import { Streams } from "../live/streams";
import { Changes } from "./changes.svelte";
import { Conversation } from "./conversation.svelte";
import { ReadMarks } from "./read_marks";

const LENGTH = 1000;

function message(seq: number): Message {
  return {
    type: "message",
    stream: "conv:s",
    seq,
    session_id: "s",
    message_id: `m${seq}`,
    sender: { kind: "user", id: "u1", name: "Ann" },
    content: `text ${seq}`,
    ts: new Date(seq * 1000).toISOString(),
  };
}

const LOG = Array.from({ length: LENGTH }, (_, index) => message(index + 1));

function page(events: Message[]): EventPage {
  return { stream: "conv:s", epoch: "e", head: LENGTH, events, has_more: (events[0]?.seq ?? 1) > 1 };
}

/** The numbers of what is shown, which must follow each other. */
function shown({ shown: { messages } }: Conversation): [number, number] {
  const seqs = messages.map(({ seq }) => seq);
  for (const [index, seq] of seqs.entries()) if (index > 0) expect(seq).toBe((seqs[index - 1] ?? 0) + 1);
  return [seqs[0] ?? 0, seqs.at(-1) ?? 0];
}

describe("a conversation that is gone back in", () => {
  let conversation: Conversation;
  let refuses: boolean;
  let changes: Changes;

  beforeEach(async () => {
    localStorage.clear();
    refuses = false;
    const rest = {
      eventsBefore: async (_: string, before: number, limit: number) =>
        page(LOG.filter(({ seq }) => seq < before).slice(-limit)),
      eventsAfter: async (_: string, after: number, limit: number) => page(LOG.filter(({ seq }) => seq > after).slice(0, limit)),
      eventAt: async (_: string, at: Date) => page(LOG.filter(({ ts }) => Date.parse(ts) >= at.getTime()).slice(0, 1)),
      edit: async () => {
        if (refuses) throw new RequestError(409, "TOO_MANY_EDITS", "too often");
      },
      takeBack: async () => undefined,
    };
    conversation = new Conversation(
      {
        session_id: "s",
        bot_id: "hello",
        bot: { display_name: "Hello", avatar: null },
        status: "active",
        stream: "conv:s",
        head_seq: LENGTH,
        created_at: new Date(0).toISOString(),
      },
      {
        user: "u1",
        rest: rest as unknown as Rest,
        streams: new Streams(() => undefined),
        outbox: { delivered: () => undefined, settled: () => undefined } as unknown as Outbox,
        marks: new ReadMarks("u1", localStorage, () => undefined),
        arrived: () => undefined,
      },
    );
    changes = new Changes(conversation, rest);
    await conversation.load();
  });

  it("shows what stands around a place, and what is said now again", async () => {
    await conversation.goTo(500);
    expect(shown(conversation)).toEqual([460, 539]);
    expect(conversation.target).toEqual({ seq: 500 });
    conversation.leavePast();
    expect(shown(conversation)).toEqual([921, 1000]);
  });

  it("takes no detour for a place that is here, or next to it", async () => {
    await conversation.goTo(930);
    expect(conversation.past).toBeNull();
    await conversation.goTo(900);
    expect(conversation.past).toBeNull();
    expect(shown(conversation)).toEqual([860, 1000]);
  });

  it("reads on to both sides until the past and the present are one", async () => {
    await conversation.goTo(700);
    await conversation.past?.loadOlder();
    expect(shown(conversation)).toEqual([580, 739]);
    for (let step = 0; step < 10 && conversation.past; step += 1) await conversation.past.loadLater();
    expect(conversation.past).toBeNull();
    expect(shown(conversation)).toEqual([580, 1000]);
    await conversation.loadOlder();
    expect(shown(conversation)).toEqual([500, 1000]);
  });

  it("takes no page that was asked for before two stretches became one", async () => {
    await Promise.all([conversation.goTo(900), conversation.loadOlder()]);
    expect(shown(conversation)).toEqual([860, 1000]);
    expect(conversation.hasOlder).toBe(true);
  });

  it("goes to the first message of a day, and says when there is none", async () => {
    expect(await conversation.goToDay(new Date(299_500))).toBe(true);
    expect(conversation.target).toEqual({ seq: 300 });
    expect(await conversation.goToDay(new Date(5_000_000))).toBe(false);
    expect(conversation.target).toEqual({ seq: 300 });
  });

  it("reads back until a message is found", async () => {
    expect(await conversation.find("m600")).toBe(true);
    expect(shown(conversation)[0]).toBeLessThanOrEqual(600);
    expect(await conversation.find("nobody")).toBe(false);
    expect(shown(conversation)).toEqual([1, 1000]);
  });

  it("changes a message at once, wherever it is shown", async () => {
    await conversation.goTo(500);
    const saving = changes.save(LOG[499] as Message, "other words");
    const now = (): Message | undefined => conversation.threads.message("m500");
    expect(now()).toMatchObject({ content: "other words" });
    await saving;
    expect(now()?.edited_at).toBeTruthy();
    await changes.takeBack(now() as Message);
    expect(now()).toMatchObject({ content: "" });
    expect(now()?.deleted_at).toBeTruthy();
  });

  it("undoes a change that is refused, keeps its words, and leaves newer ones alone", async () => {
    refuses = true;
    const mine = LOG[989] as Message;
    await changes.save(mine, "refused");
    expect(conversation.threads.message("m990")).toEqual(mine);
    expect(changes.faults.get("m990")).toEqual({ reason: "too often", content: "refused" });
    expect(changes.draft(mine)).toBe("refused");

    const saving = changes.save(mine, "refused again");
    conversation.replace("m990", (message) => ({ ...message, content: "from elsewhere" }));
    await saving;
    expect(conversation.threads.message("m990")).toMatchObject({ content: "from elsewhere" });
    changes.dismiss(mine);
    expect(changes.faults.size).toBe(0);
  });
});
