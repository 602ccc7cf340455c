import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Connection, type ConnectionListener } from "./connection.svelte";

class FakeSocket {
  sent: string[] = [];
  closed = false;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;

  send(text: string): void {
    this.sent.push(text);
  }

  close(): void {
    this.closed = true;
  }

  say(frame: object): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  end(code: number): void {
    this.onclose?.({ code });
  }

  get types(): string[] {
    return this.sent.map((text) => (JSON.parse(text) as { type: string }).type);
  }
}

const HELLO = { type: "hello", epoch: "e", heartbeat_ms: 15_000, max_frame: 1000, max_in_flight: 32 };

describe("Connection", () => {
  let sockets: FakeSocket[];
  let heard: string[];
  let connection: Connection;

  beforeEach(() => {
    vi.useFakeTimers();
    sockets = [];
    heard = [];
    const listener: ConnectionListener = {
      hello: () => heard.push("hello"),
      frame: (frame) => heard.push(frame.type),
      lost: (code) => heard.push(`lost ${code}`),
      signedOut: () => heard.push("signed out"),
      refused: () => heard.push("refused"),
    };
    const open = (): WebSocket => {
      const socket = new FakeSocket();
      sockets.push(socket);
      return socket as unknown as WebSocket;
    };
    connection = new Connection(listener, "ws://test/ws", open, () => 0);
    connection.start();
  });

  afterEach(() => {
    connection.stop();
    vi.useRealTimers();
  });

  function last(): FakeSocket {
    const socket = sockets.at(-1);
    if (!socket) throw new Error("no socket was opened");
    return socket;
  }

  it("is live once greeted", () => {
    expect(connection.state.name).toBe("connecting");
    last().say(HELLO);
    expect(connection.state.name).toBe("live");
    expect(heard).toEqual(["hello"]);
  });

  it("pings each heartbeat and gives up on silence", () => {
    last().say(HELLO);
    vi.advanceTimersByTime(15_000);
    expect(last().types).toEqual(["ping"]);
    last().say({ type: "pong", timestamp: 0 });
    vi.advanceTimersByTime(45_000);
    expect(sockets[0]?.closed).toBe(true);
    expect(heard).toEqual(["hello", "lost 1006"]);
    vi.advanceTimersByTime(500);
    expect(sockets).toHaveLength(2);
  });

  it("comes back after a restart, no sooner than the server asked", () => {
    last().say(HELLO);
    last().say({ type: "bye", code: 1012, reason: "restart", reconnect: true, retry_after_ms: 1500 });
    last().end(1012);
    expect(connection.state.name).toBe("waiting");
    vi.advanceTimersByTime(1499);
    expect(sockets).toHaveLength(1);
    vi.advanceTimersByTime(1);
    expect(sockets).toHaveLength(2);
  });

  it("tries at once when the network is back", () => {
    last().end(1006);
    expect(heard).toEqual(["refused"]);
    window.dispatchEvent(new Event("online"));
    expect(sockets).toHaveLength(2);
  });

  it("asks for a sign of life when the network went, and keeps a connection that gives one", () => {
    last().say(HELLO);
    window.dispatchEvent(new Event("offline"));
    expect(last().types).toEqual(["ping"]);
    last().say({ type: "pong", timestamp: 0 });
    vi.advanceTimersByTime(6000);
    expect(connection.state.name).toBe("live");
    window.dispatchEvent(new Event("offline"));
    vi.advanceTimersByTime(5000);
    expect(heard.at(-1)).toBe("lost 1006");
  });

  it("does not come back to a server that signed it out", () => {
    last().say(HELLO);
    last().end(4410);
    vi.advanceTimersByTime(120_000);
    expect(heard).toEqual(["hello", "signed out"]);
    expect(sockets).toHaveLength(1);
  });

  it("keeps below the server's rate, messages before subscriptions", () => {
    last().say(HELLO);
    for (let i = 0; i < 40; i += 1) {
      connection.send({ type: "subscribe", id: `s${i}`, stream: `conv:${i}`, after: 0, limit: 1 });
    }
    connection.send({ type: "message", id: "m", session_id: "s", content: "hi" });
    expect(last().types.filter((type) => type === "subscribe")).toHaveLength(30);
    vi.advanceTimersByTime(63);
    expect(last().types.at(-1)).toBe("message");
    vi.advanceTimersByTime(2000);
    expect(last().sent).toHaveLength(41);
  });

  it("survives what it cannot read", () => {
    last().say(HELLO);
    last().onmessage?.({ data: "{" });
    last().say({ type: "unknown" });
    last().say({ no: "type" });
    expect(heard).toEqual(["hello"]);
  });
});
