import { describe, expect, it } from "vitest";
import type { Form, FormField } from "../api/action";
import { faults, initialValues, matches, sentValues, serverFaults } from "./rules";

function form(...fields: (Partial<FormField> & { name: string })[]): Form {
  const whole = fields.map((field) => ({ label: field.name, type: "string", required: true, ...field }));
  return { id: "a_f", cancel_id: "a_c", submit: "Go", state: "open", expires_at: "2026-11-23T12:00:00Z", fields: whole };
}

function faultOf(field: Partial<FormField>, value: string): string | undefined {
  return faults(form({ name: "x", ...field }), { x: value }).get("x");
}

describe("the rules of a form's fields", () => {
  it.each([
    ["integer", "-12", "1.5"],
    ["integer", "9223372036854775807", "9223372036854775808"],
    ["number", "1.5e3", "1,5"],
    ["number", ".5", "NaN"],
    ["date", "2024-02-29", "2026-02-29"],
    ["duration", "1h 30m", "soon"],
    ["email", "ann@example.com", "ann@example"],
    ["email", "ann+x@mail.example.com", "ann b@example.com"],
    ["url", "https://example.com/x?y", "example.com"],
    ["json", '{"a":[1]}', "{a:1}"],
    ["user", "anything", undefined],
  ])("%s takes %s and not %s", (type, good, bad) => {
    expect(faultOf({ type }, good)).toBeUndefined();
    if (bad !== undefined) expect(faultOf({ type }, bad)).toMatch(/^Write /);
  });

  it("asks for what is required, and for nothing else", () => {
    expect(faultOf({}, "")).toBe("This is needed.");
    expect(faultOf({ type: "integer" }, "  ")).toBe("This is needed.");
    expect(faultOf({ required: false, min_length: 3, pattern: "x" }, "")).toBeUndefined();
  });

  it("counts characters, not their halves", () => {
    expect(faultOf({ max_length: 2 }, "👍👍")).toBeUndefined();
    expect(faultOf({ max_length: 2 }, "abc")).toBe("Write at most 2 characters.");
    expect(faultOf({ min_length: 1, type: "text" }, " ")).toBeUndefined();
    expect(faultOf({ min_length: 2 }, "a")).toBe("Write at least 2 characters.");
    expect(faultOf({}, "x".repeat(16 * 1024 + 1))).toContain("at most");
  });

  it("holds choices to their list and patterns to the whole value", () => {
    expect(faultOf({ type: "choice", choices: ["web", "api"] }, "db")).toBe("Choose one of these.");
    expect(faultOf({ pattern: "[a-z]+" }, "web1")).toBe("This is not written as it has to be.");
    expect(faultOf({ pattern: "a|ab" }, "ab")).toBeUndefined();
  });

  it.each([
    ["a pattern of the server's own kind", "(?P<x>a)\\z", "b"],
    ["letters of other scripts", "\\w{2}", "öö"],
    ["what could take forever", "(a+)+b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"],
    ["choices that could take forever", "(a|aa)+b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"],
  ])("leaves %s to the server", (_, pattern, value) => {
    expect(matches(pattern, value)).toBeNull();
  });
});

describe("the values of a form", () => {
  it("begin with what the server put there, as controls hold it", () => {
    const begun = initialValues(
      form(
        { name: "flag", type: "boolean", value: "yes" },
        { name: "off", type: "boolean" },
        { name: "tags", type: "list", value: "a, b" },
        { name: "service", type: "choice", choices: ["Web", "api"], value: "web" },
        { name: "at", type: "datetime", value: "2026-11-23T14:00" },
        { name: "name" },
      ),
    );
    expect(begun).toEqual({ flag: "true", off: "false", tags: "a\nb", service: "Web", at: "2026-11-23T14:00", name: "" });
  });

  it("are sent as the server reads them, without what is empty", () => {
    const asked = form(
      { name: "tags", type: "list" },
      { name: "count", type: "integer" },
      { name: "note", type: "text", required: false },
      { name: "token", hidden: true },
    );
    expect(sentValues(asked, { tags: "a\n b,\n", count: " 3 ", note: "", token: " hush " })).toEqual({
      tags: "a, b",
      count: "3",
      token: " hush ",
    });
  });

  it("name a time with its place in the world, so that it means the same elsewhere", () => {
    const asked = form({ name: "at", type: "datetime" });
    const { at } = sentValues(asked, { at: "2026-11-23T14:00" });
    expect(at).toMatch(/^2026-11-23T14:00:00[+-]\d\d:\d\d$/);
    expect(Date.parse(at ?? "")).toBe(new Date(2026, 10, 23, 14).getTime());
    expect(initialValues(form({ name: "at", type: "datetime", value: at ?? "" }))).toEqual({ at: "2026-11-23T14:00" });
    expect(faults(asked, { at: "2026-11-23T14:00" }).size).toBe(0);
  });

  it("takes the server's faults in its own words where it has some", () => {
    const asked = form({ name: "service", max_length: 3 }, { name: "env" });
    const found = serverFaults(asked, [
      { field: "parameters.service", code: "max_length", message: "Parameter 'service' …" },
      { field: "parameters.env", code: "not_there", message: "There is no such place." },
      { field: "parameters.gone", code: "type", message: "?" },
    ]);
    expect([...found]).toEqual([
      ["service", "Write at most 3 characters."],
      ["env", "There is no such place."],
    ]);
  });
});
