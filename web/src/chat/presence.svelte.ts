import { SvelteMap } from "svelte/reactivity";
import type { Presence } from "../api/frames";

export type PresenceState = Presence["state"];

/** Who has a page open, as far as the server tells of those one talks with. */
export class Present {
  readonly #states = new SvelteMap<string, PresenceState>();

  heard({ user_id, state }: Presence): void {
    this.#states.set(user_id, state);
  }

  /** Undefined for those one has not heard of. */
  of(user: string): PresenceState | undefined {
    return this.#states.get(user);
  }

  /** Without a connection nothing is known of anybody. */
  lost(): void {
    this.#states.clear();
  }
}
