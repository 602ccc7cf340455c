import { beforeEach, describe, expect, it } from "vitest";
import type { Chunk, PartialMessage } from "../api/frames";
import { StreamedReplies } from "./streamed";

const PLACE = { stream: "conv:s", session_id: "s", sender: { kind: "bot", id: "shop", name: "Shop" } } as const;

function chunk(offset: number, delta: string, message_id = "m1"): Chunk {
  return { type: "chunk", ...PLACE, message_id, offset, delta };
}

function partial(content: string, message_id = "m1"): PartialMessage {
  return { type: "message_partial", ...PLACE, message_id, invocation_id: "e1", content, offset: [...content].length };
}

describe("StreamedReplies", () => {
  let replies: StreamedReplies;

  beforeEach(() => {
    replies = new StreamedReplies(() => 7);
  });

  function contents(): string[] {
    return replies.all.map(({ content }) => content);
  }

  it("grows by pieces in order", () => {
    expect([chunk(0, "The "), chunk(4, "answer"), chunk(10, ".")].map((frame) => replies.take(frame))).toEqual(
      Array(3).fill("grown"),
    );
    expect(replies.all).toMatchObject([{ content: "The answer.", length: 11, at: 7 }]);
  });

  it("counts characters as the server does, not as strings here do", () => {
    replies.take(chunk(0, "👩‍🚀 ok"));
    expect(replies.take(chunk(6, "!"))).toBe("grown");
    expect(contents()).toEqual(["👩‍🚀 ok!"]);
    expect(replies.take(chunk(5, "k!?"))).toBe("grown");
    expect(contents()).toEqual(["👩‍🚀 ok!?"]);
  });

  it.each([
    ["the same again", chunk(0, "abc"), "same", "abc"],
    ["an older piece", chunk(1, "b"), "same", "abc"],
    ["one that reaches over the end", chunk(1, "bcde"), "grown", "abcde"],
    ["one that leaves something out", chunk(4, "e"), "gap", "abc"],
  ])("takes %s for what it is", (_, frame, outcome, content) => {
    replies.take(chunk(0, "abc"));
    expect(replies.take(frame)).toBe(outcome);
    expect(contents()).toEqual([content]);
  });

  it("cannot begin in the middle", () => {
    expect(replies.take(chunk(3, "def"))).toBe("gap");
    expect(replies.all).toEqual([]);
    replies.take(partial("abc"));
    expect(replies.take(chunk(3, "def"))).toBe("grown");
    expect(contents()).toEqual(["abcdef"]);
    replies.answered();
    expect(replies.take(chunk(9, "jkl"))).toBe("gap");
  });

  it("lets go of one that became no message of its own", () => {
    replies.take(chunk(0, "abc"));
    expect(replies.take({ type: "message_dropped", stream: "conv:s", session_id: "s", message_id: "m1" })).toBe("grown");
    expect(replies.all).toEqual([]);
    expect(replies.take(chunk(3, "d"))).toBe("same");
  });

  it("takes the whole for what it is, also when it began anew", () => {
    replies.take(chunk(0, "abcdef"));
    expect(replies.take(partial("abcdef"))).toBe("grown");
    expect(replies.all).toMatchObject([{ content: "abcdef", invocation_id: "e1" }]);
    expect(replies.take(partial("abcdef"))).toBe("same");
    expect(replies.take(partial(""))).toBe("grown");
    expect(replies.all).toMatchObject([{ content: "", length: 0 }]);
    expect(replies.take(chunk(0, "xyz"))).toBe("grown");
    expect(contents()).toEqual(["xyz"]);
  });

  it("forgets replies the server does not speak of any more", () => {
    replies.take(chunk(0, "dead", "m1"));
    replies.take(chunk(0, "alive", "m2"));
    replies.asked();
    replies.take(partial("alive", "m2"));
    expect(replies.answered()).toBe(true);
    expect(contents()).toEqual(["alive"]);
    expect(replies.answered()).toBe(false);
  });

  it("asks once for the beginning of a reply nobody has any more", () => {
    expect(replies.take(chunk(3, "def"))).toBe("gap");
    replies.asked();
    expect(replies.take(chunk(6, "ghi"))).toBe("same");
    replies.answered();
    expect(replies.take(chunk(6, "ghi"))).toBe("same");
  });

  it("ends with the whole message", () => {
    replies.take(chunk(0, "abc"));
    expect([replies.end("m1"), replies.end("m1")]).toEqual([true, false]);
    expect(replies.take(chunk(3, "late"))).toBe("same");
    expect(replies.all).toEqual([]);
  });
});
