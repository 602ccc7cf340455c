import { keep } from "../live/storage";

export const THEMES = ["system", "light", "dark"] as const;
export type ThemeName = (typeof THEMES)[number];

/** The key `public/theme.js` reads before the first paint. */
const KEY = "parlour.theme";

/** The chosen theme; "system" leaves it to the browser. */
export class Theme {
  name = $state<ThemeName>("system");

  constructor(private readonly storage: Storage) {
    const stored = storage.getItem(KEY);
    if (stored === "light" || stored === "dark") this.name = stored;
    this.#apply();
  }

  choose(name: ThemeName): void {
    this.name = name;
    if (name === "system") this.storage.removeItem(KEY);
    else keep(this.storage, KEY, name);
    this.#apply();
  }

  #apply(): void {
    if (this.name === "system") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = this.name;
  }
}
