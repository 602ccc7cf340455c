/** A run of text in one style, as Slack shows it. */
export interface Span {
  text: string;
  bold?: boolean;
  italic?: boolean;
  strike?: boolean;
  code?: boolean;
  url?: string;
}

export type Line = { kind: "line" | "quote"; spans: Span[] } | { kind: "code"; text: string };

interface RichElement {
  type: string;
  text?: string;
  url?: string;
  style?: { bold?: boolean; italic?: boolean; strike?: boolean; code?: boolean } | string;
  elements?: RichElement[];
  indent?: number;
  offset?: number;
}

function plain(text: string): string {
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}

const MARKS = { "*": "bold", _: "italic", "~": "strike" } as const;
const PIECE = /`([^`\n]+)`|<([^|>]+)\|([^>]*)>|(?<![\p{L}\p{N}])([*_~])(?=\S)(.+?)(?<=\S)\4(?![\p{L}\p{N}])/u;

/** One line of Slack's markup as the runs that Slack makes of it. */
export function spans(text: string, style: Omit<Span, "text"> = {}): Span[] {
  const found = PIECE.exec(text);
  if (!found) return text === "" ? [] : [{ ...style, text: plain(text) }];
  const [all, code, url, label, mark, inner] = found;
  const before = spans(text.slice(0, found.index), style);
  const after = spans(text.slice(found.index + all.length), style);
  if (code !== undefined) return [...before, { ...style, text: plain(code), code: true }, ...after];
  if (url !== undefined) return [...before, { ...style, text: plain(label ?? ""), url: plain(url) }, ...after];
  const named = MARKS[mark as keyof typeof MARKS];
  return [...before, ...spans(inner ?? "", { ...style, [named]: true }), ...after];
}

/** Slack's markup, line by line. */
export function lines(text: string): Line[] {
  return text.split(/```\n?/).flatMap((piece, index): Line[] => {
    if (index % 2 === 1) return [{ kind: "code", text: plain(piece.replace(/\n$/, "")) }];
    const inner = piece.replace(/^\n|\n$/g, "");
    if (inner === "") return [];
    return inner.split("\n").map((line) => {
      const quoted = /^> ?(.*)$/.exec(line);
      return quoted ? { kind: "quote", spans: spans(quoted[1] ?? "") } : { kind: "line", spans: spans(line) };
    });
  });
}

function richSpans(elements: RichElement[]): Span[] {
  return elements.map(({ text, url, style }) => ({
    text: text ?? url ?? "",
    ...(url === undefined ? {} : { url }),
    ...(typeof style === "object" ? style : {}),
  }));
}

/** Runs of text cut where lines end. */
function cut(all: Span[]): Span[][] {
  const out: Span[][] = [[]];
  for (const span of all) {
    span.text.split("\n").forEach((text, index) => {
      if (index > 0) out.push([]);
      if (text !== "") out.at(-1)?.push({ ...span, text });
    });
  }
  return out;
}

/** Slack's rich text, line by line. */
export function richLines(elements: RichElement[]): Line[] {
  return elements.flatMap((element): Line[] => {
    const inner = element.elements ?? [];
    if (element.type === "rich_text_preformatted") return [{ kind: "code", text: richSpans(inner).map(({ text }) => text).join("") }];
    if (element.type === "rich_text_quote") return cut(richSpans(inner)).map((found) => ({ kind: "quote", spans: found }));
    if (element.type !== "rich_text_list") return cut(richSpans(inner)).map((found) => ({ kind: "line", spans: found }));
    return inner.flatMap((item, index) => {
      const mark = element.style === "ordered" ? `${(element.offset ?? 0) + index + 1}.` : "•";
      const indent = "    ".repeat(element.indent ?? 0);
      return cut(richSpans(item.elements ?? [])).map((found, at): Line => ({
        kind: "line",
        spans: [{ text: at === 0 ? `${indent}${mark} ` : `${indent}    ` }, ...found],
      }));
    });
  });
}
