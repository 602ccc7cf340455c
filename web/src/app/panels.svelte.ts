import { keep } from "../live/storage";

const COLLAPSED = "parlour.rail";

/** Which panels and dialogs are open. */
export class Panels {
  /** The rail as a drawer, where there is no room for it beside the conversation. */
  railOpen = $state(false);
  /** The rail folded away, where there is room. */
  railFolded = $state(false);
  help = $state(false);
  keys = $state(false);
  palette = $state(false);

  constructor(private readonly storage: Storage) {
    this.railFolded = storage.getItem(COLLAPSED) === "folded";
  }

  fold(folded: boolean): void {
    this.railFolded = folded;
    keep(this.storage, COLLAPSED, folded ? "folded" : "open");
  }
}
