import type { ActionValue } from "../api/action";
import type { Message } from "../api/types";
import type { Outbox, Taking } from "../live/outbox.svelte";
import type { FormDrafts } from "./form_drafts";

/** What the controls of messages work with. */
export class Desk {
  constructor(
    private readonly outbox: Outbox,
    readonly drafts: FormDrafts,
  ) {}

  /** The attempts on actions of a message: under way, or refused. */
  taking(message: Message): Taking[] {
    return this.outbox.taking(message.message_id);
  }

  take(message: Message, action: string, value: ActionValue, secret = false): void {
    this.outbox.take(message.session_id, message.message_id, action, value, secret);
  }

  /** Forgets why an attempt was refused. */
  dismiss(attempt: Taking): void {
    this.outbox.discard(attempt.id);
  }
}
