// A person signs in, talks to a bot, and finds everything again: by mouse, by keyboard, on a phone.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Person, picture, seriousFindings, setting, startBrowser, tooSmall, tooWide } from "./browser.mjs";

const INTENT = "type this in chat to invoke the command";

const url = setting("PARLOUR_URL");
let browser;
let person;
let page;

before(async () => {
  browser = await startBrowser();
  ({ person, page } = await Person.signIn(browser, setting("PARLOUR_SIGN_IN")));
});

after(async () => {
  await browser?.close();
});

function log(on = page) {
  return on.getByRole("log");
}

function field(on = page) {
  return on.getByRole("textbox", { name: /^Message / });
}

/** The messages of a conversation as they stand in the log. */
async function spoken(on) {
  return await log(on).getByRole("article").evaluateAll((articles) =>
    articles.map((article) => article.querySelector(".said, .answer")?.textContent.trim()),
  );
}

async function say(text, on = page) {
  await field(on).fill(text);
  await field(on).press("Enter");
}

/** Waits for a message that reads exactly so. */
async function read(text, on = page, count = 1) {
  await log(on).locator(".answer, .said").filter({ hasText: new RegExp(`^\\s*${text}\\s*$`) }).nth(count - 1).waitFor();
}

/** What the intent without its parameter asks for. */
function asked(on) {
  return log(on).locator(".answer").filter({ hasText: "needs to know" }).filter({ hasText: "Who shall be greeted?" });
}

async function startWith(bot, on = page) {
  const before = on.url();
  await on.getByRole("button", { name: `Start a conversation with ${bot}` }).click();
  await on.waitForURL((address) => address.href !== before);
  await on.getByRole("heading", { level: 1, name: bot }).waitFor();
}

/** The text of the composer, once it is what it should be. */
async function composed(text, on = page) {
  await on.waitForFunction((wanted) => document.querySelector("textarea")?.value === wanted, text).catch(() => {});
  assert.equal(await field(on).inputValue(), text);
}

test("a newcomer is greeted with three things to try", async () => {
  await page.getByRole("heading", { name: /^Welcome/ }).waitFor();
  assert.equal(await page.getByRole("button", { name: /^Try: / }).count(), 3);
  await page.getByText("Live", { exact: true }).waitFor();
  await picture(page, "home-1280-light");
});

test("an intent is completed, understood, sent and answered", async () => {
  await startWith("Hello");
  await field().pressSequentially("type this");
  const completion = page.getByRole("option").first();
  await completion.waitFor();
  assert.match(await completion.textContent(), /type\s+this\s+in\s+chat\s+to\s+invoke\s+the\s+command/);

  await field().press("Tab");
  await composed(`${INTENT} parameter_name_1=`);
  await field().pressSequentially("World");
  await page.getByText("Understood as MyCommandName").waitFor();
  await field().press("Enter");
  await read("Hello World");
  assert.deepEqual(await spoken(page), [`${INTENT} parameter_name_1=World`, "Hello World"]);
  await composed("");
});

test("without its parameter it is asked for", async () => {
  await say(INTENT);
  await asked(page).waitFor();
  assert.deepEqual((await spoken(page)).slice(0, 3), [`${INTENT} parameter_name_1=World`, "Hello World", INTENT]);
});

test("two tabs and a program see the same order", async () => {
  const other = await person.context.newPage();
  await other.goto(page.url());
  await read("Hello World", other);
  for (const name of ["Ada", "Grace"]) {
    await say(`${INTENT} parameter_name_1=${name}`);
    await say(`${INTENT} parameter_name_1=${name} again`, other);
  }
  for (const tab of [page, other]) {
    await read("Hello Ada", tab);
    await read("Hello Grace", tab);
    await tab.waitForFunction(() => document.querySelectorAll("[role=log] article").length === 12);
  }
  assert.deepEqual(await spoken(other), await spoken(page));

  const id = new URL(page.url()).pathname.split("/").at(-1);
  const answer = await person.context.request.get(`${url}/api/session/${id}/events?after=0&limit=100`);
  const { events } = await answer.json();
  const messages = events.filter(({ type }) => type === "message");
  const shown = await spoken(page);
  assert.equal(messages.length, shown.length);
  for (const [index, { sender, content }] of messages.entries()) {
    if (sender.kind === "user") assert.equal(shown[index], content);
  }
  await other.close();
});

test("a reload keeps the conversation, the draft and the place", async () => {
  const said = await spoken(page);
  await field().pressSequentially("half a thought");
  await page.reload();
  await read("Hello World");
  await composed("half a thought");
  assert.deepEqual(await spoken(page), said);
  await page.goto(url);
  await read("Hello World");
  await field().fill("");
});

test("what is said without a connection is kept over a reload and sent once", async () => {
  const cut = await person.context.newPage();
  await cut.routeWebSocket("**/ws", (socket) => socket.close());
  await cut.goto(page.url());
  await read("Hello World", cut);
  await say(`${INTENT} parameter_name_1=Nobody`, cut);
  await read(`${INTENT} parameter_name_1=Nobody`, cut);
  await log(cut).getByText("Sending").waitFor({ state: "attached" });
  await cut.close();

  const back = await person.context.newPage();
  await back.goto(page.url());
  await read("Hello Nobody", back);
  await read("Hello Nobody");
  const told = (await spoken(back)).filter((text) => text.endsWith("Nobody"));
  assert.deepEqual(told, [`${INTENT} parameter_name_1=Nobody`, "Hello Nobody"]);
  await back.close();
});

test("everything can be done by keyboard", async () => {
  await page.locator("body").press("Control+k");
  await page.getByRole("combobox", { name: "Go to" }).waitFor();
  await page.keyboard.type("ops");
  await page.getByRole("option", { name: /Ops/ }).first().waitFor();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Ops" }).waitFor();
  await page.waitForFunction(() => document.activeElement?.tagName === "TEXTAREA");

  await page.keyboard.type("/");
  await page.getByRole("option", { name: /status/ }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("option").first().waitFor({ state: "detached" });
  await page.keyboard.press("Backspace");
  await page.keyboard.type("status");
  await page.keyboard.press("Enter");
  await log().getByRole("article").filter({ hasText: "Status" }).last().waitFor();
  await page.keyboard.press("ArrowUp");
  await composed("status");
  await page.keyboard.press("ArrowDown");
  await composed("");

  await page.keyboard.press("Control+.");
  await page.getByRole("complementary", { name: "Commands" }).getByRole("heading", { level: 3 }).first().waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("complementary", { name: "Commands" }).waitFor({ state: "detached" });

  await page.keyboard.press("Alt+ArrowUp");
  await page.getByRole("heading", { level: 1, name: "Hello" }).waitFor();
  await page.keyboard.press("Alt+ArrowDown");
  await page.getByRole("heading", { level: 1, name: "Ops" }).waitFor();

  // From the message field back to the rail, where the arrows walk the list.
  await page.waitForFunction(() => document.activeElement?.tagName === "TEXTAREA");
  const current = page.getByRole("navigation").locator("a[aria-current=page]");
  for (let step = 0; step < 20 && !(await current.evaluate((link) => link === document.activeElement)); step += 1) {
    await page.keyboard.press("Shift+Tab");
  }
  assert.ok(await current.evaluate((link) => link === document.activeElement), "Shift+Tab does not reach the conversations");
  await page.keyboard.press("Home");
  assert.match(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), /^Start a conversation with/);
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.keyboard.press("/");
  await page.waitForFunction(() => document.activeElement?.tagName === "TEXTAREA");
});

test("a conversation elsewhere is marked unread until it is looked at", async () => {
  await page.getByRole("link", { name: "Parlour" }).click();
  await page.getByRole("heading", { name: /^Hello,/ }).waitFor();
  const link = page.getByRole("navigation").getByRole("link", { name: /Nobody/ });
  const place = await link.getAttribute("href");
  const write = async (name) => {
    const data = { content: `${INTENT} parameter_name_1=${name}` };
    const answer = await page.request.post(`${url}/api/session/${place.split("/").pop()}/messages`, { data, headers: { origin: url } });
    assert.equal(answer.status(), 201);
  };
  await write("Writer");
  await page.getByRole("link", { name: /Hello Writer.*1 unread/ }).waitFor();
  // Looked at on one device, it is read on all of them.
  const other = await person.elsewhere(browser);
  const tab = await other.context.newPage();
  await tab.goto(url + place);
  await read("Hello Writer", tab);
  await page.getByRole("link", { name: /unread/ }).waitFor({ state: "detached" });
  await other.close();
  await write("Reader");
  await page.getByRole("link", { name: /Hello Reader.*1 unread/ }).click();
  await page.locator(".rule.new").waitFor();
  await page.getByRole("link", { name: /unread/ }).waitFor({ state: "detached" });
});

test("a closed conversation leaves every tab, and its link says so", async () => {
  const other = await person.context.newPage();
  await other.goto(url);
  await startWith("Ops");
  await say("uptime");
  await log().getByRole("article").nth(1).waitFor();
  const link = other.locator(`a[href="${new URL(page.url()).pathname}"]`);
  await link.waitFor();
  await page.getByRole("button", { name: "Close conversation" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Close conversation" }).click();
  await page.getByRole("heading", { name: /^Hello,/ }).waitFor();
  await link.waitFor({ state: "detached" });
  // The bare address goes on with what was open last, but not with what is closed.
  await page.goto(url);
  await page.getByRole("heading", { name: /^Hello,/ }).waitFor();
  await other.goto(`${url}/c/no-such-conversation`);
  await other.getByRole("heading", { name: "This conversation cannot be opened" }).waitFor();
  // The browser itself notes the answer 404 in its console; that one is meant.
  person.faults = person.faults.filter((fault) => !fault.includes("404"));
  await other.close();
});

for (const colorScheme of ["light", "dark"]) {
  test(`nothing keeps people out in the ${colorScheme} theme, at any width`, async () => {
    for (const [width, height] of [[1280, 800], [768, 1024], [390, 844]]) {
      const device = await person.elsewhere(browser, { viewport: { width, height }, colorScheme, hasTouch: width < 500 });
      const tab = await device.context.newPage();
      const name = (what) => `${what}-${width}-${colorScheme}`;
      await tab.goto(url);
      await tab.getByText("Live", { exact: true }).waitFor();
      assert.deepEqual(await seriousFindings(tab), [], name("home"));
      await picture(tab, name("home"));

      await tab.getByRole("button", { name: /^Hello / }).first().click();
      await field(tab).waitFor();
      assert.deepEqual(await seriousFindings(tab), [], name("empty"));
      await picture(tab, name("empty"));
      await say("show what you can do", tab);
      await log(tab).getByText("What a reply can hold").waitFor();
      await say(INTENT, tab);
      await asked(tab).waitFor();
      await field(tab).pressSequentially("greet ");
      await tab.getByText("Understood as greet").waitFor();
      assert.deepEqual(await seriousFindings(tab), [], name("conversation"));
      await picture(tab, name("conversation"));
      await field(tab).press("Escape");
      await field(tab).fill("");

      await tab.getByRole("button", { name: "Commands", exact: true }).click();
      await tab.getByRole("complementary").getByRole("heading", { level: 3 }).first().waitFor();
      assert.deepEqual(await seriousFindings(tab), [], name("commands"));
      await picture(tab, name("commands"));
      await tab.getByRole("button", { name: "Close commands" }).click();
      assert.deepEqual(device.faults, []);
      await device.close();
    }
  });
}

test("the theme is a choice that outlives a reload", async () => {
  const theme = async (name) => {
    await page.getByRole("button", { name: "Settings" }).click();
    await page.getByRole("radio", { name, exact: true }).check();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
  };
  await theme("Dark");
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await background();
  await page.reload();
  await page.getByRole("button", { name: "Settings" }).waitFor();
  assert.equal(await background(), dark);
  await theme("Light");
  assert.notEqual(await background(), dark);
  await theme("System");
});

test("a phone of 360 pixels shows everything without scrolling sideways", async () => {
  const phone = await person.elsewhere(browser, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
  const tab = await phone.context.newPage();
  await tab.goto(url);
  await tab.getByText("Live", { exact: true }).waitFor();
  assert.deepEqual(await tooWide(tab), []);
  assert.deepEqual(await tooSmall(tab), []);

  await tab.getByRole("button", { name: "Conversations", exact: true }).tap();
  await tab.getByRole("navigation").waitFor();
  assert.deepEqual(await tooWide(tab), []);
  assert.deepEqual(await tooSmall(tab), []);
  await picture(tab, "drawer-360-light");
  await tab.getByRole("button", { name: "Start a conversation with Hello" }).tap();
  await tab.getByRole("navigation").waitFor({ state: "hidden" });
  await say("show what you can do", tab);
  await log(tab).getByText("What a reply can hold").waitFor();
  await say(`${INTENT} parameter_name_1=${"x".repeat(400)}`, tab);
  await read(`Hello ${"x".repeat(400)}`, tab);
  assert.deepEqual(await tooWide(tab), []);
  assert.deepEqual(await tooSmall(tab), []);
  await picture(tab, "conversation-360-light");
  await tab.getByRole("button", { name: "Commands", exact: true }).tap();
  await tab.getByRole("complementary").getByRole("heading", { level: 3 }).first().waitFor();
  assert.deepEqual(await tooWide(tab), []);
  assert.deepEqual(await tooSmall(tab), []);
  assert.deepEqual(phone.faults, []);
  await phone.close();
});

test("signing out ends every tab and says how to come back", async () => {
  const other = await person.context.newPage();
  await other.goto(url);
  await other.getByText("Live", { exact: true }).waitFor();
  assert.deepEqual(person.faults, [], "the consoles were not quiet");
  await page.getByRole("button", { name: "Sign out" }).click();
  for (const tab of [page, other]) {
    await tab.getByRole("heading", { name: "You are signed out" }).waitFor();
    await tab.getByText("parlour link").waitFor();
  }
  assert.deepEqual(await seriousFindings(page), []);
  await picture(page, "signed-out-1280-light");
  const kept = await page.evaluate(() => Object.keys(localStorage).filter((key) => !/^parlour\.(theme|rail|settings)$/.test(key)));
  assert.deepEqual(kept, []);
});
