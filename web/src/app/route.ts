/** Where in the page someone is. */
export type Route = { name: "home" } | { name: "conversation"; id: string };

export function readRoute(path: string): Route {
  const [, id] = /^\/c\/([^/]+)\/?$/.exec(path) ?? [];
  if (id === undefined) return { name: "home" };
  try {
    return { name: "conversation", id: decodeURIComponent(id) };
  } catch {
    return { name: "home" };
  }
}

export function pathOf(route: Route): string {
  return route.name === "home" ? "/" : `/c/${encodeURIComponent(route.id)}`;
}
