import type { FileInfo } from "../api/action";
import { reason } from "../api/rest";
import { keep } from "../live/storage";
import { upload, type Sending } from "./upload";

/** A file next to a message that is being written. */
export interface Upload {
  key: string;
  name: string;
  /** In bytes. */
  size: number;
  state: "sending" | "ready" | "failed";
  /** How much of it is on its way, 0 to 1. */
  share: number;
  /** As the server knows it, once it is there. */
  file?: FileInfo;
  reason?: string;
}

/** Files sent at once; the others wait for their turn. */
const AT_ONCE = 3;
/** A message takes no more. */
export const MOST = 10;

/**
 * The files of one message that is being written. They are sent as soon as they are chosen; what
 * has arrived is kept over a reload, like the text.
 */
export class Uploads {
  list = $state.raw<Upload[]>([]);
  /** Why some of what was chosen last is not in the list. */
  fault = $state<string | null>(null);

  #made = 0;
  readonly #chosen = new Map<string, File>();
  readonly #underway = new Map<string, Sending>();

  constructor(
    private readonly key: string,
    private readonly storage: Storage,
    private readonly send: (file: File, progress: (share: number) => void) => Sending = upload,
  ) {
    this.list = kept(storage.getItem(key)).map((file) => this.#entry(file.name, file.size, { state: "ready", share: 1, file }));
  }

  get sending(): boolean {
    return this.list.some(({ state }) => state === "sending");
  }

  get failed(): boolean {
    return this.list.some(({ state }) => state === "failed");
  }

  add(files: Iterable<File>): void {
    this.fault = null;
    for (const file of files) {
      if (this.list.length >= MOST) {
        this.fault = `A message takes at most ${MOST} files.`;
        break;
      }
      if (file.size === 0) {
        this.fault = `${file.name} is empty, or a folder.`;
        continue;
      }
      const entry = this.#entry(file.name, file.size, { state: "sending", share: 0 });
      this.#chosen.set(entry.key, file);
      this.list = [...this.list, entry];
    }
    this.#next();
  }

  remove(key: string): void {
    this.fault = null;
    this.list = this.list.filter((entry) => entry.key !== key);
    this.#underway.get(key)?.stop();
    this.#underway.delete(key);
    this.#chosen.delete(key);
    this.#keep();
    this.#next();
  }

  retry(key: string): void {
    this.#change(key, ({ reason: _, ...entry }) => ({ ...entry, state: "sending", share: 0 }));
    this.#next();
  }

  /** Gives what is ready to a message, which leaves nothing here. */
  take(): FileInfo[] {
    const files = this.list.flatMap(({ file }) => (file ? [file] : []));
    this.list = [];
    this.fault = null;
    this.#keep();
    return files;
  }

  #next(): void {
    for (const { key, state } of this.list) {
      const file = this.#chosen.get(key);
      if (this.#underway.size >= AT_ONCE) return;
      if (state === "sending" && file && !this.#underway.has(key)) void this.#send(key, file);
    }
  }

  async #send(key: string, file: File): Promise<void> {
    const sending = this.send(file, (share) => this.#change(key, (entry) => ({ ...entry, share })));
    this.#underway.set(key, sending);
    try {
      const there = await sending.done;
      this.#chosen.delete(key);
      this.#change(key, (entry) => ({ ...entry, state: "ready", share: 1, file: there }));
      this.#keep();
    } catch (error) {
      this.#change(key, (entry) => ({ ...entry, state: "failed", reason: reason(error) }));
    } finally {
      this.#underway.delete(key);
      this.#next();
    }
  }

  #entry(name: string, size: number, rest: Pick<Upload, "state" | "share" | "file">): Upload {
    this.#made += 1;
    return { key: String(this.#made), name, size, ...rest };
  }

  #change(key: string, change: (entry: Upload) => Upload): void {
    this.list = this.list.map((entry) => (entry.key === key ? change(entry) : entry));
  }

  #keep(): void {
    const files = this.list.flatMap(({ file }) => (file ? [file] : []));
    if (files.length === 0) this.storage.removeItem(this.key);
    else keep(this.storage, this.key, JSON.stringify(files));
  }
}

/** The files of every message that is being written on this page, by where it is written. */
export class Attaching {
  readonly #places = new Map<string, Uploads>();
  readonly #prefix: string;

  constructor(
    user: string,
    private readonly storage: Storage,
  ) {
    this.#prefix = `parlour.${user}.attached.`;
  }

  at(place: string): Uploads {
    const known = this.#places.get(place);
    if (known) return known;
    const uploads = new Uploads(this.#prefix + place, this.storage);
    this.#places.set(place, uploads);
    return uploads;
  }
}

function kept(text: string | null): FileInfo[] {
  try {
    const value: unknown = JSON.parse(text ?? "[]");
    return Array.isArray(value) ? (value as FileInfo[]) : [];
  } catch {
    return [];
  }
}
