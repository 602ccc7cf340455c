import { keep } from "../live/storage";

export const NOTIFY = ["off", "answers", "all"] as const;
export type Notify = (typeof NOTIFY)[number];

export const DENSITIES = ["comfortable", "compact"] as const;
export type Density = (typeof DENSITIES)[number];

export const SEND_KEYS = ["enter", "command-enter"] as const;
export type SendKey = (typeof SEND_KEYS)[number];

/** The theme has a key of its own, which is read before the first paint. */
const KEY = "parlour.settings";

interface Kept {
  notify: Notify;
  density: Density;
  sendKey: SendKey;
}

/** How this device likes the page. It stays here when someone signs out: it says nothing about them. */
export class Settings {
  notify = $state<Notify>("off");
  density = $state<Density>("comfortable");
  sendKey = $state<SendKey>("enter");

  constructor(private readonly storage: Storage) {
    const kept = read(storage.getItem(KEY));
    this.notify = oneOf(NOTIFY, kept.notify) ?? "off";
    this.density = oneOf(DENSITIES, kept.density) ?? "comfortable";
    this.sendKey = oneOf(SEND_KEYS, kept.sendKey) ?? "enter";
    this.#apply();
  }

  change(change: Partial<Kept>): void {
    Object.assign(this, change);
    const { notify, density, sendKey } = this;
    keep(this.storage, KEY, JSON.stringify({ notify, density, sendKey } satisfies Kept));
    this.#apply();
  }

  #apply(): void {
    document.documentElement.dataset["density"] = this.density;
  }
}

function oneOf<T extends string>(choices: readonly T[], value: unknown): T | undefined {
  return choices.find((choice) => choice === value);
}

/** What was kept, of whatever version: anything that is not an object is nothing. */
function read(text: string | null): Partial<Record<keyof Kept, unknown>> {
  try {
    const value: unknown = JSON.parse(text ?? "{}");
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}
