import { beforeEach, describe, expect, it } from "vitest";
import type { Form } from "../api/action";
import { FormDrafts } from "./form_drafts";

const FORM: Form = {
  id: "a_f",
  cancel_id: "a_c",
  submit: "Go",
  state: "open",
  expires_at: "2026-11-23T12:00:00Z",
  fields: [
    { name: "service", label: "Service", type: "string", required: true },
    { name: "token", label: "Token", type: "string", required: true, hidden: true },
  ],
};
const BEFORE = Date.parse("2026-11-23T11:00:00Z");

describe("FormDrafts", () => {
  beforeEach(() => localStorage.clear());

  function drafts(now = BEFORE): FormDrafts {
    return new FormDrafts("u1", localStorage, now);
  }

  it("keep what was typed over a reload, but nothing hidden", () => {
    const before = drafts();
    before.write(FORM, { service: "web", token: "hush" });
    expect(before.read(FORM)).toEqual({ service: "web", token: "hush" });
    expect(JSON.stringify({ ...localStorage })).not.toContain("hush");
    expect(drafts().read(FORM)).toEqual({ service: "web" });
  });

  it("are forgotten with their form, and once it expired", () => {
    const first = drafts();
    first.write(FORM, { service: "web", token: "" });
    expect(drafts(BEFORE + 2 * 3_600_000).read(FORM)).toEqual({});
    first.write(FORM, { service: "api", token: "" });
    first.forget(FORM);
    expect([first.read(FORM), localStorage.length]).toEqual([{}, 0]);
  });

  it("are none of another person's", () => {
    drafts().write(FORM, { service: "web", token: "" });
    expect(new FormDrafts("u2", localStorage, BEFORE).read(FORM)).toEqual({});
  });
});
