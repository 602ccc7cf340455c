import type { Understood } from "../api/types";

export interface Reading {
  command: string;
  arguments: { name: string; value: string }[];
  missing: string[];
  /** What it does to the world, when it does something. */
  effect: string | null;
}

/** The server's understanding of a text in the words the composer shows. */
export function reading(understood: Understood): Reading {
  return {
    command: understood.command,
    arguments: Object.entries(understood.arguments)
      .filter(([, value]) => value !== "")
      .map(([name, value]) => ({ name, value: typeof value === "string" ? value : JSON.stringify(value) })),
    missing: understood.missing,
    effect: { read: null, change: "changes something", destroy: "destroys something" }[understood.effect] ?? null,
  };
}
