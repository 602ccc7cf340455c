// What makes a chat one to live in: words changed and taken back, threads, finding things again, settings.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Person, picture, seriousFindings, setting, startBrowser } from "./browser.mjs";

const INTENT = "type this in chat to invoke the command";

const url = setting("PARLOUR_URL");
let browser;
let person;
let page;
/** The address of the conversation most of this happens in. */
let place;

before(async () => {
  browser = await startBrowser();
  ({ person, page } = await Person.signIn(browser, setting("PARLOUR_SIGN_IN")));
});

after(async () => {
  await browser?.close();
});

function log(on = page) {
  return on.getByRole("log", { name: /^Conversation/ });
}

function field(on = page) {
  return on.getByRole("textbox", { name: /^Message / });
}

function row(text, on = page) {
  return log(on).getByRole("article").filter({ hasText: text }).last();
}

function thread(on = page) {
  return on.getByRole("complementary", { name: "Thread" });
}

async function say(text, on = page) {
  await field(on).fill(text);
  await field(on).press("Enter");
}

/** Says something with the person's own key to the door, as a program would, and waits until it is stored. */
async function tell(content, extra = {}) {
  const session = new URL(place).pathname.split("/").at(-1);
  const data = { content, ...extra };
  const answer = await page.request.post(`${url}/api/session/${session}/messages`, { data, headers: { origin: url } });
  assert.equal(answer.status(), 201, await answer.text());
  return await answer.json();
}

test("one's own words are changed in place, by mouse and by keyboard", async () => {
  await page.getByRole("button", { name: "Start a conversation with Hello" }).click();
  await page.getByRole("heading", { level: 1, name: "Hello" }).waitFor();
  place = page.url();
  await say(`${INTENT} parameter_name_1=World`);
  await row("Hello World").waitFor();

  const mine = row("parameter_name_1=World");
  await mine.hover();
  await mine.getByRole("toolbar").getByRole("button", { name: "Edit" }).click();
  const edit = page.getByRole("textbox", { name: "Edit message" });
  await edit.fill("said otherwise");
  await picture(page, "edit-1280-light");
  await edit.press("Enter");
  await row("said otherwise").getByText("edited").waitFor();
  assert.match(await row("said otherwise").getByText("edited").getAttribute("title"), /^Edited .*\d/);
  assert.equal(await log().getByRole("article").count(), 2, "an edit runs nothing");

  // The message has the keys again; E edits it once more, Escape leaves all as it was.
  await page.waitForFunction(() => document.activeElement?.textContent?.includes("said otherwise"));
  await page.keyboard.press("e");
  await edit.fill("not this");
  await edit.press("Escape");
  await row("said otherwise").waitFor();

  await person.context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: url });
  await row("Hello World").hover();
  await row("Hello World").getByRole("button", { name: "Copy text" }).click();
  await row("Hello World").getByText("Copied").waitFor({ state: "attached" });
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "Hello World");

  // Up in the empty field still brings back what was said, in the words that count.
  await field().focus();
  await page.keyboard.press("ArrowUp");
  assert.equal(await field().inputValue(), "said otherwise");
  await field().fill("");
});

test("a change that is refused is undone and says why", async () => {
  await page.route("**/messages/*", (route) =>
    route.fulfill({ status: 409, json: { error: { code: "TOO_MANY_EDITS", message: "It was changed too often." } } }),
  );
  await row("said otherwise").hover();
  await row("said otherwise").getByRole("button", { name: "Edit" }).click();
  const edit = page.getByRole("textbox", { name: "Edit message" });
  await edit.fill("a third time");
  await edit.press("Enter");
  await row("said otherwise").getByText("Not changed. It was changed too often.").waitFor();
  await page.unroute("**/messages/*");
  await row("said otherwise").getByRole("button", { name: "Edit again" }).click();
  assert.equal(await edit.inputValue(), "a third time");
  await edit.press("Enter");
  await row("a third time").waitFor();
  assert.equal(await page.getByText("It was changed too often.").count(), 0);
  // The browser itself notes the refusal in its console; that one is meant.
  person.faults = person.faults.filter((fault) => !fault.includes("409"));
});

test("what one said is taken back, by keyboard alone, in every tab", async () => {
  const other = await person.context.newPage();
  await other.goto(place);
  await row("a third time", other).waitFor();
  await field().focus();
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Shift+Tab");
  await log().focus();
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Delete");
  await page.getByText("Take this message back?").waitFor();
  await page.keyboard.press("Escape");
  await page.getByText("Take this message back?").waitFor({ state: "detached" });
  await row("a third time").waitFor();
  await page.keyboard.press("Delete");
  await page.getByRole("button", { name: "Take back", exact: true }).waitFor();
  await page.keyboard.press("Enter");
  for (const tab of [page, other]) await row("This message was taken back.", tab).waitFor();
  await row("Hello World", other).waitFor();
  await other.close();
});

test("others see that somebody writes, and oneself only from another device", async () => {
  const device = await person.elsewhere(browser, { viewport: { width: 1280, height: 800 } });
  const tab = await device.context.newPage();
  await tab.goto(place);
  await row("Hello World", tab).waitFor();
  await field(tab).pressSequentially("half");
  await page.getByText("You are writing on another device…").waitFor();
  assert.equal(await tab.getByText("You are writing on another device…").count(), 0);
  await picture(page, "typing-1280-light");
  await say("help", tab);
  await page.getByText("You are writing on another device…").waitFor({ state: "detached" });
  assert.deepEqual(device.faults, []);
  await device.close();
});

test("a reply opens a thread, which stands in the log as one line", async () => {
  await say(`${INTENT} parameter_name_1=Thread`);
  const answer = row("Hello Thread");
  await answer.waitFor();
  await answer.hover();
  await answer.getByRole("button", { name: "Reply in a thread" }).click();
  const reply = thread().getByRole("textbox", { name: "Reply in this thread" });
  await page.waitForFunction(() => document.activeElement?.getAttribute("aria-label") === "Reply in this thread");
  await thread().getByText("No replies yet").waitFor();
  await reply.fill(`${INTENT} parameter_name_1=Inside`);
  await reply.press("Enter");
  await thread().getByRole("article").filter({ hasText: "Hello Inside" }).waitFor();
  await thread().getByText("2 replies").waitFor();

  await answer.getByRole("button", { name: /^2 replies/ }).waitFor();
  const line = log().getByRole("button", { name: /in the thread on “?"?.?Hello Thread/ });
  await line.waitFor();
  assert.equal(await log().getByRole("article").filter({ hasText: "Hello Inside" }).count(), 0);
  await picture(page, "thread-1280-light");
  assert.deepEqual(await seriousFindings(page), []);

  await page.keyboard.press("Escape");
  await thread().waitFor({ state: "detached" });
  // A direct answer of the bot is no thread.
  assert.equal(await row("Hello World").getByRole("button", { name: /repl(y|ies)/ }).count(), 0);
  // A program's reply to the reply belongs to the same thread.
  const inside = await page.evaluate(async (session) => {
    const answer = await fetch(`/api/session/${session}/events?after=0&limit=500`);
    const { events } = await answer.json();
    return events.find(({ content }) => content === "Hello Inside").message_id;
  }, new URL(place).pathname.split("/").at(-1));
  await tell("help", { reply_to: inside });
  await answer.getByRole("button", { name: /^4 replies/ }).click();
  await thread().getByText("4 replies").waitFor();
  await thread().getByRole("button", { name: "Close thread" }).click();
});

test("what was said long ago is found, shown where it was said, and left again", async () => {
  await tell("the needle of this log");
  for (let n = 0; n < 120; n += 1) await tell(`help hay-${n}`);
  // A fresh page holds the newest page of the log only.
  await page.goto(url);
  await page.goto(place);
  await row("hay-119").waitFor();
  assert.equal(await log().getByText("the needle of this log").count(), 0);

  await page.locator("body").press("Control+k");
  await page.getByRole("combobox", { name: "Go to" }).fill("NEEDLE of");
  const hit = page.getByRole("option").filter({ hasText: "the needle of this log" }).first();
  await hit.locator("mark").getByText("needle of").waitFor();
  await picture(page, "palette-1280-light");
  assert.deepEqual(await seriousFindings(page), []);
  const count = await page.getByRole("option").count();
  for (let step = 0; step < count && (await hit.getAttribute("aria-selected")) !== "true"; step += 1) {
    await page.keyboard.press("ArrowDown");
  }
  await page.keyboard.press("Enter");
  await row("the needle of this log").waitFor();
  assert.ok(await row("the needle of this log").evaluate((article) => article.classList.contains("found")));
  assert.match(page.url(), /#\d+$/);
  await picture(page, "found-1280-light");

  // Reading on from there reaches the present without a gap.
  await page.getByRole("button", { name: "Back to now" }).waitFor();
  await log().hover();
  const hay = () => log().getByText(/^help hay-\d+$/);
  const seen = new Set();
  for (let step = 0; step < 200 && !seen.has("help hay-119"); step += 1) {
    for (const text of await hay().allTextContents()) seen.add(text);
    await page.mouse.wheel(0, 900);
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  }
  assert.deepEqual([...seen].map((text) => Number(text.slice(9))), Array.from({ length: 120 }, (_, n) => n));

  // And the address leads there again.
  const address = page.url();
  await page.goto(url);
  await page.goto(address);
  await row("the needle of this log").waitFor();
  await page.getByRole("button", { name: "Back to now" }).click();
  await row("hay-119").waitFor();
  await page.getByRole("button", { name: "Back to now" }).waitFor({ state: "detached" });
});

test("a conversation is searched at its right, and a day is gone to", async () => {
  await field().focus();
  await page.keyboard.press("Control+f");
  const panel = page.getByRole("complementary", { name: "Search" });
  await panel.getByRole("searchbox").fill("hay-11");
  await panel.getByText("newest first").waitFor();
  await panel.locator("li").filter({ hasText: "help hay-112" }).first().waitFor();
  await picture(page, "search-1280-light");
  assert.deepEqual(await seriousFindings(page), []);
  await panel.getByRole("searchbox").fill("needle of");
  await panel.locator("li mark").filter({ hasText: "needle of" }).first().waitFor();
  await panel.getByRole("searchbox").press("Enter");
  await row("the needle of this log").waitFor();
  await panel.getByRole("searchbox").fill("nobody said that");
  await panel.getByText("Nothing here reads").waitFor();
  await page.keyboard.press("Escape");
  await panel.waitFor({ state: "detached" });
  await page.getByRole("button", { name: /^(Back to now|Latest)$/ }).click();
  await row("hay-119").waitFor();

  await log().getByRole("button", { name: /^Today/ }).click();
  await picture(page, "days-1280-light");
  assert.deepEqual(await seriousFindings(page), []);
  await log().getByRole("button", { name: "The beginning" }).click();
  await row("This message was taken back.").waitFor();
  await page.getByRole("button", { name: /^(Back to now|Latest)$/ }).click();
});

test("settings are made in one place and stay on the device", async () => {
  await page.locator("body").press("Control+,");
  const dialog = page.getByRole("dialog", { name: "Settings" });
  await dialog.getByRole("radio", { name: "Compact" }).check();
  await dialog.getByRole("radio", { name: "Ctrl Enter" }).check();
  await dialog.getByRole("radio", { name: "Dark" }).check();
  await picture(page, "settings-1280-dark");
  assert.deepEqual(await seriousFindings(page), []);
  await page.keyboard.press("Escape");
  await page.reload();
  await row("hay-119").waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.dataset.density), "compact");
  await field().fill("first");
  await field().press("Enter");
  await field().pressSequentially("second");
  assert.equal(await field().inputValue(), "first\nsecond");
  await field().press("Control+Enter");
  await row("second").waitFor();
  await picture(page, "compact-1280-dark");
  await page.getByRole("button", { name: "Settings" }).click();
  await dialog.getByRole("radio", { name: "Comfortable" }).check();
  await dialog.getByRole("radio", { name: "Enter", exact: true }).check();
  await dialog.getByRole("radio", { name: "System" }).check();
  await page.keyboard.press("Escape");
});

test("somebody is called for an answer only on wish, when not looking, and never for their own words", async () => {
  const device = await person.elsewhere(browser, { viewport: { width: 1280, height: 800 } });
  await device.context.grantPermissions(["notifications"], { origin: url });
  await device.context.addInitScript(() => {
    window.called = [];
    window.Notification = class {
      static permission = "granted";
      static requestPermission = async () => "granted";
      constructor(title, { body }) {
        window.called.push(`${title}: ${body}`);
      }
      close() {}
    };
    // The tab is the only one in its window: the test says when it is looked at.
    window.looked = true;
    Object.defineProperty(document, "visibilityState", { get: () => (window.looked ? "visible" : "hidden") });
  });
  const tab = await device.context.newPage();
  await tab.goto(place);
  await row("hay-119", tab).waitFor();
  await tell(`${INTENT} parameter_name_1=Seen`);
  await row("Hello Seen", tab).waitFor();
  await tab.getByRole("button", { name: "Settings" }).click();
  await tab.getByRole("radio", { name: "Answers and mentions" }).check();
  await tab.getByText("without a sound").waitFor();
  await tab.keyboard.press("Escape");
  // The other tab must not read it meanwhile.
  await page.getByRole("link", { name: "Parlour" }).click();
  await page.getByRole("heading", { name: /^Hello,/ }).waitFor();
  await tab.evaluate(() => (window.looked = false));
  await tab.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await tell(`${INTENT} parameter_name_1=Missed`);
  await tab.waitForFunction(() => window.called.length > 0);
  await tab.waitForFunction(() => document.title.startsWith("(1) "));
  assert.deepEqual(await tab.evaluate(() => window.called), ["Hello: Hello Missed"]);
  assert.deepEqual(device.faults, []);
  await device.close();
});

test("the consoles were quiet", () => {
  assert.deepEqual(person.faults, []);
});
