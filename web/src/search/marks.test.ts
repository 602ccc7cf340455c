import { describe, expect, it } from "vitest";
import { linePieces, pieces } from "./marks";

function shown(list: { text: string; hit: boolean }[]): string {
  return list.map(({ text, hit }) => (hit ? `[${text}]` : text)).join("");
}

describe("pieces", () => {
  it.each([
    ["Deploy web, deploy API", "deploy", "[Deploy] web, [deploy] API"],
    ["aaa", "aa", "[aa]a"],
    ["nothing here", "web", "nothing here"],
    ["a.b", ".", "a[.]b"],
    ["İzmir web", "web", "İzmir web"],
    ["text", "  ", "text"],
  ])("of %j with %j are %j", (text, query, expected) => {
    expect(shown(pieces(text, query))).toBe(expected);
  });

  it("of one line begin shortly before what was found", () => {
    const line = shown(linePieces(`${"word ".repeat(30)}needle\nand more`, "needle"));
    expect(line).toMatch(/^….{40}\[needle\] and more$/);
  });
});
