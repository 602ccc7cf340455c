import type { Attachment } from "svelte/attachments";

/** Takes files that are dropped on an element; `over` says whether some are held above it. */
export function drop(take: (files: File[]) => void, over: (on: boolean) => void): Attachment<HTMLElement> {
  return (element) => {
    // Every element inside sends its own enter and leave; only the balance tells where the files are.
    let depth = 0;

    const entered = (event: DragEvent): void => {
      if (!holdsFiles(event)) return;
      event.preventDefault();
      depth += 1;
      over(true);
    };
    const moved = (event: DragEvent): void => {
      if (holdsFiles(event)) event.preventDefault();
    };
    const left = (event: DragEvent): void => {
      if (!holdsFiles(event)) return;
      depth = Math.max(0, depth - 1);
      if (depth === 0) over(false);
    };
    const dropped = (event: DragEvent): void => {
      if (!holdsFiles(event)) return;
      event.preventDefault();
      depth = 0;
      over(false);
      take([...(event.dataTransfer?.files ?? [])]);
    };
    element.addEventListener("dragenter", entered);
    element.addEventListener("dragover", moved);
    element.addEventListener("dragleave", left);
    element.addEventListener("drop", dropped);
    return () => {
      element.removeEventListener("dragenter", entered);
      element.removeEventListener("dragover", moved);
      element.removeEventListener("dragleave", left);
      element.removeEventListener("drop", dropped);
    };
  };
}

function holdsFiles(event: DragEvent): boolean {
  return event.dataTransfer?.types.includes("Files") ?? false;
}
