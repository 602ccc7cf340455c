// Runs the browser journeys against a real server:   node tests/browser/run.mjs <parlour binary> [file…]
//
// Each file gets a server of its own with empty data, and learns from the environment where it is:
// PARLOUR_URL is its address, PARLOUR_SIGN_IN the link that signs in an administrator, once.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { Directory } from "./peer.mjs";

const START_MS = 30_000;
const STOP_MS = 15_000;
const TEST_MS = 120_000;

const folder = import.meta.dirname;
const root = path.resolve(folder, "../..");

/** The settings of whoever runs the tests must not reach the server. */
function plainEnvironment() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("PARLOUR_")));
}

/** A `parlour serve` with empty data on a free port. */
class Server {
  /** Starts a server and waits until it prints its sign-in link. */
  static async start(binary, settings = {}) {
    const data = await mkdtemp(path.join(tmpdir(), "parlour-journey-"));
    const server = new Server(spawnServer(binary, data, settings), data);
    try {
      server.signIn = await server.#link();
      server.url = new URL(server.signIn).origin;
      return server;
    } catch (error) {
      await server.stop();
      throw new Error(`${error.message}\n${server.output.join("\n")}`, { cause: error });
    }
  }

  constructor(child, data) {
    this.child = child;
    this.data = data;
    this.output = [];
    this.ended = once(child, "close");
    // A child that never started is reported by whoever awaits `ended`.
    this.ended.catch(() => {});
    this.lines = [child.stdout, child.stderr].map((input) => createInterface({ input }));
    for (const lines of this.lines) lines.on("line", (line) => this.output.push(line));
  }

  async #link() {
    let timer;
    const link = new Promise((resolve, reject) => {
      for (const lines of this.lines) {
        lines.on("line", (line) => {
          const found = /https?:\/\/\S+\/auth\/local\?token=\S+/.exec(line);
          if (found) resolve(found[0]);
        });
      }
      timer = setTimeout(() => reject(new Error("the server printed no sign-in link")), START_MS);
      const tooSoon = ([code, signal]) => reject(new Error(`the server ended (${signal ?? code}) before it was ready`));
      this.ended.then(tooSoon, reject);
    });
    return await link.finally(() => clearTimeout(timer));
  }

  /** Stops the server; says whether it went by itself. */
  async stop() {
    let killed = false;
    const timer = setTimeout(() => {
      killed = true;
      this.child.kill("SIGKILL");
    }, STOP_MS);
    this.child.kill("SIGTERM");
    await this.ended.catch(() => {});
    clearTimeout(timer);
    await rm(this.data, { recursive: true, force: true });
    return !killed;
  }
}

function spawnServer(binary, data, settings) {
  const options = { cwd: root, env: { ...plainEnvironment(), ...settings }, stdio: ["ignore", "pipe", "pipe"] };
  return spawn(binary, ["serve", "--listen", "127.0.0.1:0", "--data", data], options);
}

/** Runs one file of journeys; says whether all is well. */
async function run(binary, file) {
  // These journeys sign in with a directory of their own.
  const directory = file.startsWith("directory") ? await Directory.start() : null;
  const server = await Server.start(binary, directory?.settings);
  await directory?.serve(server.url);
  const environment = { ...process.env, PARLOUR_URL: server.url, PARLOUR_SIGN_IN: server.signIn };
  const journeys = spawn(
    process.execPath,
    ["--test", "--test-reporter=spec", `--test-timeout=${TEST_MS}`, path.join(folder, file)],
    { cwd: folder, env: environment, stdio: "inherit" },
  );
  const [code] = await once(journeys, "close");
  const stopped = await server.stop();
  await directory?.stop();
  if (!stopped) console.error(`error: the server did not stop within ${STOP_MS / 1000} s of SIGTERM`);
  if (code !== 0 || !stopped) console.error(`What the server said during ${file}:\n${server.output.join("\n")}`);
  return code === 0 && stopped;
}

const [binary, ...named] = process.argv.slice(2);
if (!binary) throw new Error("usage: node tests/browser/run.mjs <parlour binary> [file…]");
const files = named.length > 0 ? named : (await readdir(folder)).filter((name) => /\.test\.m?js$/.test(name)).sort();
if (files.length === 0) throw new Error("there are no journeys (*.test.mjs) in tests/browser");

const failed = [];
for (const file of files) {
  if (!(await run(path.resolve(binary), file))) failed.push(file);
}
if (failed.length > 0) {
  console.error(`error: journeys failed: ${failed.join(", ")}`);
  process.exitCode = 1;
}
