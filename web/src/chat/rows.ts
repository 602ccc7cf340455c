import type { ActionTaken } from "../api/frames";
import type { Message } from "../api/types";
import type { Outgoing } from "../live/outbox.svelte";
import type { StreamedReply } from "./streamed";
import type { Threads } from "./threads";

/** One line of the log as it is drawn. */
export type Row =
  | { kind: "day"; key: string; at: number }
  | { kind: "new"; key: string }
  | { kind: "message"; key: string; message: Message; head: boolean }
  | { kind: "taken"; key: string; taken: ActionTaken }
  | { kind: "streamed"; key: string; reply: StreamedReply; head: boolean }
  /** What was said in one thread without anything else between. */
  | { kind: "thread"; key: string; root: string; messages: Message[] }
  | { kind: "outgoing"; key: string; entry: Outgoing; head: boolean };

/** What happens around the messages of a log. */
export interface Around {
  /** The actions that were taken, by sequence number like the messages. */
  taken: ActionTaken[];
  streamed: StreamedReply[];
  outgoing: Outgoing[];
}

export interface Speaker {
  id: string;
  name: string;
}

/**
 * Lays messages out: a line per day, the "new" line above the first one past `newAfter`, and a head
 * (speaker and time) on the first message of each run of one speaker within one minute. Actions
 * stand where they were taken; replies being written and messages on their way come last. What was
 * said in a thread is one line at its place in the log; a reply on its way is shown in the thread
 * only, unless it failed.
 */
export function rows(
  messages: Message[],
  around: Around,
  me: Speaker,
  newAfter: number | null,
  threads: Threads | null = null,
): Row[] {
  const out: Row[] = [];
  let day = "";
  let speaker = "";
  let minute = -1;
  let marked = newAfter === null;

  function place(at: number, who: string): boolean {
    const today = dayOf(at);
    if (today !== day) {
      day = today;
      speaker = "";
      out.push({ kind: "day", key: `day-${today}`, at });
    }
    const now = Math.floor(at / 60_000);
    const head = who !== speaker || now !== minute;
    speaker = who;
    minute = now;
    return head;
  }

  let next = 0;
  /** Draws the actions that were taken before this place of the log. */
  function takenBefore(seq: number): void {
    for (let taken = around.taken[next]; taken && taken.seq < seq; taken = around.taken[next]) {
      place(Date.parse(taken.ts), "");
      out.push({ kind: "taken", key: taken.event_id, taken });
      next += 1;
    }
  }

  for (const message of messages) {
    takenBefore(message.seq);
    const at = Date.parse(message.ts);
    if (!marked && newAfter !== null && message.seq > newAfter) {
      marked = true;
      speaker = "";
      if (dayOf(at) !== day) {
        day = dayOf(at);
        out.push({ kind: "day", key: `day-${day}`, at });
      }
      out.push({ kind: "new", key: "new" });
    }
    const root = threads?.root(message) ?? null;
    if (root !== null) {
      const last = out.at(-1);
      if (last?.kind === "thread" && last.root === root && dayOf(at) === day) {
        last.messages.push(message);
        continue;
      }
      place(at, "");
      out.push({ kind: "thread", key: `thread-${message.message_id}`, root, messages: [message] });
      continue;
    }
    const head = place(at, `${message.sender.kind}/${message.sender.id}`);
    out.push({ kind: "message", key: keyOf(message), message, head });
  }
  takenBefore(Infinity);
  for (const reply of around.streamed) {
    const head = place(reply.at, `${reply.sender.kind}/${reply.sender.id}`);
    // Another key than the message's: what was written piece by piece is read out when it is whole.
    out.push({ kind: "streamed", key: `streamed/${reply.message_id}`, reply, head });
  }
  for (const entry of around.outgoing) {
    if (threads && entry.reply_to && entry.state !== "failed") continue;
    const head = place(entry.at, `user/${me.id}`);
    out.push({ kind: "outgoing", key: `${me.id}/${entry.id}`, entry, head });
  }
  return out;
}

/** The rows with those that say the same as before as the objects they were: what is drawn of them stays untouched. */
export function kept(rows: readonly Row[], before: ReadonlyMap<string, Row>): Row[] {
  return rows.map((row) => {
    const known = before.get(row.key);
    return known && isSame(known, row) ? known : row;
  });
}

function isSame(a: Row, b: Row): boolean {
  const [left, right] = [Object.entries(a), Object.entries(b)];
  const other: Record<string, unknown> = { ...b };
  return left.length === right.length && left.every(([name, value]) => isEqual(value, other[name]));
}

/** The messages of a thread's row come in a list of its own each time. */
function isEqual(a: unknown, b: unknown): boolean {
  if (!Array.isArray(a) || !Array.isArray(b)) return a === b;
  return a.length === b.length && a.every((item, index) => item === b[index]);
}

/** A message keeps the key it had while it was on its way, so its element stays. */
function keyOf(message: Message): string {
  return message.client_id ? `${message.sender.id}/${message.client_id}` : message.message_id;
}

function dayOf(at: number): string {
  const date = new Date(at);
  return `${date.getFullYear()}-${date.getMonth() + 1}-${date.getDate()}`;
}
