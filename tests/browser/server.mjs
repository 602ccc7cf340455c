// A real server for journeys, and what may happen to it.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

const START_MS = 30_000;
const root = path.resolve(import.meta.dirname, "../..");

/** How long a server may take to stop when it is asked to. */
export const STOP_MS = 15_000;

/** The settings of whoever runs the tests must not reach the server. */
function plainEnvironment() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("PARLOUR_")));
}

/** A `parlour serve` with data of its own, empty at first, on a port that was free. */
export class Server {
  /** The address it is reached at; the same after a restart. */
  url;
  /** The link that signs in an administrator, once. */
  signIn;
  /** What it said. */
  output = [];

  #binary;
  #data;
  #bots;
  #environment;
  #child;
  #ended;

  /** Starts a server with these folders of bots and settings (as in its environment), and waits until it prints its sign-in link. */
  static async start(binary, { bots = ["bots"], settings = {} } = {}) {
    const server = new Server();
    server.#binary = path.resolve(binary);
    server.#bots = bots.flatMap((folder) => ["--bots", folder]);
    server.#environment = { ...plainEnvironment(), ...settings };
    server.#data = await mkdtemp(path.join(tmpdir(), "parlour-journey-"));
    try {
      await server.#launch("127.0.0.1:0");
      return server;
    } catch (error) {
      await server.stop();
      throw new Error(`${error.message}\n${server.output.join("\n")}`, { cause: error });
    }
  }

  async #launch(listen) {
    const options = { cwd: root, env: this.#environment, stdio: ["ignore", "pipe", "pipe"] };
    const child = spawn(this.#binary, ["serve", "--listen", listen, "--data", this.#data, ...this.#bots], options);
    this.#child = child;
    this.#ended = once(child, "close");
    // A child that never started is reported by whoever awaits its end.
    this.#ended.catch(() => {});
    const inputs = [child.stdout, child.stderr].map((input) => createInterface({ input }));
    for (const lines of inputs) lines.on("line", (line) => this.output.push(line));
    this.signIn = await this.#link(inputs);
    this.url = new URL(this.signIn).origin;
  }

  async #link(inputs) {
    let timer;
    const link = new Promise((resolve, reject) => {
      for (const lines of inputs) {
        lines.on("line", (line) => {
          const found = /https?:\/\/\S+\/auth\/local\?token=\S+/.exec(line);
          if (found) resolve(found[0]);
        });
      }
      timer = setTimeout(() => reject(new Error("the server printed no sign-in link")), START_MS);
      const tooSoon = ([code, signal]) => reject(new Error(`the server ended (${signal ?? code}) before it was ready`));
      this.#ended.then(tooSoon, reject);
    });
    return await link.finally(() => clearTimeout(timer));
  }

  /** Makes an API key with these arguments of `parlour key create`. */
  async key(...args) {
    const options = { cwd: root, env: this.#environment };
    const { stdout } = await promisify(execFile)(this.#binary, ["key", "create", ...args, "--data", this.#data], options);
    return stdout.trim();
  }

  /** Ends it as a power cut would. */
  async kill() {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  /** Starts it again after `kill`, with the same data at the same address. */
  async restart() {
    await this.#launch(new URL(this.url).host);
  }

  /** Stops the server and removes its data; says whether it went by itself. */
  async stop() {
    let killed = false;
    const timer = setTimeout(() => {
      killed = true;
      this.#child.kill("SIGKILL");
    }, STOP_MS);
    this.#child.kill("SIGTERM");
    await this.#ended.catch(() => {});
    clearTimeout(timer);
    await rm(this.#data, { recursive: true, force: true });
    return !killed;
  }
}
