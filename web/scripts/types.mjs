// Writes the types of what the server says, from what it says of itself:   node scripts/types.mjs <parlour binary> [--check]
//
// `parlour openapi` describes the REST bodies, `parlour frames` the frames of the web socket. Only what this client
// uses is written, so that a door it does not know changes nothing here. With --check nothing is written: it fails
// when the file is not what would be.

import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { compile } from "json-schema-to-typescript";

const FILE = path.join(import.meta.dirname, "../src/api/described.ts");

/** The REST bodies this client reads. */
const BODIES = ["CurrentSession", "Providers", "BotSummary", "BotDetail", "SessionList", "BotSession", "EventsPage", "SearchPage", "Completions", "Uploaded"];

/** The frames it reads, and which name they get. What it sends is `client`. */
const FRAMES = [
  "hello", "subscribed", "caught_up", "ack", "error", "bye", "pong", "activity", "read", "typing", "presence", "chunk",
  "message_partial", "message_dropped", "message", "message_update", "message_delete", "action", "session_update", "client",
];

const BANNER = `// Made by scripts/types.mjs from what the server says of itself; "npm run types -- <parlour binary>" makes it anew.`;

async function printed(binary, document) {
  const { stdout } = await promisify(execFile)(binary, [document], { maxBuffer: 64 * 1024 * 1024 });
  return JSON.parse(stdout);
}

function frameName(name) {
  return `${name.split("_").map((word) => word[0].toUpperCase() + word.slice(1)).join("")}Frame`;
}

/** Everything that both documents define, by the names of this file. */
function definitions(openapi, frames) {
  const named = Object.entries(frames.$defs).map(([name, schema]) => [frameName(name), schema]);
  return { ...openapi.components.schemas, ...frames.components.schemas, ...Object.fromEntries(named) };
}

/** A schema with its references to where this file has them; `seen` hears of each. */
function here(schema, seen) {
  if (Array.isArray(schema)) return schema.map((item) => here(item, seen));
  if (typeof schema !== "object" || schema === null) return schema;
  // Members beside other schemas are one schema more: the compiler reads one or the other.
  for (const several of ["allOf", "oneOf"]) {
    const { [several]: parts, description, type, properties, required, ...rest } = schema;
    if (!Array.isArray(parts) || !properties) continue;
    const own = { type, properties, required };
    return here({ description, ...rest, allOf: several === "allOf" ? [...parts, own] : [own, { oneOf: parts }] }, seen);
  }
  return Object.fromEntries(
    Object.entries(schema)
      // Examples and patterns say nothing to a compiler.
      .filter(([key]) => !["example", "examples", "pattern", "unevaluatedProperties"].includes(key))
      .map(([key, value]) => {
        // Here the keys are names of the server's, whatever they are.
        if (key === "properties") return [key, Object.fromEntries(Object.entries(value).map(([name, of]) => [name, here(of, seen)]))];
        if (key !== "$ref") return [key, here(value, seen)];
        const name = value.startsWith("#/$defs/") ? frameName(value.slice("#/$defs/".length)) : value.split("/").at(-1);
        seen(name);
        return [key, `#/definitions/${name}`];
      }),
  );
}

/** The wanted definitions with all they are made of. */
function closure(all, wanted) {
  const found = {};
  const waiting = [...wanted];
  while (waiting.length > 0) {
    const name = waiting.pop();
    if (name in found) continue;
    if (!(name in all)) throw new Error(`the server describes no ${name}`);
    found[name] = here(all[name], (other) => waiting.push(other));
  }
  return Object.fromEntries(Object.entries(found).sort(([a], [b]) => (a < b ? -1 : 1)));
}

const [binary, flag] = process.argv.slice(2);
if (!binary || (flag !== undefined && flag !== "--check")) throw new Error("usage: node scripts/types.mjs <parlour binary> [--check]");
const [openapi, frames] = await Promise.all([printed(binary, "openapi"), printed(binary, "frames")]);
const described = closure(definitions(openapi, frames), [...BODIES, ...FRAMES.map(frameName)]);
const text = await compile({ definitions: described }, "Nothing", {
  additionalProperties: false,
  bannerComment: BANNER,
  unreachableDefinitions: true,
  format: true,
  style: { printWidth: 140 },
});
// What the compiler says of its own work is left out.
const written = text
  .replace(/export interface Nothing \{\}\n/, "")
  .replace(/\/\*\*\n \* This interface was referenced by `Nothing`'s JSON-Schema\n \* via the `definition` "\w+"\.\n \*\/\n/g, "")
  .replace(/ \*\n \* This interface was referenced by `Nothing`'s JSON-Schema\n \* via the `definition` "\w+"\.\n/g, "");
if (flag !== "--check") await writeFile(FILE, written);
else if ((await readFile(FILE, "utf8")) !== written) {
  console.error("error: web/src/api/described.ts is not what the server says of itself any more; make it anew: make types");
  process.exitCode = 1;
}
