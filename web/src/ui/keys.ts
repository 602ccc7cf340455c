import type { SendKey } from "./settings.svelte";

const apple = /Mac|iPhone|iPad/.test(navigator.platform);

/** How the platform writes its command key with a letter. */
export function commandKey(letter: string): string {
  return apple ? `⌘${letter}` : `Ctrl ${letter}`;
}

/** Says whether this key sends what was written; the other way to press Enter breaks the line. */
export function sends(event: KeyboardEvent, key: SendKey): boolean {
  if (event.key !== "Enter" || event.isComposing || event.altKey) return false;
  const command = event.ctrlKey || event.metaKey;
  return key === "enter" ? !event.shiftKey && !command : command;
}

/** How the keys that send and that break the line are written. */
export function sendWords(key: SendKey): { send: string[]; newLine: string[] } {
  const command = apple ? "⌘" : "Ctrl";
  return key === "enter" ? { send: ["Enter"], newLine: ["Shift", "Enter"] } : { send: [command, "Enter"], newLine: ["Enter"] };
}

/** Says whether a key goes to a field someone is typing in. */
export function typing(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || target instanceof HTMLTextAreaElement || isTextInput(target);
}

function isTextInput(target: HTMLElement): boolean {
  return target instanceof HTMLInputElement && target.type !== "radio" && target.type !== "checkbox";
}
