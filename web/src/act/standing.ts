import type { Action, ActionValue, Life } from "../api/action";
import type { ActionTaken } from "../api/frames";
import type { Message, WireError } from "../api/types";
import type { Taking } from "../live/outbox.svelte";

/** What can be done with an action that the server knows of. */
export type Standing = "open" | "used" | "expired";

/** Says how an action stands at `now`, by the server's clock. */
export function standing({ used, expires_at }: Life, now: number): Standing {
  if (used) return "used";
  return expires_at && Date.parse(expires_at) <= now ? "expired" : "open";
}

/** What became of the actions of a message that were decided together. */
export interface Outcome {
  /** What was chosen; null when it was something that is not among them. */
  label: string | null;
  by: string;
  at: number;
}

/** One outcome for each choice that was made; those that were not chosen go with it. */
export function outcomes(actions: readonly Action[]): Outcome[] {
  const used = actions.flatMap((action) => (action.type !== "link" && action.used ? [{ ...action, used: action.used }] : []));
  const chosen = used.filter((action) => action.used.chosen);
  const shown = chosen.length > 0 ? chosen : used.slice(0, 1);
  return shown.map(({ label, used: { by, at, chosen: own } }) => ({ label: own ? label : null, by, at: Date.parse(at) }));
}

/** The attempt that is under way, if any of these is. */
export function underWay(taking: readonly Taking[]): Taking | undefined {
  return taking.find(({ state }) => state !== "failed");
}

const WORDS: Record<string, string> = {
  ACTION_EXPIRED: "This has expired. Ask for it again.",
  ACTION_USED: "This was decided already.",
  ACTION_UNKNOWN: "This cannot be done any more. Ask for it again.",
  FORBIDDEN: "You may not do this. Someone with the right to can.",
};

/** Why an action was not taken, in words that say what to do. */
export function refusalWords(attempt: { error?: WireError; reason?: string }): string {
  return WORDS[attempt.error?.code ?? ""] ?? attempt.error?.message ?? attempt.reason ?? "This could not be done.";
}

const dayOnly = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeZone: "UTC" });

/** A day as people write it; anything else as it is. */
export function dayWords(value: string): string {
  const at = /^\d{4}-\d\d-\d\d$/.test(value) ? Date.parse(value) : NaN;
  return Number.isNaN(at) ? value : dayOnly.format(at);
}

/** "Ann chose Approve", "Ann chose Which bot?: Shop"; `message` is the one that carried it, if it is here. */
export function takenWords({ sender, label, value, action_id }: ActionTaken, message?: Message): string {
  if (message?.form?.cancel_id === action_id) return `${sender.name} cancelled the form`;
  const action = message?.actions?.find((candidate) => candidate.type !== "link" && candidate.id === action_id);
  const picked = pickedWords(value ?? null, action);
  if (picked === null) return `${sender.name} chose ${label}`;
  return `${sender.name} chose ${label.replace(/[:?\s]+$/, "")}: ${picked}`;
}

function pickedWords(value: ActionValue, action: Action | undefined): string | null {
  if (typeof value !== "string") return null;
  if (action?.type === "select") return action.options.find((option) => option.value === value)?.label ?? value;
  return dayWords(value);
}
