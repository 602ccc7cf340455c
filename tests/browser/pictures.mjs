// Makes the pictures of README.md anew:   node tests/browser/pictures.mjs <parlour binary>

import path from "node:path";
import process from "node:process";
import { Person, startBrowser } from "./browser.mjs";
import { Server } from "./server.mjs";

const docs = path.resolve(import.meta.dirname, "../../docs");

const [binary] = process.argv.slice(2);
if (!binary) throw new Error("usage: node tests/browser/pictures.mjs <parlour binary>");
const browser = await startBrowser();
const server = await Server.start(binary);

async function begin(page, bot) {
  await page.getByRole("button", { name: `Start a conversation with ${bot}` }).click();
  await page.getByRole("heading", { level: 1, name: bot }).waitFor();
}

/** Says something, and waits until what is looked for stands in the log. */
async function say(page, text, answer) {
  const field = page.getByRole("textbox", { name: /^Message / });
  await field.fill(text);
  await field.press("Enter");
  await page.getByRole("log").getByText(answer).first().waitFor();
}

/** One picture in both themes, of what stands in the page now. */
async function shoot(page, name) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: path.join(docs, `${name}-${colorScheme}.png`), animations: "disabled" });
  }
}

try {
  const { page } = await Person.signIn(browser, server.signIn, { viewport: { width: 1100, height: 680 } });
  await page.setViewportSize({ width: 1100, height: 1040 });
  await begin(page, "Gallery");
  await say(page, "start a rollout", "The rollout is under way");
  for (const [button, step] of [["Test it", "test"], ["Ship it", "ship"]]) {
    await page.getByRole("button", { name: button }).click();
    await page.getByRole("log").locator("strong").getByText(step, { exact: true }).waitFor();
  }
  await say(page, "book garden for many", "That does not fit people");
  await page.getByLabel("Which day?").fill("2026-12-01");
  await page.getByRole("heading", { level: 1 }).click();
  await shoot(page, "form");

  await page.setViewportSize({ width: 1100, height: 680 });
  await begin(page, "Hello");
  await say(page, "type this in chat to invoke the command parameter_name_1=World", "Hello World");
  await say(page, "type this in chat to invoke the command", "needs to know");
  await page.getByRole("textbox", { name: /^Message / }).pressSequentially("greet ");
  await page.getByText("Understood as greet").waitFor();
  await shoot(page, "chat");
} finally {
  await browser.close();
  await server.stop();
}
