/** Within this many pixels of the end, the log counts as being at its end. */
const NEAR_END = 32;

/**
 * Keeps what someone reads where it is. At the end of the log that is the end; elsewhere it is the
 * first row in view, which stays put whatever is added, removed or grows above it.
 */
export class Viewport {
  atEnd = true;
  #anchor: { element: HTMLElement; offset: number } | null = null;
  #top = 0;

  constructor(
    private readonly scroller: HTMLElement,
    private readonly list: HTMLElement,
  ) {}

  /** Distances from the visible stretch to both ends. */
  get above(): number {
    return this.scroller.scrollTop;
  }

  get below(): number {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    return scrollHeight - scrollTop - clientHeight;
  }

  /** Someone scrolled: this is the place to keep now. */
  scrolled(): void {
    const top = this.scroller.scrollTop;
    // Growing content moves the end away without anyone leaving it; only going up does that.
    const wentUp = top < this.#top - 1;
    this.atEnd = this.below <= NEAR_END || (this.atEnd && !wentUp);
    this.#top = top;
    this.#drop();
  }

  /** Something in view is about to grow because someone asked for it: it stays where it is, also at the end. */
  hold(): void {
    this.atEnd = false;
    this.#drop();
  }

  /** The content or the room for it has changed. */
  keep(): void {
    if (this.atEnd) {
      this.toEnd();
    } else if (this.#anchor?.element.isConnected) {
      this.#scrollTo(this.#anchor.element.offsetTop - this.#anchor.offset);
    }
  }

  toEnd(): void {
    this.atEnd = true;
    this.#anchor = null;
    this.#scrollTo(this.scroller.scrollHeight);
  }

  /** Brings an element to the upper part of the view, unless it can be seen from the end. */
  show(element: HTMLElement): void {
    const top = Math.max(0, element.offsetTop - this.scroller.clientHeight / 4);
    this.atEnd = false;
    this.#scrollTo(top);
    this.scrolled();
  }

  /** Drops the anchor at the first row in view. */
  #drop(): void {
    const element = this.#firstInView();
    this.#anchor = element ? { element, offset: element.offsetTop - this.scroller.scrollTop } : null;
  }

  #scrollTo(top: number): void {
    // Rounding may differ by a fraction; writing it again would only cause another scroll event.
    if (Math.abs(this.scroller.scrollTop - top) >= 1) this.scroller.scrollTop = top;
    this.#top = this.scroller.scrollTop;
  }

  /** Rows are in order, so the first one that ends below the upper edge is found by halving. */
  #firstInView(): HTMLElement | null {
    const rows = this.list.children;
    const edge = this.scroller.scrollTop;
    let low = 0;
    let high = rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const row = rows[middle] as HTMLElement;
      if (row.offsetTop + row.offsetHeight <= edge) low = middle + 1;
      else high = middle;
    }
    return (rows[low] as HTMLElement | undefined) ?? null;
  }
}
