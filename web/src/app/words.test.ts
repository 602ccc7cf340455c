import { describe, expect, it } from "vitest";
import type { Bot, Message } from "../api/types";
import { readFrame } from "../api/frames";
import type { Conversation } from "../chat/conversation.svelte";
import { examplesOf } from "../home/examples";
import { groups } from "../rail/groups";
import { plain } from "../rail/plain";
import { ago, day } from "../ui/time";
import { concerns } from "./notifier";
import { places } from "./places";
import { pathOf, readRoute } from "./route";
import { failure, loginAddress } from "./sign_in";

function bot(id: string, examples: string[] = []): Bot {
  return { id, display_name: id, description: `About ${id}`, avatar: null, status: "online", status_detail: null, examples };
}

function conversation(id: string, botId: string, activeAt: number, text = ""): Conversation {
  return { id, botId, botName: botId, avatar: null, activeAt, lastLine: { text } } as unknown as Conversation;
}

describe("signing in", () => {
  it("says why it failed, in our words only", () => {
    expect(failure("?sign_in=no_role")).toContain("no role");
    for (const query of ["", "?sign_in=", "?sign_in=toString", "?sign_in=<b>x</b>", "?link=used"]) expect(failure(query)).toBeNull();
  });

  it("comes back to the same place", () => {
    expect(loginAddress("/auth/login", "/c/a b")).toBe("/auth/login?redirect=%2Fc%2Fa+b");
  });
});

describe("routes", () => {
  it("go to an address and back", () => {
    for (const id of ["abc", "a/b", "ü"]) {
      expect(readRoute(pathOf({ name: "conversation", id }))).toEqual({ name: "conversation", id });
    }
    expect(pathOf({ name: "conversation", id: "a", at: 12 })).toBe("/c/a#12");
    expect(readRoute("/c/a", "#12")).toEqual({ name: "conversation", id: "a", at: 12 });
    for (const of of [null, { session: "a/b", message: "m 1" }]) {
      expect(readRoute(pathOf({ name: "preview", of }))).toEqual({ name: "preview", of });
    }
    expect(readRoute("/c/a", "#m12")).toEqual({ name: "conversation", id: "a" });
    expect(readRoute("/")).toEqual({ name: "home" });
    expect(readRoute("/c/%E0%A4%A")).toEqual({ name: "home" });
    expect(readRoute("/elsewhere")).toEqual({ name: "home" });
  });
});

describe("frames", () => {
  it("are read, or are none of ours", () => {
    expect(readFrame('{"type":"pong","timestamp":1}')).toEqual({ type: "pong", timestamp: 1 });
    expect(readFrame('{"type":"new","stream":"s","seq":1}')).toMatchObject({ type: "event" });
    for (const text of ["", "1", "null", "[]", '{"type":7}', '{"type":"new"}', '{"type":"new","stream":"s","seq":"1"}']) {
      expect(readFrame(text)).toBeNull();
    }
  });
});

describe("dates", () => {
  const now = new Date(2026, 2, 5, 0, 30).getTime();
  const before = (days: number): number => new Date(2026, 2, 5 - days, 23, 0).getTime();

  it("are said as people say them", () => {
    expect([now, before(1), before(2), before(7), before(400)].map((at) => day(at, now))).toEqual([
      "Today",
      "Yesterday",
      "Tuesday",
      "February 26",
      "January 29, 2025",
    ]);
    expect(ago(before(1), now)).toBe("Yesterday");
    expect(ago(before(2), now)).toBe("Tue");
    expect(ago(before(7), now)).toBe("Feb 26");
  });
});

describe("plain", () => {
  it.each([
    ["**Done** in `1 s`", "Done in 1 s"],
    ["# Title\n\n- one\n- two", "Title one two"],
    ["see [the docs](https://example.org)", "see the docs"],
    ["```sh\nls\n```", "ls"],
    ["snake_case_name and 2 * 3 * 4", "snake_case_name and 2 * 3 * 4"],
    ["web\\_api", "web_api"],
  ])("%j becomes %j", (markdown, text) => {
    expect(plain(markdown)).toBe(text);
  });
});

describe("groups", () => {
  it("are by bot in the server's order, with bots that are gone last", () => {
    const list = [conversation("1", "b", 1), conversation("2", "a", 2), conversation("3", "gone", 9), conversation("4", "b", 3)];
    const shown = groups([bot("a"), bot("b"), bot("c")], list);
    expect(shown.map((group) => [group.botId, group.conversations.map(({ id }) => id)])).toEqual([
      ["a", ["2"]],
      ["b", ["4", "1"]],
      ["gone", ["3"]],
    ]);
  });
});

describe("examples", () => {
  it("come from each bot in turn", () => {
    const shown = examplesOf([bot("a", ["a1", "a2", "a3"]), bot("b", ["b1"]), bot("c")]);
    expect(shown.map(({ text }) => text)).toEqual(["a1", "b1", "a2"]);
    expect(examplesOf([])).toEqual([]);
  });
});

describe("places", () => {
  const bots = [bot("hello"), bot("ops")];
  const open = [conversation("1", "ops", 1, "**deploying** web"), conversation("2", "hello", 2, "Hello World")];

  it("are found by how their words begin, newest conversations first", () => {
    const keys = (query: string): string[] => places(query, bots, open).map((place) => place.key);
    expect(keys("")).toEqual(["conversation/2", "conversation/1", "bot/hello", "bot/ops"]);
    expect(keys("op dep")).toEqual(["conversation/1"]);
    expect(keys("orld")).toEqual([]);
  });
});

describe("notices", () => {
  const me = { id: "me", name: "Ann Lee", roles: [] };
  const said = (change: Partial<Message>): Message =>
    ({ sender: { kind: "bot", id: "ops", name: "Ops" }, content: "", ...change }) as Message;
  const mine = (id: string): boolean => id === "mine";

  it("are of what concerns the person, by their own wish", () => {
    const answer = said({ reply_to: "mine" });
    const other = said({ reply_to: "other", content: "@ann leeward" });
    expect(concerns(answer, me, mine, "answers")).toBe(true);
    expect(concerns(other, me, mine, "answers")).toBe(false);
    expect(concerns(other, me, mine, "all")).toBe(true);
    expect(concerns(said({ content: "hi @Ann Lee, look" }), me, mine, "answers")).toBe(true);
    expect(concerns(said({ form: { state: "open" } } as Partial<Message>), me, mine, "answers")).toBe(true);
    expect(concerns(said({ form: { state: "submitted" } } as Partial<Message>), me, mine, "answers")).toBe(false);
    expect(concerns(answer, me, mine, "off")).toBe(false);
  });

  it("are never of one's own words", () => {
    const own = said({ sender: { kind: "user", id: "me", name: "Ann Lee" }, reply_to: "mine" });
    expect(concerns(own, me, mine, "all")).toBe(false);
  });
});
