/** Walks through what a person said before, newest first, like a shell's history. */
export class Recall {
  #at = -1;
  #shown: string | null = null;

  /** The text being shown came from here and was not changed. */
  shows(text: string): boolean {
    return this.#shown !== null && this.#shown === text;
  }

  /** One step to the past (1) or back (-1); `null` when there is nothing further. */
  step(said: readonly string[], by: 1 | -1): string | null {
    const next = this.#at + by;
    if (next < -1 || next >= said.length) return null;
    this.#at = next;
    this.#shown = next === -1 ? "" : (said[said.length - 1 - next] ?? "");
    return this.#shown;
  }

  forget(): void {
    this.#at = -1;
    this.#shown = null;
  }
}

/** What was said, without saying the same twice in a row. */
export function distinct(said: readonly string[]): string[] {
  return said.filter((text, index) => text !== said[index - 1]);
}
