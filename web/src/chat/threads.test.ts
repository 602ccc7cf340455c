import { describe, expect, it } from "vitest";
import type { Message } from "../api/types";
import { Threads } from "./threads";

let seq = 0;

function said(kind: "user" | "bot", message_id: string, reply_to: string | null): Message {
  seq += 1;
  const sender = { kind, id: kind, name: kind };
  return { type: "message", stream: "conv:s", seq, session_id: "s", message_id, sender, content: "", reply_to, ts: "2026-01-01T00:00:00Z" };
}

describe("Threads", () => {
  const log = [
    said("user", "ask", null),
    said("bot", "answer", "ask"),
    said("user", "why", "answer"),
    said("bot", "because", "why"),
    said("user", "and", "because"),
    said("user", "next", null),
    said("bot", "done", "next"),
    said("user", "old", "not-here"),
    said("bot", "of-old", "old"),
  ];
  const threads = new Threads(log);
  const root = (id: string): string | null => threads.root(threads.message(id) as Message);

  it("leave a bot's answers to the log where they are", () => {
    expect(["ask", "answer", "next", "done"].map(root)).toEqual([null, null, null, null]);
  });

  it("begin with a person's reply and keep what is answered in them, one level deep", () => {
    expect(threads.replies("answer").map(({ message_id }) => message_id)).toEqual(["why", "because", "and"]);
    expect(threads.summary("answer")).toEqual({ replies: 3, lastAt: Date.parse("2026-01-01T00:00:00Z") });
    expect(threads.summary("ask")).toBeNull();
  });

  it("hold together also when they began further back", () => {
    expect(["old", "of-old"].map(root)).toEqual(["not-here", "not-here"]);
  });
});
