import type * as described from "./described";
import type { ActionValue } from "./action";
import type { DurableFrame, Message, Sender, WireError } from "./types";

/** The frames of `parlour.v1`, under this client's names; `described.ts` says what each member is. */

export type Hello = Pick<
  described.HelloFrame,
  "type" | "epoch" | "user" | "heartbeat_ms" | "server_time" | "max_frame" | "max_in_flight"
>;

export type Subscribed = Omit<described.SubscribedFrame, "id"> & { id: string };

/** Of something that was sent to become an event. */
export type Ack = Extract<described.AckFrame, { seq: number }> & { id: string; session_id: string };

export type Refusal = Omit<described.ErrorFrame, "error"> & { error: WireError };

export type Bye = described.ByeFrame;

export type SessionUpdate = described.SessionUpdateFrame;

/** Something was appended to one of the user's conversations, followed here or not. */
export type Activity = Pick<described.ActivityFrame, "type" | "session_id" | "head_seq">;

/** The user has read that far, on whichever device. */
export type ReadMark = Pick<described.ReadFrame, "type" | "session_id" | "read_seq">;

/** Somebody is writing in a conversation; holds for `ttl_ms` unless it is said again. */
export type Typing = Pick<described.TypingFrame, "type" | "session_id" | "ttl_ms"> & { sender: Sender; active: boolean };

/** Whether somebody has a page open. */
export type Presence = Pick<described.PresenceFrame, "type" | "session_id" | "user_id" | "state">;

/** A message got other words, or was taken back; `post` is the whole message as it is now, when a bot replaced it. */
export type MessageChange = DurableFrame &
  Pick<described.MessageUpdateFrame, "message_id" | "edited_at" | "deleted_at"> & {
    type: (described.MessageUpdateFrame | described.MessageDeleteFrame)["type"];
    content?: string;
    post?: Omit<Message, "type" | "stream" | "seq">;
  };

/** Someone took an action of a message. */
export type ActionTaken = Omit<described.ActionFrame, "sender" | "value" | "client_id"> & {
  sender: Sender;
  value?: ActionValue;
  client_id?: string | null;
};

/** More of a reply that is being written; `offset` counts the characters (code points) said before. */
export type Chunk = Omit<described.ChunkFrame, "sender"> & { sender: Sender };

/** All of such a reply so far, for those who come in the middle. */
export type PartialMessage = Omit<described.MessagePartialFrame, "sender"> & { sender: Sender };

/** A reply that was being written is no message of its own: it rewrote an earlier one, or said nothing new. */
export type DroppedReply = described.MessageDroppedFrame;

/** A frame of a stream that is not in its log. */
export type PassingFrame = Chunk | PartialMessage | DroppedReply;

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
  | described.CaughtUpFrame
  | described.PongFrame
  | PassingFrame
  | { type: "event"; event: DurableFrame };

/** Frames that pass by and are sent only on wish. */
export type Want = "typing" | "presence";

type Sent<K extends described.ClientFrame["type"]> = Extract<described.ClientFrame, { type: K }>;
/** Under an id of this client's, which makes it safe to send again. */
type Numbered<F> = F & { id: string };

/** What this client sends, of all that the server takes. */
export type ClientFrame =
  | Numbered<Sent<"message">>
  | Numbered<Sent<"action">>
  | Numbered<Sent<"cancel">>
  | (Numbered<Sent<"subscribe">> & { want?: Want[] })
  | Sent<"unsubscribe">
  | Sent<"read">
  | Sent<"typing">
  | Sent<"ping">;

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
  "message_dropped",
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
