// An answer that a process elsewhere writes piece by piece, while pages come, the network goes and the server dies.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { Person, picture, seriousFindings, setting, startBrowser, tooSmall, tooWide } from "./browser.mjs";
import { Server } from "./server.mjs";
import { Network, Process } from "./wire.mjs";

/** A delivery whose process is lost with the server is another's after its lease, 30 s. */
const LEASE_MS = 60_000;
/** What the bot says, in pieces: long enough to scroll, with signs that take two UTF-16 units. */
const PIECES = Array.from({ length: 12 }, (_, n) => `Part ${n + 1} of the story 🧹 goes on for a while, so that there is something to read. `);
const WHOLE = upTo(PIECES.length);

function upTo(count) {
  return PIECES.slice(0, count).join("").trim();
}

let browser;
let server;
let key;
let network;
let worker;
let person;
let page;

before(async () => {
  browser = await startBrowser();
  server = await Server.start(setting("PARLOUR_BINARY"), { bots: ["tests/fixtures/serving"] });
  key = await server.key("--name", "worker", "--role", "executor", "--serves", "away");
  // The first device has a network that can be lost; others have not.
  network = await Network.open();
  ({ person, page } = await Person.signIn(browser, server.signIn, { proxy: network.proxy }));
});

after(async () => {
  await browser?.close();
  await network?.close();
  assert.ok((await server?.stop()) ?? true, "the server did not stop by itself");
});

beforeEach(async () => {
  worker = await Process.serve(server.url, key, "away");
});

afterEach(() => worker.close());

function log(on = page) {
  return on.getByRole("log", { name: /^Conversation/ });
}

function growing(on = page) {
  return log(on).locator(".growing");
}

async function text(message) {
  return (await message.locator(".prose").innerText()).trim();
}

/** Begins a conversation in which an answer is asked for; the process has it then. */
async function ask() {
  const before = page.url();
  await page.getByRole("button", { name: "Start a conversation with Away" }).click();
  await page.waitForURL((address) => address.href !== before);
  const field = page.getByRole("textbox", { name: /^Message / });
  await field.fill("count to 12");
  await field.press("Enter");
  return await worker.delivery();
}

function write(delivery, from, to) {
  for (const piece of PIECES.slice(from, to)) worker.write(delivery, piece);
}

/** Waits until this many pieces stand on a page, and no other. */
async function written(count, on = page, timeout) {
  await growing(on).getByText(`Part ${count} of`).waitFor({ timeout });
  assert.equal(await text(growing(on)), upTo(count));
}

/** Notes every text the growing answer has on a page, from now on; without one it is null. */
async function watch(on = page) {
  await on.evaluate(() => {
    window.stages = [];
    const note = () => {
      const text = document.querySelector(".growing .prose, article:last-of-type .answer .prose")?.textContent.trim() ?? null;
      if (text !== window.stages.at(-1)) window.stages.push(text);
    };
    new MutationObserver(note).observe(document.querySelector("[role=log]"), { childList: true, subtree: true, characterData: true });
    note();
  });
}

/** The texts that were noted: each has to go on from the one before. */
async function assertOnlyGrew(on = page) {
  const stages = await on.evaluate(() => window.stages);
  for (const [index, stage] of stages.entries()) {
    assert.ok(stage?.startsWith(stages[index - 1] ?? ""), `after ${JSON.stringify(stages[index - 1])} came ${JSON.stringify(stage)}`);
  }
  return stages;
}

/** The answer has ended: once on every page, and once in the log. */
async function assertEndedOnce(pages) {
  for (const on of pages) {
    await growing(on).waitFor({ state: "detached" });
    const answers = log(on).getByRole("article").filter({ hasText: "Part 12 of" });
    await answers.waitFor();
    assert.equal(await log(on).getByRole("article").count(), 2);
    assert.equal(await text(answers), WHOLE);
  }
  const session = new URL(page.url()).pathname.split("/").at(-1);
  const { events } = await (await page.request.get(`${server.url}/api/session/${session}/events?after=0&limit=100`)).json();
  const said = events.filter(({ type }) => type === "message").map(({ content }) => content.trim());
  assert.deepEqual(said, ["count to 12", WHOLE]);
}

/** The same conversation on another device. */
async function elsewhere() {
  const device = await person.elsewhere(browser, { viewport: { width: 1000, height: 700 } });
  const tab = await device.context.newPage();
  await tab.goto(page.url());
  return { device, tab };
}

test("who comes in the middle reads all of it, and who lost the network goes on where they were", async () => {
  const delivery = await ask();
  write(delivery, 0, 4);
  await written(4);
  await picture(page, "stream-1280-light");
  assert.deepEqual(await seriousFindings(page), []);

  const { device, tab } = await elsewhere();
  await written(4, tab);
  await watch(page);
  await watch(tab);

  network.cut();
  await page.getByText("Live", { exact: true }).waitFor({ state: "detached" });
  write(delivery, 4, 8);
  await written(8, tab);
  assert.equal(await text(growing()), upTo(4));

  network.mend();
  await written(8);
  write(delivery, 8, 12);
  for (const on of [page, tab]) await written(12, on);
  await worker.finish(delivery);
  await assertEndedOnce([page, tab]);
  for (const on of [page, tab]) await assertOnlyGrew(on);
  const stages = await page.evaluate(() => window.stages);
  assert.equal(stages[0], upTo(4));

  // What was read as it grew is what is read again.
  await page.reload();
  await assertEndedOnce([page]);
  assert.deepEqual(device.faults, []);
  await device.close();
});

test("an answer that ends while the network is away is there when it is back", async () => {
  const delivery = await ask();
  write(delivery, 0, 4);
  await written(4);
  await watch(page);
  network.cut();
  write(delivery, 4, 12);
  await worker.finish(delivery);
  network.mend();
  await assertEndedOnce([page]);
  await assertOnlyGrew();
});

/** The stopped answer stands once, with what was written of it, and its process hears of it. */
async function assertStopped(delivery, count, pages) {
  await worker.withdrawn(delivery);
  for (const on of pages) {
    await growing(on).waitFor({ state: "detached" });
    const stopped = log(on).getByRole("article").filter({ hasText: "was cancelled." });
    await stopped.getByText(`Part ${count} of`).waitFor();
    assert.equal(await stopped.count(), 1);
  }
}

test("an answer is stopped by its button, on every page", async () => {
  const delivery = await ask();
  write(delivery, 0, 4);
  const { device, tab } = await elsewhere();
  for (const on of [page, tab]) await written(4, on);
  await picture(page, "stop-1280-light");
  // From the message field it is the next thing back, but for the button that attaches files.
  await page.getByRole("textbox", { name: /^Message / }).focus();
  for (let step = 0; step < 2; step += 1) await page.keyboard.press("Shift+Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent.trim()), "Stop");
  await page.keyboard.press("Enter");
  await assertStopped(delivery, 4, [page, tab]);
  // The keyboard is where it was.
  assert.match(await page.evaluate(() => document.activeElement.textContent), /was cancelled/);
  await picture(page, "stopped-1280-light");
  assert.deepEqual(device.faults, []);
  await device.close();
});

test("an answer is stopped from the log by a key, without a network once it is back", async () => {
  const delivery = await ask();
  write(delivery, 0, 4);
  await written(4);
  await log().focus();
  await page.keyboard.press("ArrowUp");
  network.cut();
  await page.getByText("Live", { exact: true }).waitFor({ state: "detached" });
  await page.keyboard.press("s");
  await log().getByRole("button", { name: "Stopping…" }).waitFor();
  network.mend();
  await assertStopped(delivery, 4, [page]);
});

test("a stop that comes too late leaves the answer whole", async () => {
  const delivery = await ask();
  write(delivery, 0, 12);
  await written(12);
  network.cut();
  await page.getByText("Live", { exact: true }).waitFor({ state: "detached" });
  await log().getByRole("button", { name: "Stop" }).click();
  await worker.finish(delivery);
  network.mend();
  await assertEndedOnce([page]);
});

for (const colorScheme of ["light", "dark"]) {
  test(`the stop button keeps nobody out in the ${colorScheme} theme, and fits a phone`, async () => {
    const delivery = await ask();
    write(delivery, 0, 4);
    const device = await person.elsewhere(browser, { viewport: { width: 390, height: 780 }, colorScheme, hasTouch: true, isMobile: true });
    const tab = await device.context.newPage();
    await tab.goto(page.url());
    await written(4, tab);
    assert.deepEqual(await seriousFindings(tab), []);
    assert.deepEqual(await tooWide(tab), []);
    assert.deepEqual(await tooSmall(tab), []);
    await picture(tab, `stop-390-${colorScheme}`);
    await log(tab).getByRole("button", { name: "Stop" }).click();
    await assertStopped(delivery, 4, [tab]);
    await picture(tab, `stopped-390-${colorScheme}`);
    assert.deepEqual(device.faults, []);
    await device.close();
  });
}

test("a server that dies in the middle loses no answer and doubles none", async () => {
  const delivery = await ask();
  write(delivery, 0, 4);
  const { device, tab } = await elsewhere();
  for (const on of [page, tab]) await written(4, on);

  await server.kill();
  for (const on of [page, tab]) await on.getByText("Live", { exact: true }).waitFor({ state: "detached" });
  await server.restart();
  for (const on of [page, tab]) await on.getByText("Live", { exact: true }).waitFor();
  // What was written is gone with the server; the question is not, and another attempt begins.
  for (const on of [page, tab]) await growing(on).waitFor({ state: "detached" });
  worker.close();
  worker = await Process.serve(server.url, key, "away");
  const again = await worker.delivery();
  assert.equal(again.about.delivery_id, delivery.about.delivery_id);
  assert.equal(again.about.attempt, 2);
  write(again, 0, 12);
  for (const on of [page, tab]) await written(12, on, LEASE_MS);
  await worker.finish(again);
  await assertEndedOnce([page, tab]);
  await page.reload();
  await assertEndedOnce([page]);
  await device.close();
});
