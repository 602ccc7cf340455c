/** The start of a Markdown text as one plain line, for lists. */
export function plain(markdown: string): string {
  return markdown
    .replace(/```[^\n]*\n?/g, "")
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replace(/^\s*(?:#{1,6}|>|[-*+]|\d+\.)\s+/gm, "")
    .replace(/(\*\*|__|~~|`)(.+?)\1/g, "$2")
    .replace(/(?<![\w\\])([*_])(\S(?:.*?\S)?)\1(?!\w)/g, "$2")
    .replace(/\\([\\`*_{}[\]()#+!|<>~&.-])/g, "$1")
    .replace(/\s+/g, " ")
    .trim();
}
