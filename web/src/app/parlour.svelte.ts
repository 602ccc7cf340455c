import { createContext } from "svelte";
import { Desk } from "../act/desk";
import { FormDrafts } from "../act/form_drafts";
import type { ClientFrame, ServerFrame } from "../api/frames";
import { reason, RequestError, Rest } from "../api/rest";
import type { Bot, BotDetail, Login, Message } from "../api/types";
import type { Conversation } from "../chat/conversation.svelte";
import { Conversations, notFound } from "../chat/conversations.svelte";
import { Present } from "../chat/presence.svelte";
import { ReadMarks } from "../chat/read_marks";
import { Stops } from "../chat/stops.svelte";
import { Writers } from "../chat/typing.svelte";
import { Drafts } from "../compose/drafts";
import { Attaching } from "../files/uploads.svelte";
import { setServerTime } from "../live/clock";
import { Connection } from "../live/connection.svelte";
import { Outbox } from "../live/outbox.svelte";
import { browserStorage, forget, keep } from "../live/storage";
import { Streams } from "../live/streams";
import { Settings } from "../ui/settings.svelte";
import { Theme } from "../ui/theme.svelte";
import { Notifier } from "./notifier";
import { Panels } from "./panels.svelte";
import { pathOf, readRoute, type Route } from "./route";

/** How often looking at the page again may ask for the bots. */
const BOTS_FRESH_MS = 15_000;

/** Everything a signed-in person's page is made of. */
export interface House {
  login: Login;
  conversations: Conversations;
  outbox: Outbox;
  connection: Connection;
  drafts: Drafts;
  desk: Desk;
  writers: Writers;
  attaching: Attaching;
  present: Present;
  stops: Stops;
}

export type Phase = "starting" | "ready" | "signed_out" | "unreachable";

/** The page: who is signed in, what is open, and how the parts reach each other. */
export class Parlour {
  phase = $state<Phase>("starting");
  house = $state.raw<House | null>(null);
  bots = $state.raw<Bot[]>([]);
  botsListed = $state(false);
  route = $state.raw<Route>({ name: "home" });
  current = $state.raw<Conversation | null>(null);
  /** Why the conversation of the address could not be opened. */
  linkFault = $state<string | null>(null);
  /** The last thing that went wrong outside a conversation. */
  notice = $state<string | null>(null);
  /** The bot a conversation is being opened with. */
  opening = $state<string | null>(null);

  readonly storage = browserStorage();
  readonly theme = new Theme(this.storage);
  readonly settings = new Settings(this.storage);
  readonly panels = new Panels(this.storage);
  readonly rest = new Rest(() => this.#signedOut());
  #details = new Map<string, Promise<BotDetail>>();
  #botsAt = 0;

  /** Signs in with the browser's cookie and brings the page up. */
  async start(): Promise<void> {
    this.phase = "starting";
    try {
      const login = await this.rest.login();
      this.#moveIn(login);
    } catch (error) {
      if (!(error instanceof RequestError && error.status === 401)) this.phase = "unreachable";
    }
  }

  bot(id: string): Bot | undefined {
    return this.bots.find((bot) => bot.id === id);
  }

  /** A bot with its commands, asked for once until the bots are read again. */
  detail = (id: string): Promise<BotDetail> => {
    const known = this.#details.get(id);
    if (known) return known;
    const asked = this.rest.bot(id);
    asked.catch(() => this.#details.delete(id));
    this.#details.set(id, asked);
    return asked;
  };

  go(route: Route, replace = false): void {
    const path = pathOf(route);
    if (path !== location.pathname + location.hash) history[replace ? "replaceState" : "pushState"](null, "", path);
    this.panels.railOpen = false;
    void this.#show(route);
  }

  /** Opens a conversation with a bot and, if given, says something in it. */
  async begin(bot: string, text?: string): Promise<void> {
    const house = this.house;
    if (!house || this.opening !== null) return;
    this.opening = bot;
    this.notice = null;
    try {
      const unused = house.conversations.all.find(
        (candidate) => candidate.botId === bot && candidate.head === 0 && house.outbox.of(candidate.id).length === 0,
      );
      const conversation = unused ?? (await house.conversations.open(bot));
      if (text !== undefined) house.outbox.add(conversation.id, text);
      this.go({ name: "conversation", id: conversation.id });
    } catch (error) {
      this.notice = reason(error);
    } finally {
      this.opening = null;
    }
  }

  async close(conversation: Conversation): Promise<void> {
    try {
      await this.house?.conversations.close(conversation);
      if (this.current === conversation) this.go({ name: "home" }, true);
    } catch (error) {
      this.notice = reason(error);
    }
  }

  async signOut(): Promise<void> {
    let next: string | null = null;
    try {
      next = await this.rest.logout();
    } catch (error) {
      if (!(error instanceof RequestError && error.status === 401)) {
        this.notice = reason(error);
        return;
      }
    }
    // Someone else may sit down here next: leave nothing that was written.
    if (this.house) forget(this.storage, `parlour.${this.house.login.user_id}.`);
    this.#signedOut();
    if (next !== null) location.assign(next);
  }

  #moveIn(login: Login): void {
    const send = (frame: ClientFrame): void => connection.send(frame);
    const streams = new Streams(send);
    const outbox: Outbox = new Outbox(
      login.user_id,
      send,
      (session, seq): boolean => conversations.holds(session, seq) || (this.current?.id === session && this.current.holds(seq)),
      this.storage,
    );
    const marks = new ReadMarks(login.user_id, this.storage, (session, seq) =>
      send({ type: "read", session_id: session, read_seq: seq }),
    );
    const present = new Present();
    const stops = new Stops(send);
    const writers = new Writers(login.user_id, send);
    const notifier = new Notifier(
      login.user,
      () => this.settings.notify,
      (session) => this.go({ name: "conversation", id: session }),
    );
    const arrived = (conversation: Conversation, message: Message): void => {
      writers.said(message);
      stops.ended(message.message_id);
      notifier.arrived(conversation, message);
    };
    const conversations: Conversations = new Conversations({
      user: login.user_id,
      rest: this.rest,
      streams,
      outbox,
      marks,
      arrived,
    });
    const connection: Connection = new Connection({
      hello: (hello) => {
        setServerTime(hello.server_time);
        streams.hello();
        outbox.hello(hello);
        stops.hello();
        void this.#readBots();
      },
      frame: (frame: ServerFrame) => {
        if (streams.frame(frame)) return;
        if (frame.type === "ack") outbox.acked(frame);
        else if (frame.type === "error") void (outbox.refused(frame) || stops.refused(frame));
        else if (frame.type === "activity") conversations.noticed(frame.session_id, frame.head_seq);
        else if (frame.type === "presence") present.heard(frame);
        else if (frame.type === "typing") writers.heard(frame);
        else if (frame.type === "read") conversations.readElsewhere(frame.session_id, frame.read_seq);
      },
      lost: (code) => {
        streams.lost();
        present.lost();
        outbox.lost(code);
      },
      signedOut: () => this.#signedOut(),
      // A refused handshake carries no reason; when it is the login, this answers 401 and says so.
      refused: () => void this.rest.login().catch(() => undefined),
    });
    streams.follow(`user:${login.user_id}`, 0, conversations, 1);
    const drafts = new Drafts(login.user_id, this.storage);
    const desk = new Desk(outbox, new FormDrafts(login.user_id, this.storage));
    const attaching = new Attaching(login.user_id, this.storage);
    this.house = { login, conversations, outbox, connection, drafts, desk, writers, attaching, present, stops };
    this.phase = "ready";

    connection.start();
    void this.#readBots();
    void conversations.refresh();
    this.#listen(marks, conversations);
    void this.#begin();
  }

  #listen(marks: ReadMarks, conversations: Conversations): void {
    window.addEventListener("popstate", () => void this.#show(readRoute(location.pathname, location.hash)));
    window.addEventListener("storage", (event) => {
      const mark = marks.fromElsewhere(event);
      if (mark) conversations.readElsewhere(mark.session, mark.seq);
    });
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible" && Date.now() - this.#botsAt > BOTS_FRESH_MS) void this.#readBots();
    });
  }

  /** The bare address goes on with what was open last, if that is still open. */
  async #begin(): Promise<void> {
    const route = readRoute(location.pathname, location.hash);
    const last = route.name === "home" ? this.storage.getItem(this.#lastKey()) : null;
    if (last === null) return this.#show(route);
    const there: Route = { name: "conversation", id: last };
    history.replaceState(null, "", pathOf(there));
    await this.#show(there);
    if (this.route !== there || this.current?.status === "active") return;
    if (this.current || this.linkFault) this.go({ name: "home" }, true);
  }

  #lastKey(): string {
    return `parlour.${this.house?.login.user_id ?? ""}.last`;
  }

  async #show(route: Route): Promise<void> {
    const house = this.house;
    if (!house) return;
    this.route = route;
    this.linkFault = null;
    if (route.name === "home") {
      this.current = null;
      this.storage.removeItem(this.#lastKey());
      return;
    }
    if (route.name === "preview" || route.name === "runs") {
      this.current = null;
      return;
    }
    if (this.current?.id !== route.id) {
      const known = house.conversations.find(route.id);
      if (known) this.#enter(known);
      else await this.#enterLink(house, route.id);
    }
    if (route.at !== undefined && this.route === route) await this.#goTo(route.at);
  }

  /** Shows a place of the open conversation's log. */
  async #goTo(seq: number): Promise<void> {
    try {
      await this.current?.goTo(seq);
    } catch (error) {
      this.notice = reason(error);
    }
  }

  async #enterLink(house: House, id: string): Promise<void> {
    this.current = null;
    try {
      const found = await house.conversations.locate(id);
      if (this.route.name === "conversation" && this.route.id === id) this.#enter(found);
    } catch (error) {
      if (this.route.name !== "conversation" || this.route.id !== id) return;
      this.storage.removeItem(this.#lastKey());
      this.linkFault = notFound(error) ? "It was closed, or it is not one of yours." : reason(error);
    }
  }

  #enter(conversation: Conversation): void {
    if (this.current) {
      this.current.newAfter = null;
      this.current.leavePast();
    }
    if (this.panels.side?.name === "thread") this.panels.side = null;
    this.current = conversation;
    keep(this.storage, this.#lastKey(), conversation.id);
    void conversation.load();
  }

  async #readBots(): Promise<void> {
    this.#botsAt = Date.now();
    try {
      this.bots = await this.rest.bots();
      this.botsListed = true;
      this.#details.clear();
    } catch (error) {
      if (!this.botsListed) this.notice = reason(error);
    }
  }

  #signedOut(): void {
    this.house?.connection.stop();
    this.phase = "signed_out";
  }
}

export const [useParlour, provideParlour] = createContext<Parlour>();
