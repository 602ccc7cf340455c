import type { Form, FormField } from "../api/action";
import type { FieldFault } from "../api/types";

/** What stands in a form: text by field name, as its controls hold it. */
export type Values = Record<string, string>;

/** The longest value of a field that names no limit, in characters. */
const MOST_CHARACTERS = 16 * 1024;

const INTEGER = /^[+-]?\d+$/;
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;
const DAY = /^\d{4}-\d\d-\d\d$/;
const LARGEST = 2n ** 63n - 1n;

/** What the controls of a form hold before anyone typed. */
export function initialValues(form: Form): Values {
  return Object.fromEntries(form.fields.map((field) => [field.name, initialValue(field)]));
}

function initialValue(field: FormField): string {
  const value = field.value ?? "";
  switch (field.type) {
    case "boolean":
      return /^(?:true|yes|y|on|1)$/i.test(value.trim()) ? "true" : "false";
    case "choice":
      return field.choices?.find((choice) => choice.toLowerCase() === value.trim().toLowerCase()) ?? "";
    case "list":
      return items(value).join("\n");
    case "date":
      // The browser shows nothing that is no day.
      return DAY.test(value.trim()) ? value.trim() : "";
    case "datetime":
      return localTime(value);
    default:
      return value;
  }
}

/** What to send: every field that holds something, in the words the server reads. */
export function sentValues(form: Form, values: Values): Values {
  const given = form.fields.flatMap((field) => {
    const value = sentValue(field, values[field.name] ?? "");
    return value === "" ? [] : [[field.name, value] as const];
  });
  return Object.fromEntries(given);
}

function sentValue(field: FormField, value: string): string {
  if (field.type === "list") return items(value).join(", ");
  if (field.type === "datetime") return withOffset(value);
  if (field.hidden || ["string", "text"].includes(field.type)) return value;
  return value.trim();
}

/** What is wrong with a form, by field; empty when it may be sent. */
export function faults(form: Form, values: Values): Map<string, string> {
  const found = new Map<string, string>();
  for (const field of form.fields) {
    const fault = faultOf(field, sentValue(field, values[field.name] ?? ""));
    if (fault !== null) found.set(field.name, fault);
  }
  return found;
}

/** What the server found, by field, in the same words as what is found here. */
export function serverFaults(form: Form, errors: readonly FieldFault[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const { field: path, code, message } of errors) {
    const name = path.replace(/^parameters\./, "");
    const field = form.fields.find((candidate) => candidate.name === name);
    if (field && !found.has(name)) found.set(name, codeWords(field, code) ?? message);
  }
  return found;
}

function faultOf(field: FormField, value: string): string | null {
  if (value === "") return field.required ? codeWords(field, "required") : null;
  const length = [...value].length;
  if (length < (field.min_length ?? 0)) return codeWords(field, "min_length");
  if (length > (field.max_length ?? MOST_CHARACTERS)) return codeWords(field, "max_length");
  if (!isOfType(field, value)) return codeWords(field, field.type === "choice" ? "choice" : "type");
  return field.pattern && matches(field.pattern, value) === false ? codeWords(field, "pattern") : null;
}

function codeWords(field: FormField, code: string): string | null {
  switch (code) {
    case "required":
    case "missing":
      return field.type === "choice" ? "Choose one of these." : "This is needed.";
    case "min_length":
      return `Write at least ${characters(field.min_length ?? 1)}.`;
    case "max_length":
      return `Write at most ${characters(field.max_length ?? MOST_CHARACTERS)}.`;
    case "choice":
      return "Choose one of these.";
    case "pattern":
      return "This is not written as it has to be.";
    case "type":
      return TYPE_WORDS[field.type] ?? null;
    default:
      return null;
  }
}

const TYPE_WORDS: Record<string, string> = {
  integer: "Write a whole number.",
  number: "Write a number.",
  boolean: "Say yes or no.",
  date: "Write a day such as 2026-11-23.",
  datetime: "Write a day and a time.",
  duration: "Write a duration such as 90s, 15m or 2h.",
  email: "Write an e-mail address such as ann@example.com.",
  url: "Write a web address such as https://example.com.",
  json: "Write valid JSON.",
};

function characters(count: number): string {
  return count === 1 ? "1 character" : `${count} characters`;
}

/** Says what the server would say; where that takes its own library, it is left to the server. */
function isOfType({ type, choices }: FormField, value: string): boolean {
  switch (type) {
    case "integer":
      return INTEGER.test(value) && BigInt(value.replace(/^\+/, "")) <= LARGEST && BigInt(value.replace(/^\+/, "")) >= -LARGEST - 1n;
    case "number":
      return NUMBER.test(value) && Number.isFinite(Number(value));
    case "boolean":
      return value === "true" || value === "false";
    case "choice":
      return choices?.includes(value) ?? true;
    case "date":
      return DAY.test(value) && isDay(value);
    case "datetime":
      return !Number.isNaN(Date.parse(value));
    case "duration":
      return /\d/.test(value);
    case "email":
      return /^[^\s]{1,64}@[^\s@.]+(?:\.[^\s@.]+)+$/.test(value);
    case "url":
      return /^https?:\/\/[^\s/?#]+\S*$/.test(value);
    case "json":
      return isJson(value);
    default:
      return true;
  }
}

function isDay(value: string): boolean {
  const at = new Date(`${value}T00:00:00Z`);
  return !Number.isNaN(at.getTime()) && at.toISOString().startsWith(value);
}

function isJson(value: string): boolean {
  try {
    JSON.parse(value);
    return true;
  } catch {
    return false;
  }
}

/**
 * Says whether the whole value matches, or null where only the server can: its expressions are of
 * another kind, count letters of every script as such, and never take long.
 */
export function matches(pattern: string, value: string): boolean | null {
  const slow = /[+*}|][^()]*\)[+*{]/.test(pattern);
  const otherLetters = /\\[wdsb]|\(\?i/i.test(pattern) && !/^[\x20-\x7e]*$/.test(value);
  if (slow || otherLetters) return null;
  try {
    return new RegExp(`^(?:${pattern})$`, "u").test(value);
  } catch {
    return null;
  }
}

function items(value: string): string[] {
  return value
    .split(/[,\n]/)
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

/** A point in time as a control for local times holds it; empty when it is none. */
function localTime(value: string): string {
  if (/^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?$/.test(value)) return value.replace(" ", "T").slice(0, 16);
  const at = new Date(value);
  if (value === "" || Number.isNaN(at.getTime())) return "";
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** A local time with its distance from UTC, so that it means the same elsewhere. */
function withOffset(local: string): string {
  const at = new Date(local);
  if (local === "" || Number.isNaN(at.getTime())) return local;
  const minutes = -at.getTimezoneOffset();
  const pad = (value: number): string => String(Math.trunc(Math.abs(value))).padStart(2, "0");
  const seconds = local.length === 16 ? ":00" : "";
  return `${local}${seconds}${minutes < 0 ? "-" : "+"}${pad(minutes / 60)}:${pad(minutes % 60)}`;
}
