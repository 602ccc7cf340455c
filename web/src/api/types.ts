import type { Action, FileInfo, Form } from "./action";

/** What the REST doors answer with. */

export interface User {
  id: string;
  name: string;
  roles: string[];
}

/** The signed-in person and how long that lasts. */
export interface Login {
  session_id: string;
  user_id: string;
  user: User;
  expires_at: string | null;
}

/** A way to sign in, beside the one-time link. */
export interface SignInProvider {
  kind: string;
  login_url: string;
}

export interface Bot {
  id: string;
  display_name: string;
  description: string;
  /** An emoji, one or two letters, or the address of a picture. */
  avatar: string | null;
  status: "online" | "degraded";
  status_detail: string | null;
  examples: string[];
}

export interface Parameter {
  name: string;
  type: string;
  description: string | null;
  required: boolean;
  default: unknown;
  choices: string[] | null;
}

export type Effect = "read" | "change" | "destroy";

export interface Command {
  name: string;
  description: string | null;
  intents: string[];
  parameters: Parameter[];
  examples: string[];
  effect: Effect;
}

export interface BotDetail extends Omit<Bot, "commands"> {
  commands: Command[];
}

export type SenderKind = "user" | "bot" | "system";

export interface Sender {
  kind: SenderKind;
  id: string;
  name: string;
}

/** A conversation as the list of conversations shows it. */
export interface ConversationSummary {
  session_id: string;
  bot_id: string;
  bot: { display_name: string; avatar: string | null };
  status: "active" | "closed";
  stream: string;
  head_seq: number;
  /** How far the user has read it; 0 when it was never marked. */
  read_seq?: number;
  created_at: string;
  updated_at?: string;
  last_message?: { seq: number; sender: Sender; text: string; ts: string } | null;
}

export type Part =
  | { type: "markdown"; text: string }
  | { type: "fields"; fields: { name: string; value: string; short?: boolean }[] }
  | { type: "table"; columns: string[]; rows: unknown[][] }
  | { type: "code"; lang?: string | null; text: string }
  | { type: "list"; items: string[]; ordered?: boolean }
  | { type: "quote"; text: string }
  | { type: "image"; url: string; alt?: string | null }
  | { type: "context"; texts: string[] }
  | { type: "collapsible"; title: string; text: string }
  | { type: "progress"; label: string; step: number; total: number; state: "running" | "done" | "failed" }
  | { type: "divider" };

export type Tone = "info" | "success" | "warning" | "error" | "question";

/** One message of a conversation, as the log keeps it. */
export interface Message {
  type: "message";
  stream: string;
  seq: number;
  session_id: string;
  message_id: string;
  client_id?: string | null;
  sender: Sender;
  content: string;
  reply_to?: string | null;
  command?: string | null;
  title?: string | null;
  tone?: Tone | null;
  parts?: Part[] | null;
  suggestions?: string[] | null;
  actions?: Action[] | null;
  form?: Form | null;
  files?: FileInfo[] | null;
  ts: string;
  /** When its words were last changed, and when it was taken back. */
  edited_at?: string | null;
  deleted_at?: string | null;
}

/** A piece of an intent: a word as it stands, or a slot to be filled. */
export interface Token {
  kind: "literal" | "slot";
  text: string;
  done: boolean;
  next?: boolean;
}

export interface Slot {
  name: string;
  type: string;
  description: string | null;
  values?: string[] | null;
}

export interface Completion {
  bot_id: string;
  command: string;
  description: string | null;
  /** The whole text the composer holds once this is accepted. */
  insert: string;
  tokens: Token[];
  slot: Slot | null;
}

export interface Understood {
  command: string;
  arguments: Record<string, unknown>;
  missing: string[];
  effect: Effect;
}

export interface CompletionAnswer {
  text: string;
  completions: Completion[];
  understood: Understood | null;
}

/** A message that holds what was looked for. */
export interface Hit {
  session_id: string;
  bot_id: string;
  status: "active" | "closed";
  message_id: string;
  seq: number;
  sender: Sender;
  /** The text around the place. */
  text: string;
  ts: string;
}

export interface HitPage {
  results: Hit[];
  /** Where to look on; null at the end. */
  next: string | null;
}

/** A page of a stream's log, oldest first. */
export interface EventPage {
  stream: string;
  epoch: string;
  head: number;
  events: DurableFrame[];
  has_more?: boolean;
}

/** Any event of a stream's log; kinds this client does not know still count. */
export interface DurableFrame {
  type: string;
  stream: string;
  seq: number;
}

export interface WireError {
  code: string;
  message: string;
  details?: { errors?: FieldFault[] } | null;
}

/** What is wrong with one value; `field` is `parameters.<name>`. */
export interface FieldFault {
  field: string;
  code: string;
  message: string;
}
