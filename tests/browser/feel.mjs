// How quickly the web chat answers to hands:   node tests/browser/feel.mjs <parlour binary, a release build>
//
// A keystroke counts from its input event to the frame after the completions for it stand in the page; a reply from
// Enter to the frame after the bot's message does. Nothing is asserted: the figures are for benches/README.md.

import { loadavg } from "node:os";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Person, startBrowser } from "./browser.mjs";
import { Server } from "./server.mjs";

const SAMPLES = 100;
const WARM = 10;
/** People pause between messages; without a pause the page's own limit of frames is measured. */
const PAUSE_MS = 300;
const TEXT = "type this in chat to invoke";

/** In the page: notes which texts are completed, and times from an event to the frame that shows what was waited for. */
function listen() {
  // A message to oneself comes behind the painting of the frame it is sent in.
  const painted = () =>
    new Promise((resolve) =>
      requestAnimationFrame(() => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => resolve(performance.now());
        port2.postMessage(null);
      }),
    );
  const ask = window.fetch;
  let completed = () => {};
  window.fetch = async (url, options) => {
    const answer = await ask(url, options);
    const text = new URL(url, location.href).searchParams.get("text");
    const json = answer.json.bind(answer);
    answer.json = () => json().finally(() => completed(text));
    return answer;
  };
  const began = (event) =>
    new Promise((resolve) => document.addEventListener(event, ({ timeStamp }) => resolve(timeStamp), { once: true, capture: true }));
  window.keystroke = async (text) => {
    const begin = began("input");
    await new Promise((resolve) => (completed = (of) => of === text && resolve()));
    return (await painted()) - (await begin);
  };
  window.reply = async (text) => {
    const begin = began("keydown");
    await new Promise((resolve) => {
      const watch = new MutationObserver(() => {
        if (![...document.querySelectorAll("[role=log] .answer")].at(-1)?.textContent.includes(text)) return;
        watch.disconnect();
        resolve();
      });
      watch.observe(document.querySelector("[role=log]") ?? document.body, { childList: true, subtree: true, characterData: true });
    });
    return (await painted()) - (await begin);
  };
}

/** Lets the page wait for something, presses a key, and says how long it took in milliseconds. */
async function press(page, what, text, key) {
  const waiting = await page.evaluateHandle(([what, text]) => ({ time: window[what](text) }), [what, text]);
  await page.keyboard.press(key);
  const time = await waiting.evaluate(({ time }) => time);
  await waiting.dispose();
  return time;
}

function figures(name, samples) {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (share) => sorted[Math.ceil(share * sorted.length) - 1].toFixed(1);
  console.log(`${name}: p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, most ${at(1)} ms (${samples.length} samples)`);
}

const [binary] = process.argv.slice(2);
if (!binary) throw new Error("usage: node tests/browser/feel.mjs <parlour binary>");
const browser = await startBrowser();
const server = await Server.start(binary);
try {
  const { page } = await Person.signIn(browser, server.signIn);
  await page.getByRole("button", { name: "Start a conversation with Hello" }).click();
  await page.getByRole("heading", { level: 1, name: "Hello" }).waitFor();
  await page.evaluate(listen);
  const field = page.getByRole("textbox", { name: /^Message / });

  const keystrokes = [];
  while (keystrokes.length < WARM + SAMPLES) {
    await field.fill("");
    await page.getByRole("option").first().waitFor({ state: "detached" });
    for (let typed = 1; typed <= TEXT.length && keystrokes.length < WARM + SAMPLES; typed += 1) {
      const key = TEXT[typed - 1] === " " ? "Space" : TEXT[typed - 1];
      keystrokes.push(await press(page, "keystroke", TEXT.slice(0, typed), key));
    }
  }
  figures("keystroke", keystrokes.slice(WARM));

  const replies = [];
  for (let n = 0; n < WARM + SAMPLES; n += 1) {
    await field.fill(`${TEXT} the command parameter_name_1=N${n}.`);
    await sleep(PAUSE_MS);
    replies.push(await press(page, "reply", `Hello N${n}.`, "Enter"));
  }
  figures("reply", replies.slice(WARM));
  console.log(`load of the machine: ${loadavg().map((load) => load.toFixed(1)).join(", ")}`);
} finally {
  await browser.close();
  await server.stop();
}
