// Reads what our renderers made, JSON on standard input, and lets TypeScript hold it against the types that Slack's and
// Discord's own packages publish. Prints what does not fit, and ends with 1 then.
import { readFileSync, mkdtempSync, writeFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const here = dirname(fileURLToPath(import.meta.url));
const { slack, views, discord, modals } = JSON.parse(readFileSync(0, "utf8"));

/** Source in which each value stands as a literal of its type; numbers of enums are told apart by their own types. */
const source = [
  'import type { KnownBlock, View } from "@slack/types";',
  'import type { APIModalInteractionResponseCallbackData, RESTPostAPIChannelMessageJSONBody } from "discord-api-types/v10";',
  ...slack.map((message, at) => `export const s${at}: { text: string; blocks: KnownBlock[] } = ${JSON.stringify(message)};`),
  ...views.map((view, at) => `export const v${at}: View = ${JSON.stringify(view)};`),
  ...discord.map((message, at) => `export const d${at}: RESTPostAPIChannelMessageJSONBody = ${JSON.stringify(message)};`),
  ...modals.map((modal, at) => `export const m${at}: APIModalInteractionResponseCallbackData = ${JSON.stringify(modal)};`),
].join("\n");

// Beside the packages, so that they are found.
const folder = mkdtempSync(join(here, "payloads-"));
try {
  const file = join(folder, "payloads.ts");
  writeFileSync(file, source);
  const program = ts.createProgram([file], {
    noEmit: true,
    strict: true,
    skipLibCheck: true,
    types: [],
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
  });
  const faults = ts.getPreEmitDiagnostics(program);
  for (const fault of faults.slice(0, 20)) console.log(ts.flattenDiagnosticMessageText(fault.messageText, "\n"));
  console.log(`${slack.length + views.length + discord.length + modals.length} payloads, ${faults.length} faults`);
  process.exitCode = faults.length > 0 ? 1 : 0;
} finally {
  rmSync(folder, { recursive: true });
}
