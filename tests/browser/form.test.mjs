// A command asks for what it lacks with a form, and messages offer what can be done: whatever the network, the server or
// another device does meanwhile, it is done once.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Person, picture, seriousFindings, setting, startBrowser, tooSmall, tooWide } from "./browser.mjs";
import { Server } from "./server.mjs";
import { Network } from "./wire.mjs";

let browser;
let server;
let network;
let person;
let page;

before(async () => {
  browser = await startBrowser();
  server = await Server.start(setting("PARLOUR_BINARY"));
  // The first device has a network that can be lost; others have not.
  network = await Network.open();
  ({ person, page } = await Person.signIn(browser, server.signIn, { proxy: network.proxy }));
});

after(async () => {
  await browser?.close();
  await network?.close();
  assert.ok((await server?.stop()) ?? true, "the server did not stop by itself");
});

function log(on = page) {
  return on.getByRole("log", { name: /^Conversation/ });
}

function articles(text, on = page) {
  return log(on).getByRole("article").filter({ hasText: text });
}

async function say(text, on = page) {
  const field = on.getByRole("textbox", { name: /^Message / });
  await field.fill(text);
  await field.press("Enter");
}

/** A conversation of its own, so that all that stands in it belongs to one test. */
async function begin(on = page) {
  const before = on.url();
  await on.getByRole("button", { name: "Start a conversation with Gallery" }).click();
  await on.waitForURL((address) => address.href !== before);
  await on.getByRole("heading", { level: 1, name: "Gallery" }).waitFor();
}

/** The open form that books a room. */
function booking(on = page) {
  return log(on).getByRole("form", { name: "Book room" });
}

/** Asks for a room, and waits until the form is there. */
async function ask(text = "book a room") {
  await begin();
  await say(text);
  await booking().waitFor();
}

async function fill(form, contact = "ann@example.com") {
  await form.getByLabel("garden").check();
  await form.getByLabel("Which day?").fill("2026-12-01");
  await form.getByLabel("How many people?").fill("4");
  await form.getByLabel("Who is to be written to?").fill(contact);
}

/** What the log holds of this conversation, read by another way than the page's. */
async function events() {
  const session = new URL(page.url()).pathname.split("/").at(-1);
  const device = await person.elsewhere(browser, {});
  const answer = await device.context.request.get(`${server.url}/api/session/${session}/events?after=0&limit=500`);
  const { events } = await answer.json();
  await device.close();
  return events;
}

/** The form was answered once: one action, one run, one reply, and so it stands on every page. */
async function assertBookedOnce(...pages) {
  for (const on of pages) {
    await articles("The garden is yours on Tuesday, 01 December 2026.", on).waitFor();
    await booking(on).waitFor({ state: "detached" });
  }
  const all = await events();
  assert.equal(all.filter(({ type }) => type === "action").length, 1, JSON.stringify(all));
  const replies = all.filter(({ type, content }) => type === "message" && /garden.* is yours/.test(content));
  assert.equal(replies.length, 1, JSON.stringify(all));
}

async function elsewhere(options = { viewport: { width: 1000, height: 700 } }) {
  const device = await person.elsewhere(browser, options);
  const tab = await device.context.newPage();
  await tab.goto(page.url());
  return { device, tab };
}

/** The label of the field that has the focus, and what is said to be wrong with it. */
async function atFocus() {
  return await page.evaluate(() => {
    const field = document.activeElement.closest("[data-field]");
    const told = document.activeElement.getAttribute("aria-describedby") ?? document.activeElement.closest("[aria-describedby]")?.getAttribute("aria-describedby");
    return [field?.dataset.field, document.getElementById(told?.split(" ").at(-1))?.textContent];
  });
}

async function live(on = page) {
  await on.getByText("Live", { exact: true }).waitFor();
}

async function lost(on = page) {
  await on.getByText("Live", { exact: true }).waitFor({ state: "detached" });
}

test("what is missing or wrong is asked for in a form, and said at its field", async () => {
  await ask("book garden for many");
  const form = booking();
  // What was understood stands there, and what was not has its fault.
  assert.ok(await form.getByLabel("garden").isChecked());
  const people = form.getByLabel("How many people?");
  assert.equal(await people.getAttribute("aria-invalid"), "true");
  await picture(page, "form-1280-light");

  await people.press("Control+Enter");
  const [field, fault] = await atFocus();
  assert.equal(field, "day");
  assert.match(fault, /\S/);
  await form.getByLabel("Which day?").fill("2026-12-01");
  await form.getByLabel("Who is to be written to?").fill("nobody");
  await people.press("Control+Enter");
  assert.equal((await atFocus())[0], "people");
  await people.fill("4");
  await people.press("Control+Enter");
  const [last, words] = await atFocus();
  assert.equal(last, "contact");
  assert.match(words, /e-mail/i);
  assert.equal((await events()).filter(({ type }) => type === "action").length, 0, "nothing wrong is sent");
  await form.getByLabel("Who is to be written to?").fill("ann@example.com");

  // What was typed outlives a reload.
  await page.reload();
  await form.waitFor();
  assert.equal(await people.inputValue(), "4");
  assert.equal(await form.getByLabel("Which day?").inputValue(), "2026-12-01");
  assert.equal(await form.getByLabel("Who is to be written to?").inputValue(), "ann@example.com");
  await form.getByLabel("Who is to be written to?").press("Control+Enter");
  await assertBookedOnce(page);
  await log().getByText("Book room: sent").waitFor();
  await picture(page, "form-sent-1280-light");
});

test("a form is filled in and sent without a network, and arrives once", async () => {
  await ask();
  const form = booking();
  await form.getByLabel("garden").check();
  network.cut();
  await lost();
  await fill(form);
  await form.getByRole("button", { name: "Book room" }).click();
  await form.getByText("Sending").waitFor({ state: "attached" });
  assert.equal((await events()).filter(({ type }) => type === "action").length, 0);
  network.mend();
  await assertBookedOnce(page);
  await live();
});

test("a form that arrived without an answer to the page is not sent anew", async () => {
  await ask();
  await fill(booking());
  network.deafen();
  await booking().getByRole("button", { name: "Book room" }).click();
  const { device, tab } = await elsewhere();
  await articles("The garden is yours", tab).waitFor();
  assert.equal(await articles("The garden is yours").count(), 0, "the page has not heard of it");
  network.cut();
  await lost();
  network.mend();
  await assertBookedOnce(page, tab);
  await device.close();
});

test("an open form outlives the server", async () => {
  await ask();
  const form = booking();
  await form.getByLabel("How many people?").fill("4");
  await server.kill();
  await lost();
  await server.restart();
  await live();
  assert.equal(await form.getByLabel("How many people?").inputValue(), "4");
  await fill(form);
  await form.getByLabel("How many people?").press("Control+Enter");
  await assertBookedOnce(page);
});

test("a form that is sent while the server is away is done once when it is back", async () => {
  await ask();
  await fill(booking());
  await server.kill();
  await booking().getByRole("button", { name: "Book room" }).click();
  await booking().getByText("Sending").waitFor({ state: "attached" });
  // The tab goes with the server. (A reload would end at the browser's own error page, which reloads itself at some time.)
  const place = page.url();
  await page.close();
  await server.restart();
  page = await person.context.newPage();
  await page.goto(place);
  await assertBookedOnce(page);
});

test("a form that is answered while a page is still being read is answered on that page", async () => {
  await ask();
  const device = await person.elsewhere(browser, { viewport: { width: 1000, height: 700 } });
  const tab = await device.context.newPage();
  let read;
  let release;
  const asked = new Promise((resolve) => (read = resolve));
  const held = new Promise((resolve) => (release = resolve));
  await tab.route(/\/events\?before=/, async (route) => {
    const response = await route.fetch();
    read();
    await held;
    await route.fulfill({ response });
  });
  await tab.goto(page.url());
  await asked;
  await live(tab);
  await fill(booking());
  await booking().getByRole("button", { name: "Book room" }).click();
  // The end of the log is there before what was asked for of it.
  await articles("The garden is yours", tab).waitFor();
  release();
  await assertBookedOnce(page, tab);
  await articles("book a room", tab).waitFor();
  assert.deepEqual(device.faults, []);
  await device.close();
});

test("what one device answers or cancels is answered on the other", async () => {
  await ask();
  const { device, tab } = await elsewhere();
  await booking(tab).waitFor();
  await fill(booking(tab));
  await booking().getByLabel("How many people?").fill("7");
  await booking(tab).getByRole("button", { name: "Book room" }).click();
  await assertBookedOnce(page, tab);
  for (const on of [page, tab]) {
    await log(on).getByText("Book room: sent").waitFor();
    assert.equal(await log(on).locator("dd").filter({ hasText: /^4$/ }).count() > 0, true, "what was sent is shown, not what was typed here");
  }

  await say("book a room");
  await booking(tab).waitFor();
  await booking().getByRole("button", { name: "Cancel" }).click();
  for (const on of [page, tab]) await log(on).getByText("Book room: cancelled").waitFor();
  assert.equal(await booking(tab).count(), 0);
  // Cancelled, it holds nothing back: the next message is a command again.
  await say("show texts");
  await articles("The text stands first").waitFor();
  assert.deepEqual(device.faults, []);
  await device.close();
});

test("a button that works once works once, in two tabs that do not know of each other", async () => {
  await begin();
  await say("show buttons");
  const { device, tab } = await elsewhere();
  const once = (on, answer) => log(on).getByRole("button", { name: `Once: ${answer}`, exact: true });
  await once(page, "yes").waitFor();
  // This page has not heard of the other's choice when it makes its own.
  network.deafen();
  await once(tab, "no").click();
  await articles("pressed no, once.", tab).waitFor();
  await once(page, "yes").click();
  network.cut();
  await lost();
  network.mend();
  for (const on of [page, tab]) {
    await log(on).getByText(/^Once: no, chosen/).waitFor();
    for (const answer of ["yes", "no"]) await once(on, answer).waitFor({ state: "detached" });
    await articles("pressed no, once.", on).waitFor();
  }
  const pressed = (await events()).filter(({ type, content }) => type === "message" && /pressed .*once/.test(content));
  assert.equal(pressed.length, 1);

  // One that asks first does nothing before it is answered; the keyboard stays with it.
  await log().getByRole("button", { name: "Danger" }).click();
  const question = log().getByRole("group", { name: "Really press the dangerous button?" });
  await question.waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.textContent.trim()), "Danger");
  await page.keyboard.press("Escape");
  await question.waitFor({ state: "detached" });
  assert.equal(await page.evaluate(() => document.activeElement.textContent.trim()), "Danger");
  await page.keyboard.press("Enter");
  await picture(page, "confirm-1280-light");
  await page.keyboard.press("Enter");
  await articles("pressed the dangerous button").waitFor();
  assert.equal(await articles("pressed the dangerous button").count(), 1);
  await device.close();
});

test("a choice and a day are made at the message; a card is rewritten where it stands", async () => {
  await begin();
  await say("show choices");
  await log().getByLabel("Which tone?", { exact: true }).selectOption("It went well");
  await log().getByRole("button", { name: "Choose: Which tone?" }).click();
  await articles("This sounds like success.").waitFor();
  await log().getByLabel("Another tone", { exact: true }).selectOption("warning");
  await log().getByRole("button", { name: "Choose: Another tone" }).click();
  await articles("This sounds like warning.").waitFor();
  assert.equal(await articles("This sounds like").count(), 1);

  await log().getByLabel("Which day?", { exact: true }).fill("2000-01-01");
  await log().getByRole("button", { name: "Choose: Which day?" }).click();
  await log().getByText(/^Choose a day from .* on\.$/).waitFor();
  await log().getByLabel("Which day?", { exact: true }).fill("2027-01-01");
  await log().getByRole("button", { name: "Choose: Which day?" }).click();
  await articles("01 January 2027 is a Friday.").waitFor();

  await say("start a rollout");
  const { device, tab } = await elsewhere();
  for (const [button, step] of [["Test it", "test"], ["Ship it", "ship"], ["Finish", null]]) {
    await log(tab).getByRole("button", { name: button }).click();
    for (const on of [page, tab]) await articles(step ? `under way: ${step}` : "The rollout is done.", on).waitFor();
  }
  for (const on of [page, tab]) assert.equal(await articles("The rollout is", on).count(), 1);
  await device.close();
});

for (const colorScheme of ["light", "dark"]) {
  test(`forms and actions keep nobody out in the ${colorScheme} theme, and fit a phone`, async () => {
    await begin();
    for (const text of ["show buttons", "show choices", "show folded", "start a rollout", "book a room"]) await say(text);
    await booking().waitFor();
    for (const [width, height] of [[1280, 800], [360, 740]]) {
      const phone = width < 500;
      const { device, tab } = await elsewhere({ viewport: { width, height }, colorScheme, hasTouch: phone, isMobile: phone });
      const name = (what) => `${what}-${width}-${colorScheme}`;
      const form = booking(tab);
      await form.getByLabel("How many people?").fill("many");
      await form.getByRole("button", { name: "Book room" }).click();
      await form.locator("[aria-invalid=true]").first().waitFor();
      await picture(tab, name("form-wrong"));
      await log(tab).getByRole("button", { name: "Danger" }).click();
      await log(tab).getByRole("group", { name: /^Really/ }).waitFor();
      assert.deepEqual(await seriousFindings(tab), [], name("form"));
      assert.deepEqual(await tooWide(tab), [], name("form"));
      if (phone) assert.deepEqual(await tooSmall(tab), [], name("form"));
      await picture(tab, name("actions"));
      assert.deepEqual(device.faults, []);
      await device.close();
    }
    await booking().getByRole("button", { name: "Cancel" }).click();
    await log().getByText("Book room: cancelled").waitFor();
  });
}
