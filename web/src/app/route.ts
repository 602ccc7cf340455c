/** Where in the page someone is; `at` is a place of the conversation's log. */
export type Route =
  | { name: "home" }
  | { name: "conversation"; id: string; at?: number }
  | { name: "runs"; id?: string }
  /** What a message becomes in every chat, or a reply that is written there. */
  | { name: "preview"; of: { session: string; message: string } | null };

/** Reads an address: its path, and the place after `#`. */
export function readRoute(path: string, hash = ""): Route {
  const [runs, run] = /^\/runs(?:\/([\w-]+))?\/?$/.exec(path) ?? [];
  if (runs !== undefined) return { name: "runs", ...(run ? { id: run } : {}) };
  if (/^\/preview\/?$/.test(path)) return { name: "preview", of: null };
  const [, session, message] = /^\/preview\/([^/]+)\/([^/]+)\/?$/.exec(path) ?? [];
  if (session !== undefined && message !== undefined) {
    try {
      return { name: "preview", of: { session: decodeURIComponent(session), message: decodeURIComponent(message) } };
    } catch {
      return { name: "preview", of: null };
    }
  }
  const [, id] = /^\/c\/([^/]+)\/?$/.exec(path) ?? [];
  if (id === undefined) return { name: "home" };
  const [, place] = /^#(\d{1,15})$/.exec(hash) ?? [];
  try {
    return { name: "conversation", id: decodeURIComponent(id), ...(place ? { at: Number(place) } : {}) };
  } catch {
    return { name: "home" };
  }
}

export function pathOf(route: Route): string {
  if (route.name === "home") return "/";
  if (route.name === "preview") {
    return route.of ? `/preview/${encodeURIComponent(route.of.session)}/${encodeURIComponent(route.of.message)}` : "/preview";
  }
  if (route.name === "runs") return route.id === undefined ? "/runs" : `/runs/${encodeURIComponent(route.id)}`;
  return `/c/${encodeURIComponent(route.id)}${route.at === undefined ? "" : `#${route.at}`}`;
}
