import type { Form } from "../api/action";
import { keep } from "../live/storage";
import type { Values } from "./rules";

interface Stored {
  expires_at: string;
  values: Values;
}

/**
 * What was typed into forms and not sent. It outlives a reload, except for hidden fields: those
 * last as long as the page.
 */
export class FormDrafts {
  readonly #prefix: string;
  readonly #here = new Map<string, Values>();

  constructor(
    user: string,
    private readonly storage: Storage,
    now: number = Date.now(),
  ) {
    this.#prefix = `parlour.${user}.form.`;
    this.#forgetExpired(now);
  }

  /** What was typed, by field; empty when nothing was. */
  read(form: Form): Values {
    return { ...(this.#stored(this.#prefix + form.id)?.values ?? {}), ...(this.#here.get(form.id) ?? {}) };
  }

  write(form: Form, values: Values): void {
    this.#here.set(form.id, values);
    const shown = form.fields.filter(({ hidden }) => !hidden).map(({ name }) => [name, values[name] ?? ""] as const);
    const stored: Stored = { expires_at: form.expires_at, values: Object.fromEntries(shown) };
    keep(this.storage, this.#prefix + form.id, JSON.stringify(stored));
  }

  forget(form: Form): void {
    this.#here.delete(form.id);
    this.storage.removeItem(this.#prefix + form.id);
  }

  #stored(key: string): Stored | null {
    try {
      return JSON.parse(this.storage.getItem(key) ?? "null") as Stored | null;
    } catch {
      return null;
    }
  }

  /** A form nobody comes back to must not stay in the storage. */
  #forgetExpired(now: number): void {
    const keys = Array.from({ length: this.storage.length }, (_, index) => this.storage.key(index));
    for (const key of keys) {
      if (!key?.startsWith(this.#prefix)) continue;
      const until = Date.parse(this.#stored(key)?.expires_at ?? "");
      if (!(until > now)) this.storage.removeItem(key);
    }
  }
}
