import type { ActionValue } from "./action";
import type { DurableFrame, Message, Sender, User, WireError } from "./types";

/** The frames of `parlour.v1`, as far as this client uses them. */

export interface Hello {
  type: "hello";
  epoch: string;
  user: User;
  heartbeat_ms: number;
  /** The server's clock, in milliseconds. */
  server_time: number;
  max_frame: number;
  max_in_flight: number;
}

export interface Subscribed {
  type: "subscribed";
  id: string;
  stream: string;
  epoch: string;
  /** False when the log is another one than the client knew. */
  recovered: boolean;
  head: number;
  first_seq: number;
  /** True when more was missed than is replayed. */
  limited: boolean;
}

export interface Ack {
  type: "ack";
  id: string;
  session_id: string;
  message_id: string;
  seq: number;
  duplicate: boolean;
}

export interface Refusal {
  type: "error";
  id: string | null;
  error: WireError;
  retry_after_ms: number | null;
}

export interface Bye {
  type: "bye";
  code: number;
  reason: string;
  reconnect: boolean;
  retry_after_ms: number | null;
}

export interface SessionUpdate extends DurableFrame {
  type: "session_update";
  session_id: string;
  data: { status: "active" | "closed"; bot_id: string };
}

/** Something was appended to one of the user's conversations, followed here or not. */
export interface Activity {
  type: "activity";
  session_id: string;
  head_seq: number;
}

/** The user has read that far, on whichever device. */
export interface ReadMark {
  type: "read";
  session_id: string;
  read_seq: number;
}

/** Somebody is writing in a conversation; holds for `ttl_ms` unless it is said again. */
export interface Typing {
  type: "typing";
  session_id: string;
  sender: Sender;
  active: boolean;
  ttl_ms: number;
}

/** Whether somebody has a page open. */
export interface Presence {
  type: "presence";
  session_id: string;
  user_id: string;
  state: "online" | "away" | "offline";
}

/** A message got other words, or was taken back. */
export interface MessageChange extends DurableFrame {
  type: "message_update" | "message_delete";
  message_id: string;
  content?: string;
  edited_at?: string;
  deleted_at?: string;
  /** The whole message as it is now, when a bot replaced it. */
  post?: Omit<Message, "type" | "stream" | "seq">;
}

/** Someone took an action of a message. */
export interface ActionTaken extends DurableFrame {
  type: "action";
  session_id: string;
  event_id: string;
  /** The message that carried the action. */
  message_id: string;
  action_id: string;
  label: string;
  value?: ActionValue;
  sender: Sender;
  client_id?: string | null;
  ts: string;
}

/** More of a reply that is being written; `offset` counts the characters (code points) said before. */
export interface Chunk {
  type: "chunk";
  stream: string;
  session_id: string;
  message_id: string;
  sender: Sender;
  offset: number;
  delta: string;
}

/** All of such a reply so far, for those who come in the middle. */
export interface PartialMessage {
  type: "message_partial";
  stream: string;
  session_id: string;
  message_id: string;
  /** The run that writes it. */
  invocation_id: string;
  sender: Sender;
  reply_to?: string | null;
  content: string;
  /** How many characters `content` has. */
  offset: number;
}

/** A frame of a stream that is not in its log. */
export type PassingFrame = Chunk | PartialMessage;

export type ServerFrame =
  | Hello
  | Subscribed
  | Ack
  | Refusal
  | Bye
  | Activity
  | ReadMark
  | Typing
  | Presence
  | { type: "caught_up"; stream: string; seq: number }
  | { type: "pong"; timestamp: number }
  | PassingFrame
  | { type: "event"; event: DurableFrame };

/** Frames that pass by and are sent only on wish. */
export type Want = "typing" | "presence";

export type ClientFrame =
  | { type: "message"; id: string; session_id: string; content: string; reply_to?: string; attachments?: string[] }
  | { type: "action"; id: string; session_id: string; message_id: string; action_id: string; value: ActionValue }
  | { type: "subscribe"; id: string; stream: string; after: number; epoch?: string; limit: number; want?: Want[] }
  | { type: "unsubscribe"; stream: string }
  | { type: "cancel"; id: string; session_id: string; invocation_id: string }
  | { type: "read"; session_id: string; read_seq: number }
  | { type: "typing"; session_id: string }
  | { type: "ping"; timestamp: number };

const CONTROL = new Set([
  "hello",
  "subscribed",
  "ack",
  "error",
  "bye",
  "activity",
  "read",
  "chunk",
  "message_partial",
  "typing",
  "presence",
  "caught_up",
  "pong",
]);

/**
 * Reads one frame. Durable events of every kind arrive as `event`, so that a kind this client does
 * not know still moves its stream forward. Anything else is none of ours and gives `null`.
 */
export function readFrame(text: string): ServerFrame | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null || !("type" in value)) return null;
  if (typeof value.type !== "string") return null;
  if (CONTROL.has(value.type)) return value as ServerFrame;
  if ("stream" in value && typeof value.stream === "string" && "seq" in value && typeof value.seq === "number") {
    return { type: "event", event: value as DurableFrame };
  }
  return null;
}

export function isMessage(event: DurableFrame): event is Message {
  return event.type === "message";
}

export function isMessageChange(event: DurableFrame): event is MessageChange {
  return event.type === "message_update" || event.type === "message_delete";
}

export function isActionTaken(event: DurableFrame): event is ActionTaken {
  return event.type === "action";
}

export function isSessionUpdate(event: DurableFrame): event is SessionUpdate {
  return event.type === "session_update";
}
