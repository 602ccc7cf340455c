const apple = /Mac|iPhone|iPad/.test(navigator.platform);

/** How the platform writes its command key with a letter. */
export function commandKey(letter: string): string {
  return apple ? `⌘${letter}` : `Ctrl ${letter}`;
}

/** Says whether a key goes to a field someone is typing in. */
export function typing(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || target instanceof HTMLTextAreaElement || isTextInput(target);
}

function isTextInput(target: HTMLElement): boolean {
  return target instanceof HTMLInputElement && target.type !== "radio" && target.type !== "checkbox";
}
