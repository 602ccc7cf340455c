// Made by scripts/types.mjs from what the server says of itself; "npm run types -- <parlour binary>" makes it anew.

/**
 * What a frame asked for is committed. After message and command: the message; after action: the event it became; after edit and delete: the message that was changed; each with the seq of the event; after read: where the mark stands; after cancel: the run that was stopped; after what a process of a bot reports: the delivery it is about.
 */
export type AckFrame = {
  type: "ack";
  id: AnsweredFrame;
  session_id?: string;
} & (
  | {
      message_id: string;
      seq: number;
      /**
       * The same id had asked for the same before; nothing was written.
       */
      duplicate: boolean;
    }
  | {
      read_seq: number;
    }
  | {
      invocation_id: string;
      status: "cancelled";
    }
  | {
      delivery_id: string;
      /**
       * After done.
       */
      status?: "completed" | "failed";
      /**
       * After extend.
       */
      lease_ms?: number;
      /**
       * After say: the message that says it, an earlier one of the same name if there is one; null when nothing says it.
       */
      message_id?: string | null;
      /**
       * After say: this or an earlier attempt had said it under the same id.
       */
      duplicate?: boolean;
    }
);
/**
 * The id of the frame that is answered; null when it had none.
 */
export type AnsweredFrame = string | null;
/**
 * One thing to do at a message.
 */
export type Action =
  | (Life & {
      /**
       * What is asked before it counts.
       */
      confirm?: string | null;
      id: string;
      label: string;
      style?: Style;
    } & {
      type: "button";
    })
  | (Life & {
      id: string;
      label: string;
      options: Choice[];
    } & {
      type: "select";
    })
  | (Life & {
      id: string;
      label: string;
      max?: string | null;
      /**
       * The first and the last day that may be picked.
       */
      min?: string | null;
    } & {
      type: "date";
    })
  | {
      label: string;
      type: "link";
      url: string;
    };
export type Style = "plain" | "primary" | "danger";
/**
 * Somebody took an action of a message: pressed, chose, or sent a form. Hidden values never stand in it.
 */
export type ActionFrame = PlaceFrame & {
  type: "action";
  session_id: string;
  event_id: string;
  /**
   * The message that carried the action.
   */
  message_id: string;
  action_id: string;
  label: string;
  value?:
    | string
    | {
        [k: string]: string;
      };
  sender: Sender;
  /**
   * The sender's own id for it.
   */
  client_id?: string;
  ts: TimeFrame;
};
export type SenderKind = "user" | "bot";
/**
 * RFC 3339 in UTC.
 */
export type TimeFrame = string;
/**
 * One thing to do at a message of a process.
 */
export type BotAction =
  | {
      /**
       * Without it the process's own bot. The same in the actions below.
       */
      bot?: string | null;
      command: string;
      /**
       * What is asked before it counts.
       */
      confirm?: string | null;
      label: string;
      parameters?: {};
      /**
       * Whether taking it uses it up, together with the other single-use actions of the message.
       */
      single_use?: boolean;
      style?: Style;
      /**
       * How long it can be taken, in milliseconds; without it, as long as the message is there.
       */
      ttl_ms?: number | null;
      type: "button";
    }
  | {
      bot?: string | null;
      command: string;
      confirm?: string | null;
      label: string;
      /**
       * What stands in the form when it is shown.
       */
      parameters?: {};
      single_use?: boolean;
      style?: Style;
      ttl_ms?: number | null;
      type: "form";
    }
  | {
      bot?: string | null;
      command: string;
      label: string;
      options: Choice[];
      /**
       * The parameter that takes what is chosen.
       */
      parameter: string;
      parameters?: {};
      single_use?: boolean;
      ttl_ms?: number | null;
      type: "select";
    }
  | {
      bot?: string | null;
      command: string;
      label: string;
      max?: string | null;
      /**
       * The first and the last day that may be picked.
       */
      min?: string | null;
      /**
       * The parameter that takes the day.
       */
      parameter: string;
      parameters?: {};
      single_use?: boolean;
      ttl_ms?: number | null;
      type: "date";
    }
  | {
      label: string;
      type: "link";
      url: string;
    };
/**
 * A bot with all that it can do.
 */
export type BotDetail = BotProfile & {
  commands: CommandView[];
};
/**
 * One rich part below the text.
 */
export type Part =
  | {
      text: string;
      type: "markdown";
    }
  | {
      fields: Field[];
      type: "fields";
    }
  | {
      columns: string[];
      rows: string[][];
      type: "table";
    }
  | {
      lang: string;
      text: string;
      type: "code";
    }
  | {
      items: string[];
      type: "list";
    }
  | {
      text: string;
      type: "quote";
    }
  | {
      alt: string;
      type: "image";
      url: string;
    }
  | {
      texts: string[];
      type: "context";
    }
  | {
      text: string;
      title: string;
      type: "collapsible";
    }
  | {
      label: string;
      state: ProgressState;
      step: number;
      total: number;
      type: "progress";
    }
  | {
      type: "divider";
    };
export type ProgressState = "running" | "done" | "failed";
/**
 * What happens where a message of that name may stand already.
 */
export type PostMode = "ttl" | "always" | "update_only";
export type Tone = "info" | "success" | "warning" | "error" | "question";
/**
 * A bot the caller may use.
 */
export type BotSummary = BotProfile & {
  /**
   * How many commands the caller may run.
   */
  commands: number;
};
/**
 * What a client sends.
 */
export type ClientFrame =
  | {
      /**
       * Ids of files that go along.
       */
      attachments?: string[];
      /**
       * With attachments it may be empty.
       */
      content?: string;
      id?: string | null;
      reply_to?: string | null;
      session_id: string;
      type: "message";
    }
  | {
      /**
       * Without it the session's bot, or else the one bot that has such a command.
       */
      bot?: string | null;
      command: string;
      id?: string | null;
      parameters?: {};
      session_id: string;
      type: "command";
    }
  | {
      action_id: string;
      id?: string | null;
      message_id: string;
      session_id: string;
      type: "action";
      value?: unknown;
    }
  | {
      after?: number;
      epoch?: string | null;
      id?: string | null;
      limit?: number;
      stream: string;
      type: "subscribe";
      /**
       * Frames that pass by and are sent only on wish: `typing`, `presence`, `delivered`.
       */
      want?: string[];
    }
  | {
      stream: string;
      type: "unsubscribe";
    }
  | {
      before?: number | null;
      id?: string | null;
      limit?: number;
      session_id: string;
      type: "history";
    }
  | {
      content: string;
      id?: string | null;
      message_id: string;
      session_id: string;
      type: "edit";
    }
  | {
      id?: string | null;
      message_id: string;
      session_id: string;
      type: "delete";
    }
  | {
      id?: string | null;
      read_seq: number;
      session_id: string;
      type: "read";
    }
  | {
      session_id: string;
      type: "typing";
    }
  | {
      /**
       * What a client says of its user.
       */
      state: "online" | "away";
      type: "presence";
    }
  | {
      seq: number;
      stream: string;
      type: "received";
    }
  | {
      id?: string | null;
      token: string;
      type: "auth";
    }
  | {
      id?: string | null;
      invocation_id: string;
      session_id: string;
      type: "cancel";
    }
  | {
      bot_id: string;
      /**
       * Only these commands; all that are left to processes when absent.
       */
      commands?: string[] | null;
      id?: string | null;
      /**
       * How many deliveries it takes at a time.
       */
      max_in_flight?: number;
      type: "register";
    }
  | {
      /**
       * The attempt it is about; the one this process has when absent. The same in the frames below.
       */
      attempt?: number | null;
      /**
       * Markdown; the same as a message with nothing but a text.
       */
      content?: string | null;
      delivery_id: string;
      /**
       * Why it failed.
       */
      error?: string | null;
      id?: string | null;
      message?: BotMessage | null;
      status?: RunStatus;
      type: "done";
    }
  | {
      attempt?: number | null;
      delivery_id: string;
      id?: string | null;
      retry_after_ms?: number | null;
      type: "nack";
    }
  | {
      attempt?: number | null;
      delivery_id: string;
      id?: string | null;
      type: "extend";
    }
  | {
      attempt?: number | null;
      delivery_id: string;
      delta: string;
      id?: string | null;
      offset: number;
      type: "chunk";
    }
  | {
      attempt?: number | null;
      content?: string | null;
      delivery_id: string;
      id: string;
      message?: BotMessage | null;
      type: "say";
    }
  | {
      timestamp?: unknown;
      type: "ping";
    };
/**
 * How a run ended, as its process says.
 */
export type RunStatus = "completed" | "failed";
export type FormState = "open" | "submitted" | "cancelled" | "expired";
export type ListedSession = BotSession & {
  last_message?: LastMessage | null;
  updated_at: string;
};
/**
 * A message was taken back.
 */
export type MessageDeleteFrame = PlaceFrame & {
  type: "message_delete";
  session_id: string;
  message_id: string;
  sender: Sender;
  deleted_at: TimeFrame;
};
/**
 * Something said. After an edit it holds the new text, taken back it holds none.
 */
export type MessageFrame = PlaceFrame &
  Post & {
    type: "message";
  };
/**
 * A message has another text from here on. Empty with deleted_at: the message was taken back later. With post, all of it was replaced, and post is how it stands now.
 */
export type MessageUpdateFrame = PlaceFrame & {
  type: "message_update";
  session_id: string;
  message_id: string;
  sender?: Sender;
  content: string;
  edited_at?: TimeFrame;
  deleted_at?: TimeFrame;
  post?: Post;
};
/**
 * A session was opened or closed.
 */
export type SessionUpdateFrame = PlaceFrame & {
  type: "session_update";
  session_id: string;
  data: {
    status: "active" | "closed";
    bot_id: string;
  };
};

export interface Nothing {
  [k: string]: unknown;
}
/**
 * Until when an action can be taken, and what became of it.
 */
export interface Life {
  /**
   * RFC 3339; absent when it stays.
   */
  expires_at?: string | null;
  used?: Used | null;
}
/**
 * Set when it can be taken no more because it, or another choice of its message, was.
 */
export interface Used {
  /**
   * RFC 3339.
   */
  at: string;
  /**
   * Name of the person.
   */
  by: string;
  /**
   * Whether it was this one that was taken.
   */
  chosen: boolean;
}
export interface Choice {
  label: string;
  value: string;
}
/**
 * Where an event stands: its stream, and its number there. Numbers of a stream have no gaps.
 */
export interface PlaceFrame {
  stream: string;
  seq: number;
}
/**
 * Who said something.
 */
export interface Sender {
  id: string;
  kind: SenderKind;
  name: string;
}
/**
 * Something was said in a session of the user's. On the user's own stream.
 */
export interface ActivityFrame {
  type: "activity";
  stream: string;
  session_id: string;
  head_seq: number;
  ts: TimeFrame;
}
/**
 * What every view of a bot begins with.
 */
export interface BotProfile {
  avatar: string;
  description: string;
  display_name: string;
  /**
   * Things to say.
   */
  examples: string[];
  id: string;
  /**
   * `online`, or `degraded` when its newest files cannot be used.
   */
  status: string;
  /**
   * What is wrong, for administrators.
   */
  status_detail?: string | null;
}
export interface CommandView {
  description: string;
  effect: string;
  examples: string[];
  intents: string[];
  name: string;
  parameters: ParameterView[];
}
export interface ParameterView {
  choices?: string[] | null;
  default?: string | null;
  description: string;
  name: string;
  pattern?: string | null;
  prompt?: string | null;
  required: boolean;
  type: string;
}
export interface BotFace {
  avatar: string;
  display_name: string;
}
/**
 * What a process says.
 */
export interface BotMessage {
  /**
   * What can be done at it by whoever the run answers.
   */
  actions?: BotAction[];
  /**
   * Where it goes, such as `here`, `slack:#ops`, `group:oncall`, `user:<id>`; empty: where the command was said.
   */
  destinations?: string[];
  /**
   * Whether only whoever it answers sees it, where others read along; then without `destinations`.
   */
  ephemeral?: boolean;
  /**
   * The bot's own name for it in this conversation: what is said under the name of an earlier message takes its place.
   */
  id?: string | null;
  parts?: Part[];
  post?: PostMode;
  /**
   * Things the reader could say next.
   */
  suggestions?: string[];
  /**
   * Markdown that stands alone.
   */
  text?: string;
  title?: string | null;
  tone?: Tone | null;
  /**
   * How long after it was said or rewritten last it is still rewritten, in milliseconds; without it, always.
   */
  ttl_ms?: number | null;
}
export interface Field {
  name: string;
  /**
   * Whether it may stand beside another field.
   */
  short?: boolean;
  value: string;
}
/**
 * A bot session: a conversation with a bot.
 */
export interface BotSession {
  active: boolean;
  bot: BotFace;
  bot_id: string;
  channel: string;
  created_at: string;
  head_seq: number;
  /**
   * How far you have read it, on any device.
   */
  read_seq: number;
  session_id: string;
  /**
   * `active` or `closed`.
   */
  status: string;
  /**
   * The stream of its events.
   */
  stream: string;
}
/**
 * The last frame before the server closes the socket.
 */
export interface ByeFrame {
  type: "bye";
  /**
   * The code of the close frame that follows.
   */
  code: number;
  reason: string;
  /**
   * Whether coming back makes sense.
   */
  reconnect: boolean;
  retry_after_ms: number | null;
}
/**
 * Everything up to the head at the time of the subscription was sent.
 */
export interface CaughtUpFrame {
  type: "caught_up";
  stream: string;
  seq: number;
}
/**
 * The next piece of a reply that is being written. It begins at offset, counted in Unicode scalar values, which is where the piece before it ended. In a run that is polled there is no session_id.
 */
export interface ChunkFrame {
  type: "chunk";
  stream: string;
  session_id?: string;
  message_id: string;
  sender: Sender;
  offset: number;
  delta: string;
}
export interface CompletionView {
  bot_id: string;
  command: string;
  description: string;
  /**
   * The whole text after accepting this.
   */
  insert: string;
  slot?: SlotView | null;
  tokens: TokenView[];
}
export interface SlotView {
  description: string;
  name: string;
  type: string;
  values: string[];
}
export interface TokenView {
  /**
   * Whether it has been typed.
   */
  done: boolean;
  /**
   * `literal` or `slot`.
   */
  kind: string;
  /**
   * Whether it comes next.
   */
  next: boolean;
  text: string;
}
/**
 * What could be typed next, and what the text means as it stands.
 */
export interface Completions {
  completions: CompletionView[];
  text: string;
  understood?: Understood | null;
}
export interface Understood {
  arguments: {
    [k: string]: string;
  };
  bot_id: string;
  command: string;
  effect: string;
  /**
   * Required parameters without a value.
   */
  missing: string[];
}
/**
 * The caller's own session.
 */
export interface CurrentSession {
  /**
   * The bot selected in this session; a login is not bound to one.
   */
  bot_id?: string | null;
  created_at: string;
  expires_at?: string | null;
  /**
   * `login`, `api_key` or `service`.
   */
  kind: string;
  session_id: string;
  user: User;
  user_id: string;
}
export interface User {
  groups: string[];
  id: string;
  name: string;
  roles: string[];
}
/**
 * A frame was not understood or refused; the socket stays open.
 */
export interface ErrorFrame {
  type: "error";
  id: AnsweredFrame;
  error: {
    code: string;
    message: string;
    details: {} | null;
  };
  /**
   * When trying again makes sense, if the error knows.
   */
  retry_after_ms: number | null;
}
/**
 * A page of a stream.
 */
export interface EventsPage {
  /**
   * Names the database's lineage; another epoch means: start afresh.
   */
  epoch: string;
  /**
   * The frames, as a web socket gets them.
   */
  events: {}[];
  /**
   * With `before`: whether there are older events.
   */
  has_more?: boolean | null;
  /**
   * The newest `seq` of the stream.
   */
  head: number;
  /**
   * Whether there are more events in the direction read.
   */
  limited: boolean;
  /**
   * Give it as `after` to read on.
   */
  next_after: number;
  stream: string;
}
/**
 * What readers of a message learn of a file; its bytes are fetched by its id.
 */
export interface File {
  id: string;
  /**
   * As its content says, whatever its name or its sender said.
   */
  media_type: string;
  /**
   * As its sender called it, without a folder.
   */
  name: string;
  /**
   * In bytes.
   */
  size: number;
}
/**
 * A form in a message. Its id is an action's: it takes an object of field names and values.
 */
export interface Form {
  /**
   * The action that gives the form up; it takes no value.
   */
  cancel_id: string;
  /**
   * RFC 3339.
   */
  expires_at: string;
  fields: FormField[];
  id: string;
  state: FormState;
  /**
   * What is written on the button that sends it.
   */
  submit: string;
}
/**
 * One field of a form: a parameter as it is asked for.
 */
export interface FormField {
  choices?: string[];
  /**
   * What is wrong with the value that was given before.
   */
  error?: string | null;
  /**
   * Whether what is typed is neither shown nor kept in the conversation.
   */
  hidden?: boolean;
  hint?: string | null;
  /**
   * What is asked; plain text.
   */
  label: string;
  max_length?: number | null;
  min_length?: number | null;
  name: string;
  /**
   * A regular expression that the whole value must match.
   */
  pattern?: string | null;
  required: boolean;
  /**
   * The parameter's type: `string`, `text`, `choice`, `boolean`, `date`, …
   */
  type: string;
  /**
   * What stands in it when it is shown.
   */
  value?: string | null;
}
/**
 * The first frame of every socket.
 */
export interface HelloFrame {
  type: "hello";
  protocol: "parlour.v1";
  connection_id: string;
  /**
   * Names the database's lineage; another one than last time means: forget every place and start afresh.
   */
  epoch: string;
  user: {
    id: string;
    name: string;
    roles: string[];
  };
  /**
   * Send a ping this often.
   */
  heartbeat_ms: number;
  /**
   * A client that is silent for this long is sent away.
   */
  idle_timeout_ms: number;
  /**
   * The largest frame that is read, in bytes.
   */
  max_frame: number;
  /**
   * Frames that may wait for their answer; reading stops there.
   */
  max_in_flight: number;
  /**
   * Streams that this socket may read; null for any number.
   */
  max_subscriptions: number | null;
  /**
   * How fast frames may come: more are refused with RATE_LIMITED, and a client that goes on is sent away. Null for any pace.
   */
  pace: {
    per_second: number;
    /**
     * At once, after a pause.
     */
    burst: number;
  } | null;
  /**
   * Unix time in milliseconds.
   */
  server_time: number;
}
export interface LastMessage {
  sender: Sender;
  seq: number;
  /**
   * Its first 120 characters, or the names of its files when it has no words.
   */
  text: string;
  ts: string;
}
/**
 * A reply that was being written is no message of its own: it was said under the name of an earlier message, which a message_update before this frame rewrote, or was nothing new. What was shown of it goes.
 */
export interface MessageDroppedFrame {
  type: "message_dropped";
  stream: string;
  session_id: string;
  message_id: string;
}
/**
 * A message at its place in a conversation: the payload of a `message` event.
 */
export interface Post {
  actions?: Action[];
  /**
   * The sender's own id for it.
   */
  client_id?: string | null;
  command?: string | null;
  /**
   * What was said: plain text of a person, Markdown of a bot.
   */
  content: string;
  /**
   * When it was taken back; its text is gone.
   */
  deleted_at?: string | null;
  /**
   * When its text was replaced last; `content` is the text that counts now.
   */
  edited_at?: string | null;
  /**
   * The places of the events that replaced it.
   */
  edits?: number[];
  /**
   * Whether only whoever it answers sees it, where others read along.
   */
  ephemeral?: boolean;
  files?: File[];
  form?: Form | null;
  /**
   * `text` or `markdown`.
   */
  format: string;
  /**
   * The run that said it, and its command.
   */
  invocation_id?: string | null;
  message_id: string;
  parts?: Part[];
  reply_to?: string | null;
  sender: Sender;
  session_id: string;
  suggestions?: string[];
  title?: string | null;
  tone?: Tone | null;
  /**
   * RFC 3339.
   */
  ts: string;
}
/**
 * A reply that is being written, all of it so far: after a subscription, and when it begins, or begins anew because another process took over. It replaces what was shown of that message; the message of the same message_id ends it.
 */
export interface MessagePartialFrame {
  type: "message_partial";
  stream: string;
  session_id?: string;
  message_id: string;
  sender: Sender;
  reply_to?: string;
  /**
   * The run that writes it; cancel takes it.
   */
  invocation_id: string;
  content: string;
  /**
   * How many Unicode scalar values content has: where the next chunk begins.
   */
  offset: number;
}
/**
 * Answers a ping with its timestamp.
 */
export interface PongFrame {
  type: "pong";
  timestamp: unknown;
}
/**
 * How present somebody is in a session; only to who subscribed with want presence, who first hears of everybody there. Offline: their last socket here has gone.
 */
export interface PresenceFrame {
  type: "presence";
  stream: string;
  session_id: string;
  user_id: string;
  state: "online" | "away" | "offline";
}
/**
 * A way to sign in.
 */
export interface Provider {
  /**
   * `oidc`
   */
  kind: string;
  /**
   * Where a browser goes; it takes `?redirect=/path`.
   */
  login_url: string;
}
export interface Providers {
  providers: Provider[];
}
/**
 * The user has read a session up to a place, on this or another device. On the user's own stream.
 */
export interface ReadFrame {
  type: "read";
  stream: string;
  session_id: string;
  user_id: string;
  read_seq: number;
}
export interface SearchPage {
  /**
   * Give it as `before` to look on; null at the end. A page may be short and still have more behind it.
   */
  next?: string | null;
  results: SearchResult[];
}
/**
 * A message, by its place.
 */
export interface SearchResult {
  bot_id: string;
  message_id: string;
  sender: Sender;
  seq: number;
  session_id: string;
  /**
   * Of the session: `active` or `closed`.
   */
  status: string;
  /**
   * At most 240 characters around what was found.
   */
  text: string;
  ts: string;
}
export interface SessionList {
  /**
   * Give it as `before` to read on; null at the end.
   */
  next?: string | null;
  sessions: ListedSession[];
}
/**
 * A subscription was accepted; its events follow, then caught_up.
 */
export interface SubscribedFrame {
  type: "subscribed";
  id: AnsweredFrame;
  stream: string;
  epoch: string;
  /**
   * False: the place asked for is not of this log; drop what is known and take what follows.
   */
  recovered: boolean;
  /**
   * The newest seq.
   */
  head: number;
  /**
   * The seq of the first event that follows.
   */
  first_seq: number;
  /**
   * More was missed than asked for; read the rest back with history.
   */
  limited: boolean;
}
/**
 * Somebody is writing; only to who subscribed with want typing. It counts for ttl_ms or until the sender's next message.
 */
export interface TypingFrame {
  type: "typing";
  stream: string;
  session_id: string;
  sender: Sender;
  active: true;
  ttl_ms: number;
}
/**
 * A file that was taken in.
 */
export interface Uploaded {
  file: File;
}
/**
 * Who took which choice.
 */
export interface Used1 {
  /**
   * RFC 3339.
   */
  at: string;
  /**
   * Name of the person.
   */
  by: string;
  /**
   * Whether it was this one that was taken.
   */
  chosen: boolean;
}
