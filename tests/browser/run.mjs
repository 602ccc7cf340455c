// Runs the browser journeys against a real server:   node tests/browser/run.mjs <parlour binary> [file…]
//
// Each file gets a server of its own with empty data, and learns from the environment where it is:
// PARLOUR_URL is its address, PARLOUR_SIGN_IN the link that signs in an administrator, once. A file that kills its
// server or needs other bots starts one by itself; PARLOUR_BINARY is the program.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import path from "node:path";
import process from "node:process";
import { Directory } from "./peer.mjs";
import { STOP_MS, Server } from "./server.mjs";

const TEST_MS = 120_000;

const folder = import.meta.dirname;

/** Runs one file of journeys; says whether all is well. */
async function run(binary, file) {
  // These journeys sign in with a directory of their own.
  const directory = file.startsWith("directory") ? await Directory.start() : null;
  const server = await Server.start(binary, { settings: directory?.settings });
  await directory?.serve(server.url);
  const places = { PARLOUR_URL: server.url, PARLOUR_SIGN_IN: server.signIn, PARLOUR_BINARY: binary };
  const journeys = spawn(
    process.execPath,
    // Node 20 has a web socket only on request.
    ["--experimental-websocket", "--test", "--test-reporter=spec", `--test-timeout=${TEST_MS}`, path.join(folder, file)],
    { cwd: folder, env: { ...process.env, ...places }, stdio: "inherit" },
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
