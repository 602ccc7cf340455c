import { keep } from "../live/storage";

/** Text that was typed and not sent, by conversation; it outlives a reload. */
export class Drafts {
  readonly #prefix: string;

  constructor(
    user: string,
    private readonly storage: Storage,
  ) {
    this.#prefix = `parlour.${user}.draft.`;
  }

  read(session: string): string {
    return this.storage.getItem(this.#prefix + session) ?? "";
  }

  write(session: string, text: string): void {
    if (text === "") this.storage.removeItem(this.#prefix + session);
    else keep(this.storage, this.#prefix + session, text);
  }
}
