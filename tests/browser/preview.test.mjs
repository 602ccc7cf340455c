// What a reply becomes in each chat: written on the page, or that of a message that was said.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Person, seriousFindings, setting, startBrowser, tooWide } from "./browser.mjs";

const CHATS = ["Parlour", "Slack", "Discord", "Text"];

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

function chat(name) {
  return page.getByRole("region", { name: "Preview" }).getByRole("article", { name, exact: true });
}

test("a reply that is written on the page is shown as each chat shows it", async () => {
  await page.goto(new URL("/preview", page.url()).href);
  for (const name of CHATS) await chat(name).getByText("is live.").waitFor();
  const reply = page.getByRole("textbox", { name: /^Reply/ });
  await reply.fill(`title: Sites
text: "**{{parameters.site}}** answers, <@everyone> or not"
table: {columns: [Site, Answer], rows: [[shop, "200"]]}
actions:
  - {label: Look again, command: look}
`);
  await page.getByRole("textbox", { name: /^Parameters/ }).fill("site=shop & *co*");
  for (const name of CHATS) {
    // What somebody typed is no markup anywhere, and nobody is mentioned.
    await chat(name).filter({ hasText: "shop & *co* answers, <@everyone> or not" }).waitFor();
    assert.match(await chat(name).innerText(), /Look again/, name);
  }
  await chat("Slack").getByRole("cell", { name: "shop" }).waitFor();
  assert.deepEqual(await seriousFindings(page), []);
});

test("a reply with a fault says what is wrong and keeps what was shown", async () => {
  await page.getByRole("textbox", { name: /^Reply/ }).fill("titel: Sites\ntext: hi\n");
  await page.getByRole("alert").filter({ hasText: 'unknown key "titel"' }).waitFor();
  await chat("Slack").getByText("answers, <@everyone> or not").waitFor();
  person.faults.length = 0;
});

test("what is longer than a chat takes is cut there, and said to be", async () => {
  await page.getByRole("textbox", { name: /^Reply/ }).fill(`text: "${"many words ".repeat(2500)}"\n`);
  await chat("Discord").getByText("cut", { exact: true }).waitFor();
  await page.getByRole("alert").waitFor({ state: "detached" });
});

test("every message of the gallery can be previewed in every chat, on a phone too", async () => {
  await page.goto(new URL("/", page.url()).href);
  await page.getByRole("button", { name: "Start a conversation with Gallery" }).click();
  await page.getByRole("heading", { level: 1, name: "Gallery" }).waitFor();
  const conversation = page.url();
  for (const [said, seen] of [
    ["show texts", "enough on its own"],
    ["show facts", "bots are here"],
    ["show folded", "A long story"],
    ["show choices", "Choose something, or a day."],
  ]) {
    const field = page.getByRole("textbox", { name: /^Message / });
    await field.fill(said);
    await field.press("Enter");
    const answer = page.getByRole("log", { name: /^Conversation/ }).getByRole("article").filter({ hasText: seen }).last();
    await answer.waitFor();
    await answer.hover();
    await answer.getByRole("button", { name: "Preview in other chats" }).click();
    for (const name of CHATS) await chat(name).getByText(seen).first().waitFor();
    await page.setViewportSize({ width: 375, height: 800 });
    assert.deepEqual(await tooWide(page), [], said);
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.getByRole("button", { name: "Back", exact: true }).click();
    await page.waitForURL(conversation);
  }
  assert.deepEqual(person.faults, []);
});
