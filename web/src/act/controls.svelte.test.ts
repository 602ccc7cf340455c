import { flushSync, mount, tick, unmount } from "svelte";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Action, Form as FormData, FormField } from "../api/action";
import type { ClientFrame } from "../api/frames";
import type { FieldFault, Message } from "../api/types";
import { Outbox } from "../live/outbox.svelte";
import Actions from "./Actions.svelte";
import { Desk } from "./desk";
import Form from "./Form.svelte";
import { FormDrafts } from "./form_drafts";

const SOON = new Date(Date.now() + 600_000).toISOString();
const MESSAGE = { type: "message", session_id: "s1", message_id: "m1" } as Message;

let sent: Extract<ClientFrame, { type: "action" }>[];
let outbox: Outbox;
let desk: Desk;
let page: { target: HTMLElement; component: object } | null = null;

beforeEach(() => {
  localStorage.clear();
  // There is nothing to scroll here.
  Element.prototype.scrollIntoView = () => undefined;
  sent = [];
  outbox = new Outbox("u1", (frame) => frame.type === "action" && sent.push(frame), () => false, localStorage);
  outbox.hello({ max_frame: 4096, max_in_flight: 8 });
  desk = new Desk(outbox, new FormDrafts("u1", localStorage));
});

afterEach(() => {
  vi.useRealTimers();
  leave();
});

function leave(): void {
  if (!page) return;
  void unmount(page.component);
  page.target.remove();
  page = null;
}

function show(draw: (target: HTMLElement) => object): void {
  leave();
  const target = document.createElement("div");
  document.body.append(target);
  page = { target, component: draw(target) };
  flushSync();
}

function showActions(...actions: Action[]): void {
  show((target) => mount(Actions, { target, props: { message: MESSAGE, actions, desk } }));
}

function one<E extends HTMLElement>(selector: string): E {
  const found = document.querySelectorAll<E>(selector);
  if (found.length !== 1 || !found[0]) throw new Error(`${found.length} elements match ${selector}`);
  return found[0];
}

function button(name: string): HTMLButtonElement {
  const found = [...document.querySelectorAll("button")].find((candidate) => candidate.textContent.trim().startsWith(name));
  if (!found) throw new Error(`there is no button ${name}`);
  return found;
}

async function press(name: string): Promise<void> {
  button(name).click();
  await tick();
  flushSync();
}

function type(selector: string, value: string): void {
  const field = one<HTMLInputElement>(selector);
  field.value = value;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  flushSync();
}

function refuse(code: string, errors?: FieldFault[]): void {
  const error = { code, message: "No.", ...(errors ? { details: { errors } } : {}) };
  outbox.refused({ type: "error", id: sent.at(-1)?.id ?? "", error, retry_after_ms: null });
  flushSync();
}

/** What a control is described by, for those who do not see it. */
function description(control: HTMLElement): string {
  const ids = control.getAttribute("aria-describedby")?.split(" ") ?? [];
  return ids.map((id) => document.getElementById(id)?.textContent.trim()).join(" ");
}

describe("the actions of a message", () => {
  const APPROVE: Action = { type: "button", id: "a_yes", label: "Approve", style: "primary" };
  const REJECT: Action = { type: "button", id: "a_no", label: "Reject", style: "danger", confirm: "Really?" };

  it("are taken once, and wait for their answer together", async () => {
    showActions(APPROVE, REJECT);
    await press("Approve");
    await press("Approve");
    await press("Reject");
    expect(sent).toMatchObject([{ session_id: "s1", message_id: "m1", action_id: "a_yes", value: null }]);
    expect(button("Approve").getAttribute("aria-disabled")).toBe("true");
    expect(document.querySelector("[role=status]")?.textContent).toContain("Sending");
  });

  it("ask first where they should, and Escape leaves the question", async () => {
    showActions(REJECT);
    await press("Reject");
    await vi.waitFor(() => expect(document.activeElement).toBe(button("Reject")));
    expect(one('[role=group][aria-label="Really?"]').contains(document.activeElement)).toBe(true);
    document.activeElement?.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
    await vi.waitFor(() => expect(document.activeElement).toBe(button("Reject")));
    expect(sent).toEqual([]);
    await press("Reject");
    await press("Reject");
    expect(sent).toMatchObject([{ action_id: "a_no" }]);
  });

  it("say at the control why they were refused, and can be tried again", async () => {
    showActions(APPROVE);
    await press("Approve");
    refuse("FORBIDDEN");
    expect(description(button("Approve"))).toMatch(/^You may not do this/);
    await press("Approve");
    expect(sent).toHaveLength(2);
    expect(description(button("Approve"))).toBe("");
  });

  it("take a value, and only one that may be taken", async () => {
    showActions({ type: "date", id: "a_day", label: "From when?", min: "2026-01-01", max: "2026-12-31" });
    await press("Choose");
    expect(description(one("input"))).toBe("Choose a day first.");
    type("input", "2025-12-31");
    await press("Choose");
    expect(description(one("input"))).toMatch(/^Choose a day from /);
    type("input", "2026-05-01");
    await press("Choose");
    expect(sent).toMatchObject([{ action_id: "a_day", value: "2026-05-01" }]);

    showActions({ type: "select", id: "a_bot", label: "Which bot?", options: [{ value: "x", label: "Shop" }] });
    const select = one<HTMLSelectElement>("select");
    select.value = "x";
    select.dispatchEvent(new Event("change", { bubbles: true }));
    outbox.delivered({ session_id: "s1", seq: 1, client_id: sent[0]?.id ?? null });
    await press("Choose");
    expect(sent.at(-1)).toMatchObject({ action_id: "a_bot", value: "x" });
  });

  it("show what became of them instead", () => {
    const used = { by: "Ann", at: new Date(2026, 10, 23, 12, 3).toISOString() };
    showActions({ ...APPROVE, used: { ...used, chosen: true } }, { ...REJECT, used: { ...used, chosen: false } });
    expect(document.querySelectorAll("button")).toHaveLength(0);
    expect(page?.target.textContent).toMatch(/Approve, chosen\s+by Ann, 12:03/);
  });

  it("close when they expire before someone's eyes", () => {
    vi.useFakeTimers();
    showActions({ ...APPROVE, expires_at: new Date(Date.now() + 5_000).toISOString() });
    expect(document.querySelectorAll("button")).toHaveLength(1);
    vi.advanceTimersByTime(5_100);
    flushSync();
    expect(document.querySelectorAll("button")).toHaveLength(0);
    expect(page?.target.textContent).toContain("Expired: Approve");
  });

  it("lead only to addresses people may follow, in a tab that knows nothing of this one", () => {
    showActions(
      { type: "link", label: "Open", url: "https://example.com/" },
      { type: "link", label: "Run", url: "javascript:alert(1)" },
    );
    const link = one<HTMLAnchorElement>("a");
    expect([link.target, link.rel, link.href]).toEqual(["_blank", "noopener noreferrer", "https://example.com/"]);
  });
});

describe("a form of a message", () => {
  const field = (name: string, change: Partial<FormField> = {}): FormField => ({
    name,
    label: `Which ${name}?`,
    type: "string",
    required: true,
    ...change,
  });

  function form(...fields: FormField[]): FormData {
    return { id: "a_form", cancel_id: "a_cancel", submit: "Deploy", state: "open", expires_at: SOON, fields };
  }

  function showForm(data: FormData): void {
    show((target) => mount(Form, { target, props: { message: MESSAGE, form: data, desk } }));
  }

  const SERVICE = form(field("service"), field("count", { type: "integer" }));

  it("sends nothing that cannot be right, and leads to the first wrong field", async () => {
    showForm(SERVICE);
    type("[data-field=service] input", "web");
    type("[data-field=count] input", "many");
    await press("Deploy");
    const wrong = one<HTMLInputElement>("[data-field=count] input");
    expect([sent, document.activeElement, wrong.getAttribute("aria-invalid")]).toEqual([[], wrong, "true"]);
    expect(description(wrong)).toBe("Write a whole number.");
    type("[data-field=count] input", "2");
    await press("Deploy");
    expect(sent).toMatchObject([{ action_id: "a_form", value: { service: "web", count: "2" } }]);
    expect(one<HTMLFieldSetElement>("fieldset.fields").disabled).toBe(true);
  });

  it("ties what the server found to its field, until another value stands there", async () => {
    showForm(SERVICE);
    type("[data-field=service] input", "web");
    type("[data-field=count] input", "2");
    button("Deploy").focus();
    await press("Deploy");
    refuse("VALIDATION_FAILED", [{ field: "parameters.service", code: "taken", message: "Web is being deployed." }]);
    const wrong = one<HTMLInputElement>("[data-field=service] input");
    await vi.waitFor(() => expect(document.activeElement).toBe(wrong));
    expect(description(wrong)).toBe("Web is being deployed.");
    type("[data-field=service] input", "api");
    expect(description(wrong)).toBe("");
    await press("Deploy");
    expect(sent).toHaveLength(2);
  });

  it("says what else went wrong at its button", async () => {
    showForm(form(field("service", { value: "web" })));
    await press("Deploy");
    refuse("ACTION_EXPIRED");
    expect(description(button("Deploy"))).toBe("This has expired. Ask for it again.");
  });

  it("keeps what was typed over a redrawing and a reload, but nothing hidden", async () => {
    const asked = form(field("service"), field("token", { hidden: true }));
    showForm(asked);
    type("[data-field=service] input", "web");
    type("[data-field=token] input", "hush");
    expect(one<HTMLInputElement>("[data-field=token] input").type).toBe("password");
    showForm(asked);
    expect(one<HTMLInputElement>("[data-field=token] input").value).toBe("hush");
    await press("Deploy");
    expect(sent).toMatchObject([{ value: { service: "web", token: "hush" } }]);
    expect(JSON.stringify({ ...localStorage })).not.toContain("hush");

    desk = new Desk(new Outbox("u1", () => undefined, () => false, localStorage), new FormDrafts("u1", localStorage));
    showForm(asked);
    expect(one<HTMLInputElement>("[data-field=service] input").value).toBe("web");
    expect(one<HTMLInputElement>("[data-field=token] input").value).toBe("");
  });

  it("takes what the server put there since, unless someone typed something else", () => {
    const props = $state({ message: MESSAGE, form: SERVICE, desk });
    show((target) => mount(Form, { target, props }));
    type("[data-field=count] input", "3");
    props.form = form(field("service", { value: "web" }), field("count", { type: "integer", value: "2", error: "Too few." }));
    flushSync();
    expect(one<HTMLInputElement>("[data-field=service] input").value).toBe("web");
    expect(one<HTMLInputElement>("[data-field=count] input").value).toBe("3");
    expect(description(one("[data-field=count] input"))).toBe("Too few.");
  });

  it("is sent with Ctrl and Enter, and given up by its other action", async () => {
    showForm(form(field("note", { type: "text", value: "x" })));
    const event = new KeyboardEvent("keydown", { key: "Enter", ctrlKey: true, bubbles: true });
    one("textarea").dispatchEvent(event);
    expect(sent).toMatchObject([{ action_id: "a_form", value: { note: "x" } }]);
    refuse("FORBIDDEN");
    await press("Cancel");
    expect(sent.at(-1)).toMatchObject({ action_id: "a_cancel", value: null });
  });

  it.each([
    ["choice", { choices: ["a", "b"] }, "[role=radiogroup] input[type=radio]", 2],
    ["choice", { choices: ["a", "b"], required: false }, "[role=radiogroup] input[type=radio]", 3],
    ["choice", { choices: ["a", "b", "c", "d", "e"] }, "select option", 6],
    ["boolean", {}, "input[type=checkbox]", 1],
    ["integer", {}, "input[inputmode=numeric]", 1],
    ["number", {}, "input[inputmode=decimal]", 1],
    ["date", {}, "input[type=date]", 1],
    ["datetime", {}, "input[type=datetime-local]", 1],
    ["email", {}, "input[type=email]", 1],
    ["url", {}, "input[type=url]", 1],
    ["text", {}, "textarea", 1],
    ["list", {}, "textarea", 1],
    ["json", {}, "textarea.json", 1],
    ["duration", {}, "input[type=text]", 1],
  ])("has the control for %s %j", (kind, change, selector, count) => {
    showForm(form(field("x", { type: kind, hint: "As you like.", ...change })));
    expect(document.querySelectorAll(selector)).toHaveLength(count);
    expect(description(one("[data-field] [aria-describedby]"))).toContain("As you like.");
  });

  it.each([
    ["submitted", /Which service\?\s*web\s*Which token\?\s*Not shown\s*Deploy: sent/],
    ["cancelled", /^\s*Deploy: cancelled\s*$/],
    ["expired", /Expired/],
  ] as const)("is only to be read once it is %s, and its draft is gone", (state, words) => {
    const asked = form(field("service", { value: "web" }), field("token", { hidden: true }));
    desk.drafts.write(asked, { service: "api", token: "" });
    showForm({ ...asked, state });
    expect(document.querySelectorAll("form, input, button")).toHaveLength(0);
    expect(page?.target.textContent).toMatch(words);
    expect(localStorage.length).toBe(0);
  });
});
