/** The browser's storage, or one that lasts as long as the page where the browser grants none. */
export function browserStorage(open: () => Storage = () => localStorage): Storage {
  try {
    const storage = open();
    storage.getItem("parlour");
    return storage;
  } catch {
    return new PageStorage();
  }
}

class PageStorage implements Storage {
  readonly #values = new Map<string, string>();

  get length(): number {
    return this.#values.size;
  }

  clear(): void {
    this.#values.clear();
  }

  getItem(key: string): string | null {
    return this.#values.get(key) ?? null;
  }

  key(index: number): string | null {
    return [...this.#values.keys()][index] ?? null;
  }

  removeItem(key: string): void {
    this.#values.delete(key);
  }

  setItem(key: string, value: string): void {
    this.#values.set(key, value);
  }
}

/** Writes a value that is good to have but not worth failing for. */
export function keep(storage: Storage, key: string, value: string): void {
  try {
    storage.setItem(key, value);
  } catch {
    // Full or closed: it is forgotten at the next reload.
  }
}

/** Removes every key that starts so. */
export function forget(storage: Storage, prefix: string): void {
  const keys = Array.from({ length: storage.length }, (_, index) => storage.key(index));
  for (const key of keys) if (key?.startsWith(prefix)) storage.removeItem(key);
}
