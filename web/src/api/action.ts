import type * as described from "./described";

/** What a reader can do right at a message, as the server tells it. */

/** Until when something can be taken, and what became of it. */
export type Life = described.Life;

export type Action = described.Action;
export type ButtonAction = Extract<Action, { type: "button" }>;
export type SelectAction = Extract<Action, { type: "select" }>;
/** Takes a day, `2026-11-23`; `min` and `max` are the first and the last one. */
export type DateAction = Extract<Action, { type: "date" }>;
/** Leads elsewhere; the server does not hear of it. */
export type LinkAction = Extract<Action, { type: "link" }>;

/** What is given along with an action: nothing, a value, or the values of a form by field. */
export type ActionValue = null | string | Record<string, string>;

export type FormField = described.FormField;
/** A form in a message. Its id is an action's, which takes the values by field; `cancel_id` gives it up. */
export type Form = described.Form;

/** A file that came along with a message; its bytes are at `/api/files/{id}`. */
export type FileInfo = described.File;
