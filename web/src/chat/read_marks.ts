import { keep } from "../live/storage";

/** How far each conversation has been looked at in this browser, shared by its tabs. */
export class ReadMarks {
  readonly #prefix: string;

  constructor(
    user: string,
    private readonly storage: Storage,
  ) {
    this.#prefix = `parlour.${user}.read.`;
  }

  read(session: string): number | null {
    const value = Number.parseInt(this.storage.getItem(this.#prefix + session) ?? "", 10);
    return Number.isNaN(value) ? null : value;
  }

  mark(session: string, seq: number): void {
    keep(this.storage, this.#prefix + session, String(seq));
  }

  forget(session: string): void {
    this.storage.removeItem(this.#prefix + session);
  }

  /** The mark another tab has just set, if this storage event is about one. */
  fromElsewhere(event: StorageEvent): { session: string; seq: number } | null {
    if (!event.key?.startsWith(this.#prefix) || event.newValue === null) return null;
    return { session: event.key.slice(this.#prefix.length), seq: Number.parseInt(event.newValue, 10) };
  }
}
