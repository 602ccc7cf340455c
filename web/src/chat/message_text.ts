import type { Message } from "../api/types";

/** A message as text that can be pasted elsewhere: its title and words, then its parts. */
export function textOf(message: Message): string {
  const parts = (message.parts ?? []).map((part) => partText({ ...part }));
  return [message.title ?? "", message.content, ...parts].filter((text) => text !== "").join("\n\n");
}

/** Parts of kinds this client does not know give the text they have, if they have one. */
function partText(part: Record<string, unknown>): string {
  switch (part["type"]) {
    case "fields":
      return lines(part["fields"], (field) => `${String(field["name"])}: ${String(field["value"])}`);
    case "table":
      return [cells(part["columns"]), ...rowsOf(part["rows"])].join("\n");
    case "list":
      return rowsOf(part["items"])
        .map((item) => `- ${item}`)
        .join("\n");
    case "context":
      return rowsOf(part["texts"]).join(" · ");
    case "collapsible":
      return `${String(part["title"])}\n${String(part["text"])}`;
    case "progress":
      return `${String(part["label"])}: ${String(part["step"])} of ${String(part["total"])}`;
    case "image":
      return String(part["alt"] ?? part["url"] ?? "");
    default:
      return typeof part["text"] === "string" ? part["text"] : "";
  }
}

function lines(value: unknown, line: (entry: Record<string, unknown>) => string): string {
  return Array.isArray(value) ? value.map((entry) => line(entry as Record<string, unknown>)).join("\n") : "";
}

function rowsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.map((row) => (Array.isArray(row) ? cells(row) : String(row))) : [];
}

/** Tabs between cells, as spreadsheets take them. */
function cells(value: unknown): string {
  return Array.isArray(value) ? value.map((cell) => (cell === null || cell === undefined ? "" : String(cell))).join("\t") : "";
}
