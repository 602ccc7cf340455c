import type { Preview } from "../preview/types";
import type { Run, RunLine, RunVerb } from "../runs/types";
import type { Bot, BotDetail, CompletionAnswer, ConversationSummary, EventPage, HitPage, Login, SignInProvider, WireError } from "./types";

/** Why a request was refused, in the server's words. */
export class RequestError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
    this.name = "RequestError";
  }
}

/** What to tell a person about something that went wrong. */
export function reason(error: unknown): string {
  if (error instanceof RequestError) return error.message;
  return "Parlour did not answer. Check that it is running, then try again.";
}

export interface ConversationPage {
  sessions: ConversationSummary[];
  next: string | null;
}

/** The REST doors this page uses. `signedOut` hears of every answer that says the login is over. */
export class Rest {
  constructor(private readonly signedOut: () => void) {}

  login(): Promise<Login> {
    return this.#ask("GET", "/api/session");
  }

  /** Signs out here; answers where to sign out at the directory too, if there is such a place. */
  async logout(): Promise<string | null> {
    const answer = await this.#ask<{ end_session_url?: string }>("POST", "/auth/logout");
    return answer.end_session_url ?? null;
  }

  async providers(): Promise<SignInProvider[]> {
    return (await this.#ask<{ providers: SignInProvider[] }>("GET", "/auth/providers")).providers;
  }

  bots(): Promise<Bot[]> {
    return this.#ask("GET", "/api/bots");
  }

  bot(id: string): Promise<BotDetail> {
    return this.#ask("GET", `/api/bots/${encodeURIComponent(id)}`);
  }

  complete(bot: string, text: string, limit: number, signal: AbortSignal): Promise<CompletionAnswer> {
    const query = new URLSearchParams({ text, limit: String(limit) });
    return this.#ask("GET", `/api/bots/${encodeURIComponent(bot)}/completions?${query}`, undefined, signal);
  }

  conversations(before?: string): Promise<ConversationPage> {
    const query = new URLSearchParams({ limit: "50" });
    if (before) query.set("before", before);
    return this.#ask("GET", `/api/session/list?${query}`);
  }

  open(bot: string): Promise<ConversationSummary> {
    return this.#ask("POST", "/api/session/create", { bot_id: bot });
  }

  async close(session: string): Promise<void> {
    await this.#ask("DELETE", `/api/session/${encodeURIComponent(session)}`);
  }

  /** The newest `limit` events below `before`, oldest first. */
  eventsBefore(session: string, before: number, limit: number): Promise<EventPage> {
    const query = new URLSearchParams({ before: String(before), limit: String(limit) });
    return this.#ask("GET", `/api/session/${encodeURIComponent(session)}/events?${query}`);
  }

  /** The first `limit` events past `after`, oldest first. */
  eventsAfter(session: string, after: number, limit: number): Promise<EventPage> {
    const query = new URLSearchParams({ after: String(after), limit: String(limit) });
    return this.#ask("GET", `/api/session/${encodeURIComponent(session)}/events?${query}`);
  }

  /** The first event from a moment on, if there is one. */
  eventAt(session: string, at: Date): Promise<EventPage> {
    const query = new URLSearchParams({ at: at.toISOString(), limit: "1" });
    return this.#ask("GET", `/api/session/${encodeURIComponent(session)}/events?${query}`);
  }

  /** Messages that hold a text, newest first: in all conversations, or in one. */
  search(text: string, limit: number, signal: AbortSignal, session?: string, before?: string): Promise<HitPage> {
    const query = new URLSearchParams({ q: text, limit: String(limit) });
    if (session) query.set("session_id", session);
    if (before) query.set("before", before);
    return this.#ask("GET", `/api/session/search?${query}`, undefined, signal);
  }

  /** The newest runs of playbooks, workflows and commands with steps. */
  runs(): Promise<RunLine[]> {
    return this.#ask("GET", "/api/executions?limit=50");
  }

  run(id: string): Promise<Run> {
    return this.#ask("GET", `/api/executions/${encodeURIComponent(id)}`);
  }

  async controlRun(id: string, verb: RunVerb): Promise<void> {
    await this.#ask("POST", `/api/executions/${encodeURIComponent(id)}/${verb}`);
  }

  async answerRun(id: string, step: string, answer: Record<string, unknown>): Promise<void> {
    await this.#ask("POST", `/api/executions/${encodeURIComponent(id)}/answer`, { step_id: step, answer });
  }

  async clickInRun(id: string, place: { x: number; y: number }): Promise<void> {
    await this.#ask("POST", `/api/executions/${encodeURIComponent(id)}/browser/click`, place);
  }

  /** Gives one's own message another text. */
  async edit(session: string, message: string, content: string): Promise<void> {
    await this.#ask("PATCH", messagePath(session, message), { content });
  }

  /** Takes one's own message back. */
  async takeBack(session: string, message: string): Promise<void> {
    await this.#ask("DELETE", messagePath(session, message));
  }

  /** What a reply, as it is written in a manifest, becomes in every chat. */
  preview(reply: string, parameters: Record<string, string>): Promise<Preview> {
    return this.#ask("POST", "/api/preview", { reply, parameters });
  }

  /** What a message becomes in every chat. */
  previewOf(session: string, message: string): Promise<Preview> {
    return this.#ask("GET", `${messagePath(session, message)}/preview`);
  }

  /** Where a conversation's log ends. */
  async head(session: string): Promise<EventPage> {
    const query = new URLSearchParams({ after: "0", limit: "1" });
    return this.#ask("GET", `/api/session/${encodeURIComponent(session)}/events?${query}`);
  }

  async #ask<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
    const response = await fetch(path, {
      method,
      credentials: "same-origin",
      headers: { accept: "application/json", ...(body === undefined ? {} : { "content-type": "application/json" }) },
      body: body === undefined ? null : JSON.stringify(body),
      signal: signal ?? null,
    });
    if (response.ok) return (await response.json()) as T;
    if (response.status === 401) this.signedOut();
    const error = await refusal(response);
    throw new RequestError(response.status, error.code, error.message);
  }
}

function messagePath(session: string, message: string): string {
  return `/api/session/${encodeURIComponent(session)}/messages/${encodeURIComponent(message)}`;
}

async function refusal(response: Response): Promise<WireError> {
  try {
    const body = (await response.json()) as { error?: WireError; detail?: { error: string; message: string } };
    if (body.error?.message) return body.error;
    // The doors of runs and playbooks have an envelope of their own.
    if (body.detail?.message) return { code: body.detail.error, message: body.detail.message };
  } catch {
    // Not one of our envelopes (a proxy's page, say): the status line has to do.
  }
  return { code: "HTTP", message: `The server answered ${response.status} ${response.statusText}`.trim() };
}
