import { readFrame, type ClientFrame, type Hello, type ServerFrame } from "../api/frames";
import { Backoff } from "./backoff";
import { Pace } from "./pace";

export type ConnectionState =
  | { name: "connecting" }
  | { name: "live" }
  | { name: "waiting"; until: number }
  | { name: "offline" }
  | { name: "closed" };

export interface ConnectionListener {
  hello(hello: Hello): void;
  frame(frame: ServerFrame): void;
  /** The connection is gone; whether what was sent last arrived is not known. */
  lost(code: number): void;
  /** The login is over: no use in trying again. */
  signedOut(): void;
  /** A connection failed before its greeting; the cause may be the login. */
  refused(): void;
}

const NOT_AUTHENTICATED = 4401;
const LOGGED_OUT = 4410;
const TOO_FAST = 4429;
const TOO_FAST_WAIT_MS = 5_000;
/** How long a pong may take when there is reason to doubt the connection. */
const DOUBT_MS = 5_000;

type OpenSocket = (url: string, protocol: string) => WebSocket;

/** One WebSocket to the server, kept open: heartbeat, reconnection, pace. */
export class Connection {
  state = $state.raw<ConnectionState>({ name: "connecting" });

  #socket: WebSocket | null = null;
  #greeted = false;
  #askedWait: number | null = null;
  #heardAt = 0;
  #heartbeatMs = 15_000;
  #heartbeat: ReturnType<typeof setInterval> | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #doubt: ReturnType<typeof setTimeout> | undefined;
  #flush: ReturnType<typeof setTimeout> | undefined;
  #prompt: ClientFrame[] = [];
  #bulk: ClientFrame[] = [];
  #pace = new Pace();
  readonly #backoff: Backoff;
  readonly #url: string;

  constructor(
    private readonly listener: ConnectionListener,
    url: string = socketAddress(location),
    private readonly open: OpenSocket = (address, protocol) => new WebSocket(address, protocol),
    random: () => number = Math.random,
  ) {
    this.#url = url;
    this.#backoff = new Backoff(Date.now, random);
  }

  start(): void {
    window.addEventListener("online", this.#online);
    window.addEventListener("offline", this.#inDoubt);
    document.addEventListener("visibilitychange", this.#inDoubt);
    this.#connect();
  }

  stop(): void {
    window.removeEventListener("online", this.#online);
    window.removeEventListener("offline", this.#inDoubt);
    document.removeEventListener("visibilitychange", this.#inDoubt);
    clearTimeout(this.#retry);
    this.#drop()?.close(1000);
    this.state = { name: "closed" };
  }

  /** Tries at once instead of waiting. */
  retryNow(): void {
    if (this.state.name !== "waiting" && this.state.name !== "offline") return;
    clearTimeout(this.#retry);
    this.#connect();
  }

  /** Sends when the pace allows; what a lost connection leaves unsent is its owner's to send again. */
  send(frame: ClientFrame): void {
    if (!this.#greeted) return;
    (frame.type === "subscribe" || frame.type === "unsubscribe" ? this.#bulk : this.#prompt).push(frame);
    this.#write();
  }

  #write = (): void => {
    clearTimeout(this.#flush);
    while (this.#socket && this.#prompt.length + this.#bulk.length > 0) {
      const wait = this.#pace.take();
      if (wait > 0) {
        this.#flush = setTimeout(this.#write, wait);
        return;
      }
      const frame = this.#prompt.shift() ?? this.#bulk.shift();
      this.#socket.send(JSON.stringify(frame));
    }
  };

  #connect(): void {
    if (this.state.name !== "offline") this.state = { name: "connecting" };
    const socket = this.open(this.#url, "parlour.v1");
    this.#socket = socket;
    this.#greeted = false;
    this.#askedWait = null;
    socket.onmessage = (event: MessageEvent) => {
      if (this.#socket === socket && typeof event.data === "string") this.#receive(event.data);
    };
    socket.onclose = (event: CloseEvent) => {
      if (this.#socket === socket) this.#closed(event.code);
    };
  }

  #receive(text: string): void {
    this.#heardAt = Date.now();
    clearTimeout(this.#doubt);
    this.#doubt = undefined;
    const frame = readFrame(text);
    if (!frame || frame.type === "pong") return;
    if (frame.type === "hello") {
      this.#greeted = true;
      this.#pace = new Pace();
      this.#backoff.opened();
      this.#heartbeatMs = frame.heartbeat_ms;
      this.#heartbeat = setInterval(this.#beat, this.#heartbeatMs);
      this.state = { name: "live" };
      this.listener.hello(frame);
    } else if (frame.type === "bye") {
      this.#askedWait = frame.retry_after_ms;
    } else {
      this.listener.frame(frame);
    }
  }

  #beat = (): void => {
    if (Date.now() - this.#heardAt > this.#heartbeatMs * 2.5) this.#abandon();
    else this.send({ type: "ping", timestamp: Date.now() });
  };

  /** Gives up a connection that no longer answers, without waiting for its close. */
  #abandon = (): void => {
    const socket = this.#socket;
    this.#closed(1006);
    socket?.close();
  };

  /** Something happened that often kills connections silently: ask for a sign of life. */
  #inDoubt = (): void => {
    if (document.visibilityState === "hidden" || !this.#greeted || this.#doubt !== undefined) return;
    this.send({ type: "ping", timestamp: Date.now() });
    this.#doubt = setTimeout(this.#abandon, DOUBT_MS);
  };

  #online = (): void => {
    this.#backoff.reset();
    if (this.#greeted) this.#inDoubt();
    else this.retryNow();
  };

  #drop(): WebSocket | null {
    const socket = this.#socket;
    this.#socket = null;
    this.#greeted = false;
    this.#prompt = [];
    this.#bulk = [];
    clearInterval(this.#heartbeat);
    clearTimeout(this.#doubt);
    clearTimeout(this.#flush);
    this.#doubt = undefined;
    return socket;
  }

  #closed(code: number): void {
    const greeted = this.#greeted;
    this.#drop();
    if (code === LOGGED_OUT || code === NOT_AUTHENTICATED) {
      this.state = { name: "closed" };
      this.listener.signedOut();
      return;
    }
    const asked = code === TOO_FAST ? TOO_FAST_WAIT_MS : this.#askedWait;
    const wait = this.#backoff.next(asked);
    // A browser without a network still reaches a server on its own machine, so it keeps trying.
    this.state = navigator.onLine ? { name: "waiting", until: Date.now() + wait } : { name: "offline" };
    this.#retry = setTimeout(() => this.#connect(), wait);
    if (greeted) this.listener.lost(code);
    else this.listener.refused();
  }
}

function socketAddress(page: Location): string {
  return `${page.protocol === "https:" ? "wss:" : "ws:"}//${page.host}/ws`;
}
