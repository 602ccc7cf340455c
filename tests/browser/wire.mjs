// What stands between a browser and a server, and beside it: a network that can be lost, and a process that does a
// bot's commands.

import { once } from "node:events";
import net from "node:net";

/**
 * The network of one device: what it carries is lost when it is cut, and nothing gets through until it is mended.
 * The browser takes it for a SOCKS proxy, so that pages keep the server's own address.
 */
export class Network {
  #listener;
  #carried = new Set();
  #whole = true;
  #hears = true;

  static async open() {
    const network = new Network();
    network.#listener = net.createServer((near) => network.#meet(near).catch(() => near.destroy()));
    network.#listener.listen(0, "127.0.0.1");
    await once(network.#listener, "listening");
    return network;
  }

  /** What a browser context needs to have this network. */
  get proxy() {
    return { server: `socks5://127.0.0.1:${this.#listener.address().port}`, bypass: "<-loopback>" };
  }

  /** Hears where a connection leads (RFC 1928: no login, a name or an IPv4 address), and carries it there. */
  async #meet(near) {
    near.on("error", () => {}); // "close" follows
    this.#carried.add(near);
    near.on("close", () => this.#carried.delete(near));
    if (!this.#whole) return near.destroy();
    await once(near, "data");
    near.write(Buffer.from([5, 0]));
    const [wanted] = await once(near, "data");
    near.pause();
    const named = wanted[3] === 3;
    const host = named ? wanted.toString("latin1", 5, 5 + wanted[4]) : [...wanted.subarray(4, 8)].join(".");
    const far = net.connect(wanted.readUInt16BE(wanted.length - 2), host);
    far.on("error", () => {});
    far.on("close", () => near.destroy());
    near.on("close", () => far.destroy());
    await once(far, "connect");
    near.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
    near.pipe(far);
    far.on("data", (bytes) => this.#hears && near.write(bytes));
  }

  /** From now on the server still gets what pages send, and nothing comes back. */
  deafen() {
    this.#hears = false;
  }

  cut() {
    this.#whole = false;
    for (const socket of this.#carried) socket.destroy();
  }

  mend() {
    this.#whole = this.#hears = true;
  }

  async close() {
    this.cut();
    this.#listener.close();
    await once(this.#listener, "close");
  }
}

/** A process elsewhere that serves a bot, a step at a time. */
export class Process {
  #socket;
  #frames = [];
  #closed = false;
  #wake = () => {};

  /** Connects with a key and offers to do the bot's commands. */
  static async serve(server, key, bot) {
    const answer = await fetch(`${server}/api/ws/ticket`, { method: "POST", headers: { authorization: `Bearer ${key}` } });
    if (!answer.ok) throw new Error(`no ticket: ${answer.status} ${await answer.text()}`);
    const { ticket, url, protocols } = await answer.json();
    const process = new Process();
    process.#socket = new WebSocket(url, [...protocols, `ticket.${ticket}`]);
    process.#socket.onmessage = ({ data }) => {
      process.#frames.push(JSON.parse(data));
      process.#wake();
    };
    process.#socket.onclose = () => {
      process.#closed = true;
      process.#wake();
    };
    await process.#next(({ type }) => type === "hello");
    process.#send({ type: "register", id: "register", bot_id: bot });
    await process.#next(({ type }) => type === "registered");
    return process;
  }

  /** The next thing to do; what is written of it starts empty. */
  async delivery() {
    const { delivery_id, attempt, event } = await this.#next(({ type }) => type === "deliver");
    return { about: { delivery_id, attempt }, event, written: 0 };
  }

  /** Says the next piece of an answer. */
  write(delivery, delta) {
    this.#send({ type: "chunk", ...delivery.about, offset: delivery.written, delta });
    delivery.written += [...delta].length; // characters, not UTF-16 units
  }

  /** Ends an answer with what was written of it; resolves when that is in the log. */
  async finish(delivery) {
    this.#send({ type: "done", id: "done", ...delivery.about });
    const answer = await this.#next(({ id }) => id === "done");
    if (answer.type !== "ack") throw new Error(`the end was refused: ${JSON.stringify(answer)}`);
  }

  /** Resolves when the process is told to leave a delivery, because its run was cancelled. */
  async withdrawn(delivery) {
    const { reason } = await this.#next(({ type, delivery_id }) => type === "cancelled" && delivery_id === delivery.about.delivery_id);
    if (reason !== "cancelled") throw new Error(`withdrawn because of ${reason}`);
  }

  close() {
    this.#socket.close();
  }

  #send(frame) {
    this.#socket.send(JSON.stringify(frame));
  }

  async #next(wanted) {
    for (;;) {
      const at = this.#frames.findIndex(wanted);
      if (at >= 0) return this.#frames.splice(at, 1)[0];
      if (this.#closed) throw new Error(`the server hung up; before: ${JSON.stringify(this.#frames)}`);
      await new Promise((resolve) => (this.#wake = resolve));
    }
  }
}
