import { keep } from "../live/storage";

/** How far each conversation has been looked at: kept in this browser for its tabs, told to the server for other devices. */
export class ReadMarks {
  readonly #prefix: string;

  constructor(
    user: string,
    private readonly storage: Storage,
    private readonly tell: (session: string, seq: number) => void,
  ) {
    this.#prefix = `parlour.${user}.read.`;
  }

  read(session: string): number | null {
    const value = Number.parseInt(this.storage.getItem(this.#prefix + session) ?? "", 10);
    return Number.isNaN(value) ? null : value;
  }

  mark(session: string, seq: number): void {
    keep(this.storage, this.#prefix + session, String(seq));
    this.tell(session, seq);
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
