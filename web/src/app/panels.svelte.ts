import { keep } from "../live/storage";

const COLLAPSED = "parlour.rail";

/** What stands at the right of a conversation. A thread is named by its first message. */
export type Side = { name: "help" } | { name: "search" } | { name: "thread"; root: string };

/** Which panels and dialogs are open. */
export class Panels {
  /** The rail as a drawer, where there is no room for it beside the conversation. */
  railOpen = $state(false);
  /** The rail folded away, where there is room. */
  railFolded = $state(false);
  side = $state.raw<Side | null>(null);
  keys = $state(false);
  palette = $state(false);
  settings = $state(false);

  constructor(private readonly storage: Storage) {
    this.railFolded = storage.getItem(COLLAPSED) === "folded";
  }

  fold(folded: boolean): void {
    this.railFolded = folded;
    keep(this.storage, COLLAPSED, folded ? "folded" : "open");
  }

  /** Opens a panel at the right, or closes it when it is the one that is open. */
  toggle(name: "help" | "search"): void {
    this.side = this.side?.name === name ? null : { name };
  }

  thread(root: string): void {
    this.side = { name: "thread", root };
  }
}
