import type { Command, Completion, Token } from "../api/types";

/** One row above the composer; accepting it replaces the whole text by `insert`. */
export interface Choice {
  key: string;
  insert: string;
  /** False for a row that only shows what comes next: the text already is as it would make it. */
  changes: boolean;
  tokens: Token[];
  description: string;
}

/**
 * The rows for a completion answer. Where the first completion waits for one of a few values, each
 * value that fits what was typed is a row of its own, before the other completions.
 */
export function choices(text: string, completions: readonly Completion[]): Choice[] {
  const [first] = completions;
  const values = first ? valueChoices(text, first) : [];
  const rest = values.length > 0 ? completions.slice(1) : completions;
  const rows = rest.map((completion, index) => ({
    key: `${completion.bot_id}/${completion.command}/${index}`,
    insert: completion.insert,
    changes: completion.insert !== text,
    tokens: completion.tokens,
    description: completion.description ?? "",
  }));
  return [...values, ...rows].filter((row) => row.changes || row.tokens.some((token) => !token.done));
}

function valueChoices(text: string, completion: Completion): Choice[] {
  const values = completion.slot?.values ?? [];
  if (values.length === 0) return [];
  // What is being typed in the slot: the end of the text, if the server's text ends in the same.
  const written = completion.insert.startsWith(text) ? completion.insert : text;
  const partial = /[^\s=]*$/.exec(written)?.[0] ?? "";
  const open = values.filter((value) => value.toLowerCase().startsWith(partial.toLowerCase()));
  const matching = open.length > 0 ? open : partial === "" ? values : [];
  const base = written.slice(0, written.length - (matching.length > 0 ? partial.length : 0));
  return matching.map((value) => ({
    key: `value/${value}`,
    insert: `${base}${quoted(value)} `,
    changes: true,
    tokens: filled(completion.tokens, value),
    description: "",
  }));
}

/** The tokens with the slot that comes next shown as this value, behind its name if it is given by name. */
function filled(tokens: readonly Token[], value: string): Token[] {
  return tokens.map((token) => {
    if (!token.next) return token;
    const text = token.text.endsWith("=") ? token.text + value : value;
    return { kind: "literal", text, done: false, next: true };
  });
}

function quoted(value: string): string {
  return /[\s"']/.test(value) ? `"${value.replaceAll('"', '\\"')}"` : value;
}

/** What to type to begin with this command: an intent's words up to its first slot, or an example. */
export function opening(command: Command): string {
  for (const intent of command.intents) {
    if (isRegex(intent)) continue;
    const words = (/^[^{(\[|]*/.exec(intent)?.[0] ?? "").trimEnd();
    if (words !== "") return words === intent.trim() && command.parameters.length === 0 ? words : `${words} `;
  }
  return command.examples[0] ?? "";
}

function isRegex(intent: string): boolean {
  return intent.startsWith("/") || intent.startsWith("^");
}
