import type { Message } from "../api/types";
import type { Outgoing } from "../live/outbox.svelte";

/** One line of the log as it is drawn. */
export type Row =
  | { kind: "day"; key: string; at: number }
  | { kind: "new"; key: string }
  | { kind: "message"; key: string; message: Message; head: boolean }
  | { kind: "outgoing"; key: string; entry: Outgoing; head: boolean };

export interface Speaker {
  id: string;
  name: string;
}

/**
 * Lays messages out: a line per day, the "new" line above the first one past `newAfter`, and a head
 * (speaker and time) on the first message of each run of one speaker within one minute.
 */
export function rows(messages: Message[], outgoing: Outgoing[], me: Speaker, newAfter: number | null): Row[] {
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

  for (const message of messages) {
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
    const head = place(at, `${message.sender.kind}/${message.sender.id}`);
    out.push({ kind: "message", key: keyOf(message), message, head });
  }
  for (const entry of outgoing) {
    const head = place(entry.at, `user/${me.id}`);
    out.push({ kind: "outgoing", key: `${me.id}/${entry.id}`, entry, head });
  }
  return out;
}

/** A message keeps the key it had while it was on its way, so its element stays. */
function keyOf(message: Message): string {
  return message.client_id ? `${message.sender.id}/${message.client_id}` : message.message_id;
}

function dayOf(at: number): string {
  const date = new Date(at);
  return `${date.getFullYear()}-${date.getMonth() + 1}-${date.getDate()}`;
}
