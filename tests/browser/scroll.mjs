// How smoothly a long conversation scrolls:   node tests/browser/scroll.mjs <parlour binary> [messages]
//
// A conversation of 10,000 messages, most of them plain and some with tables and code, is scrolled from its end to its
// beginning and back to where it was, a fixed way in each frame. What is told are the times between frames, beside those of the
// same page when nothing moves, and the processor time that the page's thread took for a frame, which says more on a busy
// machine. Nothing is asserted.

import { loadavg } from "node:os";
import process from "node:process";
import { Person, startBrowser } from "./browser.mjs";
import { Server } from "./server.mjs";

const SAY = ["type this in chat to invoke the command parameter_name_1=Ann.", "show texts", "show structures", "show buttons"];
/** Pixels in a frame: a fast wheel. */
const WAY = 160;
const AT_ONCE = 16;

/** In the page: scrolls by a way in each frame until the end or that many frames; the times between frames, in milliseconds. */
function scroll([way, most]) {
  const log = document.querySelector("[role=log]");
  return new Promise((resolve) => {
    const times = [];
    let last;
    let stood = 0;
    const step = (now) => {
      if (last !== undefined) times.push(now - last);
      last = now;
      const top = log.scrollTop;
      log.scrollTop = top + way;
      // At the end of what is there, more may be on its way.
      stood = way !== 0 && Math.abs(log.scrollTop - top) < 1 ? stood + 1 : 0;
      if (times.length < most && stood < 60) requestAnimationFrame(step);
      else resolve(times);
    };
    requestAnimationFrame(step);
  });
}

function figures(name, samples) {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (share) => sorted[Math.ceil(share * sorted.length) - 1].toFixed(1);
  console.log(`${name}: p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, p99 ${at(0.99)} ms, most ${at(1)} ms (${samples.length} frames)`);
}

/** The processor time of the page's thread so far, in milliseconds. */
async function spent(devtools) {
  const { metrics } = await devtools.send("Performance.getMetrics");
  const of = (name) => 1000 * metrics.find((metric) => metric.name === name).value;
  return { all: of("TaskDuration"), script: of("ScriptDuration"), layout: of("LayoutDuration"), style: of("RecalcStyleDuration") };
}

async function fill(page, url, session, messages) {
  let said = 0;
  const speak = async () => {
    while (said < messages / 2) {
      said += 1;
      // One in ten is a rich one.
      const content = said % 10 === 0 ? SAY[(said / 10) % SAY.length] : SAY[0];
      const answer = await page.request.post(`${url}/api/session/${session}/messages`, { data: { content }, headers: { origin: url } });
      if (!answer.ok()) throw new Error(`not said: ${answer.status()} ${await answer.text()}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, speak));
}

const [binary, messages = "10000"] = process.argv.slice(2);
if (!binary) throw new Error("usage: node tests/browser/scroll.mjs <parlour binary> [messages]");
const browser = await startBrowser();
const server = await Server.start(binary, { settings: { PARLOUR_RATE_LIMITS__ENABLED: "false" } });
try {
  const { page } = await Person.signIn(browser, server.signIn);
  const opened = await page.request.post(`${server.url}/api/session/create`, { data: { bot_id: "gallery" }, headers: { origin: server.url } });
  const { session_id } = await opened.json();
  await fill(page, server.url, session_id, Number(messages));
  await page.goto(`${server.url}/c/${session_id}`);
  await page.getByRole("article").last().waitFor();
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Performance.enable", { timeDomain: "threadTicks" });
  for (const [name, way] of [["at rest", 0], ["to the beginning", -WAY], ["back", WAY]]) {
    const before = await spent(devtools);
    const times = await page.evaluate(scroll, [way, way === 0 ? 120 : 6000]);
    const after = await spent(devtools);
    const each = Object.keys(after).map((part) => `${part} ${((after[part] - before[part]) / times.length).toFixed(2)} ms`);
    figures(name, times);
    console.log(`  a frame: ${each.join(", ")}`);
  }
  console.log(`load of the machine: ${loadavg().map((load) => load.toFixed(1)).join(", ")}`);
} finally {
  await browser.close();
  await server.stop();
}
