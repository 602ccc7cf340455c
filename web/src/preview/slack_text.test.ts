import { describe, expect, it } from "vitest";
import { lines, richLines, spans } from "./slack_text";

describe("Slack's markup", () => {
  it("is read as Slack reads it", () => {
    expect(spans("a *b _c_* ~d~ `e*f` <https://x.example/?a=1&amp;b|g &lt;h&gt;>")).toEqual([
      { text: "a " },
      { text: "b ", bold: true },
      { text: "c", bold: true, italic: true },
      { text: " " },
      { text: "d", strike: true },
      { text: " " },
      { text: "e*f", code: true },
      { text: " " },
      { text: "g <h>", url: "https://x.example/?a=1&b" },
    ]);
    expect(spans("my_file_name 2*3*4")).toEqual([{ text: "my_file_name 2*3*4" }]);
  });

  it("is cut into lines, quotes and code", () => {
    expect(lines("one\n> two\n```\n*three*\n```")).toEqual([
      { kind: "line", spans: [{ text: "one" }] },
      { kind: "quote", spans: [{ text: "two" }] },
      { kind: "code", text: "*three*" },
    ]);
  });

  it("has rich text beside it", () => {
    const section = { type: "rich_text_section", elements: [{ type: "text", text: "a\n*b*", style: { bold: true } }] };
    expect(richLines([section, { type: "rich_text_list", style: "ordered", offset: 2, elements: [section] }])).toEqual([
      { kind: "line", spans: [{ text: "a", bold: true }] },
      { kind: "line", spans: [{ text: "*b*", bold: true }] },
      { kind: "line", spans: [{ text: "3. " }, { text: "a", bold: true }] },
      { kind: "line", spans: [{ text: "    " }, { text: "*b*", bold: true }] },
    ]);
  });
});
