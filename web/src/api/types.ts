import type * as described from "./described";
import type { Action, FileInfo, Form } from "./action";

/**
 * What the REST doors answer with, under this client's names. What each member is stands in `described.ts`, which is made
 * from what the server says of itself; here is which of them this client reads, and words that are narrower than text.
 */

/** `T` with narrower members. */
type Narrow<T, N> = Omit<T, keyof N> & N;

export type User = Pick<described.User, "id" | "name" | "roles">;

/** The signed-in person and how long that lasts. */
export type Login = Narrow<
  Pick<described.CurrentSession, "session_id" | "user_id">,
  { user: User; expires_at: string | null }
>;

/** A way to sign in, beside the one-time link. */
export type SignInProvider = described.Provider;

/** `avatar` is an emoji, one or two letters, or the address of a picture. */
export type Bot = Narrow<
  Pick<described.BotSummary, "id" | "display_name" | "description" | "examples">,
  { avatar: string | null; status: "online" | "degraded"; status_detail: string | null }
>;

export type Parameter = Pick<described.ParameterView, "name" | "type" | "description" | "required" | "default" | "choices">;

export type Effect = "read" | "change" | "destroy";

export type Command = Narrow<
  Pick<described.CommandView, "name" | "description" | "intents" | "examples">,
  { parameters: Parameter[]; effect: Effect }
>;

export type BotDetail = Bot & { commands: Command[] };

/** Programs that are not bots may speak one day. */
export type SenderKind = described.SenderKind | "system";

export type Sender = Narrow<described.Sender, { kind: SenderKind }>;

/** A conversation as the list of conversations shows it, or as it is when it was just opened. */
export type ConversationSummary = Narrow<
  Pick<described.BotSession, "session_id" | "bot_id" | "stream" | "head_seq" | "created_at">,
  {
    bot: Pick<described.BotFace, "display_name"> & { avatar: string | null };
    status: "active" | "closed";
    /** 0 when it was never marked. */
    read_seq?: number;
    updated_at?: string;
    last_message?: Narrow<described.LastMessage, { sender: Sender }> | null;
  }
>;

export type Part = described.Part;
export type Tone = described.Tone;

/** One message of a conversation, as the log keeps it. */
export type Message = Narrow<
  Omit<described.MessageFrame, "format" | "edits">,
  { sender: Sender; actions?: Action[] | null; form?: Form | null; files?: FileInfo[] | null }
>;

/** A piece of an intent: a word as it stands, or a slot to be filled. */
export type Token = Narrow<Pick<described.TokenView, "text" | "done">, { kind: "literal" | "slot"; next?: boolean }>;

export type Slot = Narrow<described.SlotView, { values?: string[] | null }>;

/** `insert` is the whole text the composer holds once this is accepted. */
export type Completion = Narrow<described.CompletionView, { tokens: Token[]; slot: Slot | null }>;

export type Understood = Narrow<Omit<described.Understood, "bot_id">, { arguments: Record<string, unknown>; effect: Effect }>;

export type CompletionAnswer = Narrow<described.Completions, { completions: Completion[]; understood: Understood | null }>;

/** A message that holds what was looked for; `text` is what stands around the place. */
export type Hit = Narrow<described.SearchResult, { status: "active" | "closed"; sender: Sender }>;

export type HitPage = Narrow<described.SearchPage, { results: Hit[]; next: string | null }>;

/** A page of a stream's log, oldest first. */
export type EventPage = Narrow<
  Pick<described.EventsPage, "stream" | "epoch" | "head">,
  { events: DurableFrame[]; has_more?: boolean }
>;

/** Any event of a stream's log; kinds this client does not know still count. */
export type DurableFrame = described.PlaceFrame & { type: string };

/** `details` of what a form holds say what is wrong with which value. */
export type WireError = Narrow<
  Pick<described.ErrorFrame["error"], "code" | "message">,
  { details?: { errors?: FieldFault[] } | null }
>;

/** What is wrong with one value; `field` is `parameters.<name>`. */
export interface FieldFault {
  field: string;
  code: string;
  message: string;
}
