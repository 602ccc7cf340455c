/** What a reader can do right at a message, as the server tells it. */

/** Until when something can be taken, and what became of it. */
export interface Life {
  /** Absent when it stays. */
  expires_at?: string | null;
  /** Set when it can be taken no more, because it or another choice of its message was. */
  used?: { by: string; at: string; chosen: boolean } | null;
}

export interface ButtonAction extends Life {
  type: "button";
  id: string;
  label: string;
  style?: "plain" | "primary" | "danger";
  /** What is asked before it counts. */
  confirm?: string | null;
}

export interface SelectAction extends Life {
  type: "select";
  id: string;
  label: string;
  options: { value: string; label: string }[];
}

/** Takes a day, `2026-11-23`; `min` and `max` are the first and the last one. */
export interface DateAction extends Life {
  type: "date";
  id: string;
  label: string;
  min?: string | null;
  max?: string | null;
}

/** Leads elsewhere; the server does not hear of it. */
export interface LinkAction {
  type: "link";
  label: string;
  url: string;
}

export type Action = ButtonAction | SelectAction | DateAction | LinkAction;

/** What is given along with an action: nothing, a value, or the values of a form by field. */
export type ActionValue = null | string | Record<string, string>;

export interface FormField {
  name: string;
  label: string;
  hint?: string | null;
  /** The parameter's type. */
  type: string;
  required: boolean;
  /** What stands in it at first. */
  value?: string | null;
  choices?: string[] | null;
  min_length?: number | null;
  max_length?: number | null;
  /** A regular expression that the whole value must match. */
  pattern?: string | null;
  /** What is wrong with the value that was given before. */
  error?: string | null;
  /** What is typed here is neither shown nor kept. */
  hidden?: boolean;
}

/** A form in a message. Its id is an action's, which takes the values by field. */
export interface Form {
  id: string;
  /** The action that gives the form up. */
  cancel_id: string;
  submit: string;
  fields: FormField[];
  state: "open" | "submitted" | "cancelled" | "expired";
  expires_at: string;
}

/** A file that came along with a message; its bytes are at `/api/files/{id}`. */
export interface FileInfo {
  id: string;
  name: string;
  /** As its content says. */
  media_type: string;
  /** In bytes. */
  size: number;
}
