/**
 * One stop of the Tab key for a whole list: the arrows, Home and End move within it. The items are
 * the elements marked `data-roving`, in document order.
 */
export function roving(container: HTMLElement): () => void {
  function items(): HTMLElement[] {
    return [...container.querySelectorAll<HTMLElement>("[data-roving]")];
  }

  function stop(at: HTMLElement | undefined): void {
    for (const item of items()) item.tabIndex = item === at ? 0 : -1;
  }

  function settle(): void {
    const all = items();
    if (all.some((item) => item.tabIndex === 0 && item === document.activeElement)) return;
    stop(all.find((item) => item.getAttribute("aria-current") === "page") ?? all[0]);
  }

  function key(event: KeyboardEvent): void {
    const all = items();
    const at = all.indexOf(document.activeElement as HTMLElement);
    if (at < 0) return;
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    const target = next === undefined ? undefined : all[next];
    if (!target) return;
    event.preventDefault();
    stop(target);
    target.focus();
  }

  function focused(event: FocusEvent): void {
    if (event.target instanceof HTMLElement && event.target.dataset["roving"] !== undefined) stop(event.target);
  }

  const changes = new MutationObserver(settle);
  changes.observe(container, { childList: true, subtree: true, attributeFilter: ["aria-current"] });
  container.addEventListener("keydown", key);
  container.addEventListener("focusin", focused);
  settle();
  return () => {
    changes.disconnect();
    container.removeEventListener("keydown", key);
    container.removeEventListener("focusin", focused);
  };
}
