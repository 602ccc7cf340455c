// A person signs in with the company's directory, and out again there and here.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Person, seriousFindings, setting, startBrowser } from "./browser.mjs";

const url = setting("PARLOUR_URL");
let browser;

before(async () => {
  browser = await startBrowser();
});

after(async () => {
  await browser?.close();
});

/** From the page of the signed out to the directory's two forms, and back. */
async function signIn(login) {
  const person = new Person(await browser.newContext({ viewport: { width: 1280, height: 800 } }));
  const page = await person.context.newPage();
  await page.goto(url);
  const link = page.getByRole("link", { name: "Sign in" });
  await link.waitFor();
  assert.deepEqual(await seriousFindings(page), []);
  await link.click();
  await page.getByPlaceholder("Enter any login").fill(login);
  await page.getByPlaceholder("and password").fill("any");
  await page.getByRole("button", { name: "Sign-in" }).click();
  await page.getByRole("button", { name: "Continue" }).click();
  await page.waitForURL((address) => address.origin === url);
  return page;
}

test("somebody with a role comes in, and signs out everywhere", async () => {
  const page = await signIn("ann");
  const start = page.getByRole("button", { name: "Start a conversation with Hello", exact: false });
  await start.waitFor();
  const session = await (await page.request.get(`${url}/api/session`)).json();
  assert.equal(session.user.name, "Ann");
  // Another tab is sent away when the directory ends the session.
  const other = await page.context().newPage();
  await other.goto(url);
  await other.getByRole("heading", { level: 1 }).waitFor();
  const answer = await page.request.post(`${url}/auth/logout`, { headers: { origin: url } });
  await page.goto((await answer.json()).end_session_url);
  await page.getByRole("button", { name: "Yes, sign me out" }).click();
  await page.waitForURL(`${url}/`);
  await page.getByRole("link", { name: "Sign in" }).waitFor();
  await other.getByRole("heading", { name: "You are signed out" }).waitFor();
});

test("somebody without a role reads why not", async () => {
  const page = await signIn("dan");
  await page.getByRole("alert").filter({ hasText: "gives you no role here" }).waitFor();
  assert.deepEqual(await seriousFindings(page), []);
});
