/** What the server puts into the address of the page when a sign-in at the directory has failed. */
const REASONS: Record<string, string> = {
  expired: "That sign-in took too long, was used already, or was begun in another browser. Sign in again.",
  invalid: "The answer of your directory could not be verified. Sign in again; if that does not help, tell whoever runs Parlour.",
  refused: "Your directory did not sign you in.",
  no_role: "Your directory knows you, but gives you no role here. Ask whoever runs Parlour.",
  unavailable: "The directory that signs people in does not answer. Try again in a moment.",
};

/** Why a sign-in failed, by the page's query; null when none did. */
export function failure(query: string): string | null {
  const reason = new URLSearchParams(query).get("sign_in");
  return reason !== null && Object.hasOwn(REASONS, reason) ? (REASONS[reason] ?? null) : null;
}

/** Where signing in begins; it comes back to the same place. */
export function loginAddress(login: string, path: string): string {
  return `${login}?${new URLSearchParams({ redirect: path })}`;
}
