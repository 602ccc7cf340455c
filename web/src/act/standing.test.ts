import { describe, expect, it } from "vitest";
import type { Action } from "../api/action";
import type { ActionTaken } from "../api/frames";
import type { Message } from "../api/types";
import { outcomes, refusalWords, standing, takenWords } from "./standing";

const NOON = "2026-11-23T12:00:00.000Z";
const used = (chosen: boolean) => ({ by: "Ann", at: NOON, chosen });

describe("how an action stands", () => {
  it.each([
    [{}, "open"],
    [{ expires_at: "2026-11-23T12:00:00.001Z" }, "open"],
    [{ expires_at: NOON }, "expired"],
    [{ expires_at: NOON, used: used(false) }, "used"],
  ])("%j is %s", (life, name) => {
    expect(standing(life, Date.parse(NOON))).toBe(name);
  });

  it("tells who chose what, once for all that were decided together", () => {
    const actions: Action[] = [
      { type: "button", id: "a_1", label: "Approve", used: used(true) },
      { type: "button", id: "a_2", label: "Reject", used: used(false) },
      { type: "link", label: "Open", url: "https://example.com" },
    ];
    expect(outcomes(actions)).toEqual([{ label: "Approve", by: "Ann", at: Date.parse(NOON) }]);
    expect(outcomes(actions.slice(1))).toEqual([{ label: null, by: "Ann", at: Date.parse(NOON) }]);
    expect(outcomes(actions.slice(2))).toEqual([]);
  });

  it("says why in plain words, and else in the server's", () => {
    expect(refusalWords({ error: { code: "ACTION_USED", message: "x" } })).toBe("This was decided already.");
    expect(refusalWords({ error: { code: "OTHER", message: "The disk is full." } })).toBe("The disk is full.");
    expect(refusalWords({ reason: "This is too long to send." })).toBe("This is too long to send.");
  });
});

describe("the line of the log", () => {
  const taken = (change: Partial<ActionTaken>) =>
    ({ label: "Approve", action_id: "a_1", sender: { name: "Ann" }, ...change }) as ActionTaken;
  const message = {
    actions: [{ type: "select", id: "a_1", label: "Which bot?", options: [{ value: "x", label: "Shop" }] }],
    form: { id: "a_f", cancel_id: "a_c" },
  } as Message;

  it.each([
    [taken({}), "Ann chose Approve"],
    [taken({ value: null }), "Ann chose Approve"],
    [taken({ label: "Which bot?", value: "x" }), "Ann chose Which bot: Shop"],
    [taken({ label: "Which bot?", value: "y" }), "Ann chose Which bot: y"],
    [taken({ label: "Deploy", action_id: "a_f", value: { env: "prod" } }), "Ann chose Deploy"],
    [taken({ label: "Cancel", action_id: "a_c" }), "Ann cancelled the form"],
  ])("%# reads as people say it", (event, words) => {
    expect(takenWords(event, message)).toBe(words);
  });

  it("does without the message", () => {
    expect(takenWords(taken({ label: "From when?", value: "x" }))).toBe("Ann chose From when: x");
  });
});
