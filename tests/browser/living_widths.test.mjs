// Threads, search, settings and the tools of a message, in both themes and at every width.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Person, picture, seriousFindings, setting, startBrowser, tooSmall, tooWide } from "./browser.mjs";

const url = setting("PARLOUR_URL");
let browser;
let person;
let place;

before(async () => {
  let page;
  browser = await startBrowser();
  ({ person, page } = await Person.signIn(browser, setting("PARLOUR_SIGN_IN")));
  await page.getByRole("button", { name: "Start a conversation with Hello" }).click();
  for (const text of ["show what you can do", "greet Ann"]) {
    await page.getByRole("textbox", { name: /^Message / }).fill(text);
    await page.keyboard.press("Enter");
  }
  await row("Hello Ann", page).waitFor();
  place = page.url();
});

after(async () => {
  await browser?.close();
});

function row(text, on) {
  return on.getByRole("log", { name: /^Conversation/ }).getByRole("article").filter({ hasText: text }).last();
}

for (const colorScheme of ["light", "dark"]) {
  test(`threads, search and settings keep nobody out in the ${colorScheme} theme, at any width`, async () => {
    for (const [width, height] of [[1280, 800], [768, 1024], [390, 844]]) {
      const touch = width < 500;
      const device = await person.elsewhere(browser, { viewport: { width, height }, colorScheme, hasTouch: touch, isMobile: touch });
      const tab = await device.context.newPage();
      const check = async (what) => {
        const name = `${what}-${width}-${colorScheme}`;
        assert.deepEqual(await seriousFindings(tab), [], name);
        assert.deepEqual(await tooWide(tab), [], name);
        if (touch) assert.deepEqual(await tooSmall(tab), [], name);
        await picture(tab, name);
      };
      await tab.goto(place);
      await row("Hello Ann", tab).waitFor();
      await row("Hello Ann", tab).getByText("good to see you").click();
      await row("Hello Ann", tab).getByRole("toolbar").waitFor();
      await check("living-tools");
      await row("Hello Ann", tab).getByRole("button", { name: "Reply in a thread" }).click();
      await tab.getByRole("complementary", { name: "Thread" }).getByText("No replies yet").waitFor();
      await check("living-thread");
      await tab.getByRole("complementary", { name: "Thread" }).getByRole("button", { name: "Close thread" }).click();
      await tab.getByRole("button", { name: "Search this conversation" }).click();
      await tab.getByRole("searchbox").fill("ann");
      await tab.getByText("newest first").waitFor();
      await check("living-search");
      await tab.getByRole("button", { name: "Close search" }).click();
      await tab.getByRole("button", { name: /^Today/ }).click();
      await tab.getByRole("button", { name: "The beginning" }).waitFor();
      await check("living-days");
      await tab.keyboard.press("Escape");
      if (width <= 720) await tab.getByRole("button", { name: "Conversations", exact: true }).click();
      await tab.getByRole("button", { name: "Settings" }).click();
      await tab.getByRole("dialog", { name: "Settings" }).waitFor();
      await check("living-settings");
      assert.deepEqual(device.faults, []);
      await device.close();
    }
  });
}
