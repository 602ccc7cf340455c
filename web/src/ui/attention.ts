import type { Attachment } from "svelte/attachments";

/** Says whether a mouse is over an element or the focus is in it. A finger gives it the focus. */
export function attention(tell: (on: boolean) => void): Attachment<HTMLElement> {
  return (element) => {
    let over = false;
    let within = false;
    // Told afterwards: the focus also moves while the page is being drawn, when nothing else may change.
    const say = (): void => queueMicrotask(() => tell(over || within));
    const entered = (event: PointerEvent): void => {
      if (event.pointerType !== "mouse") return;
      over = true;
      say();
    };
    const left = (): void => {
      over = false;
      say();
    };
    const focused = (): void => {
      within = true;
      say();
    };
    const blurred = (event: FocusEvent): void => {
      within = event.relatedTarget instanceof Node && element.contains(event.relatedTarget);
      say();
    };
    element.addEventListener("pointerenter", entered);
    element.addEventListener("pointerleave", left);
    element.addEventListener("focusin", focused);
    element.addEventListener("focusout", blurred);
    return () => {
      element.removeEventListener("pointerenter", entered);
      element.removeEventListener("pointerleave", left);
      element.removeEventListener("focusin", focused);
      element.removeEventListener("focusout", blurred);
    };
  };
}
