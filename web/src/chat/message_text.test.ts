import { describe, expect, it } from "vitest";
import type { Message, Part } from "../api/types";
import { textOf } from "./message_text";

const PARTS: [Part, string][] = [
  [{ type: "markdown", text: "**bold**" }, "**bold**"],
  [{ type: "fields", fields: [{ name: "Env", value: "prod" }, { name: "Took", value: "3 s" }] }, "Env: prod\nTook: 3 s"],
  [{ type: "table", columns: ["Service", "Up"], rows: [["web", "yes"], ["api", ""]] }, "Service\tUp\nweb\tyes\napi\t"],
  [{ type: "code", lang: "sh", text: "ls -l" }, "ls -l"],
  [{ type: "list", items: ["one", "two"] }, "- one\n- two"],
  [{ type: "context", texts: ["by Ann", "today"] }, "by Ann · today"],
  [{ type: "collapsible", title: "Log", text: "lines" }, "Log\nlines"],
  [{ type: "progress", label: "Deploy", step: 3, total: 7, state: "running" }, "Deploy: 3 of 7"],
  [{ type: "image", url: "https://example.org/a.png", alt: "A graph" }, "A graph"],
];

describe("a message as text", () => {
  it.each(PARTS)("writes the part %o as %j", (part, text) => {
    expect(textOf({ content: "", parts: [part] } as unknown as Message)).toBe(text);
  });

  it("has the title, the words and the parts, and nothing of what it does not know", () => {
    const message = { title: "Done", content: "All went well", parts: [{ type: "divider" }, { type: "new" }, { type: "quote", text: "so" }] };
    expect(textOf(message as unknown as Message)).toBe("Done\n\nAll went well\n\nso");
  });
});
