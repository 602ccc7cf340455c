// How quickly the web chat answers to hands:   node tests/browser/feel.mjs <parlour binary, a release build>
//
// A keystroke counts from its input event to the frame after the completions for it stand in the page; a reply from
// Enter to the frame after the bot's message does. Nothing is asserted: the figures are for benches/README.md.

import { loadavg } from "node:os";
import path from "node:path";
import process from "node:process";
import { Person, startBrowser } from "./browser.mjs";
import { Server } from "./server.mjs";

const SAMPLES = 100;
const WARM = 10;
const TEXT = "type this in chat to invoke";

/** In the page: the time of an event, and of the frame that shows what was waited for. */
function listen() {
  // A frame is painted after its callbacks; a message to oneself comes behind the painting.
  const painted = () =>
    new Promise((resolve) =>
      requestAnimationFrame(() => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => resolve(performance.now());
        port2.postMessage(null);
      }),
    );
  window.timed = (event, part, done) =>
    new Promise((resolve) => {
      let began = 0;
      const watch = new MutationObserver(async () => {
        if (began === 0 || !done()) return;
        watch.disconnect();
        resolve((await painted()) - began);
      });
      document.addEventListener(event, ({ timeStamp }) => (began = timeStamp), { once: true, capture: true });
      watch.observe(document.querySelector(part), { childList: true, subtree: true, characterData: true, attributes: true });
    });
}

/** Times what happens after `act`: from an event of the page until `done` holds of it. */
async function time(page, event, done, wanted, act) {
  const clock = await page.evaluateHandle(
    ([event, done, wanted]) => {
      const holds = new Function("wanted", `return (${done})(wanted)`);
      return { time: window.timed(event, "body", () => holds(wanted)) };
    },
    [event, String(done), wanted],
  );
  await act();
  return await clock.evaluate(({ time }) => time);
}

function figures(name, samples) {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (share) => sorted[Math.ceil(share * sorted.length) - 1].toFixed(1);
  console.log(`${name}: p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, most ${at(1)} ms (${samples.length} samples)`);
}

const [binary] = process.argv.slice(2);
if (!binary) throw new Error("usage: node tests/browser/feel.mjs <parlour binary>");
const browser = await startBrowser();
const server = await Server.start(path.resolve(binary));
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
      // A completion marks what was typed of it, so the frame for this key is told from the one before.
      const done = (wanted) => document.querySelector("[role=option]") !== null && document.querySelector("textarea").value === wanted;
      keystrokes.push(await time(page, "input", done, TEXT.slice(0, typed), () => page.keyboard.press(TEXT[typed - 1] === " " ? "Space" : TEXT[typed - 1])));
    }
  }
  figures("keystroke", keystrokes.slice(WARM));

  const replies = [];
  for (let n = 0; n < WARM + SAMPLES; n += 1) {
    await field.fill(`${TEXT} the command parameter_name_1=N${n}.`);
    const done = (wanted) => [...document.querySelectorAll(".answer")].at(-1)?.textContent.includes(wanted);
    replies.push(await time(page, "keydown", done, `Hello N${n}.`, () => page.keyboard.press("Enter")));
  }
  figures("reply", replies.slice(WARM));
  console.log(`load of the machine: ${loadavg().map((load) => load.toFixed(1)).join(", ")}`);
} finally {
  await browser.close();
  await server.stop();
}
