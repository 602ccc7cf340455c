// The browser the journeys are made in, and what they look at on a page.

import { access, mkdir } from "node:fs/promises";
import path from "node:path";
import process from "node:process";
import axe from "axe-core";
import { chromium } from "playwright-core";

const EXECUTABLE = process.env.PARLOUR_CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const WAIT_MS = 15_000;

/** What the journeys need to know from outside; each is missed by name. */
export function setting(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; run the journeys with tests/browser/run.mjs`);
  return value;
}

export async function startBrowser() {
  await access(EXECUTABLE).catch((cause) => {
    throw new Error(`there is no Chromium at ${EXECUTABLE}: apt-get install chromium, or set PARLOUR_CHROMIUM`, { cause });
  });
  return await chromium.launch({ executablePath: EXECUTABLE, args: FLAGS });
}

/** One person's browser: pages that share a login, and every fault their consoles showed. */
export class Person {
  faults = [];

  constructor(context) {
    this.context = context;
    context.setDefaultTimeout(WAIT_MS);
    context.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") this.faults.push(message.text());
    });
    context.on("weberror", (error) => this.faults.push(String(error.error())));
  }

  /** Someone who signs in with the one-time link. */
  static async signIn(browser, link, options = {}) {
    const person = new Person(await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options }));
    const page = await person.context.newPage();
    await page.goto(link);
    await page.getByRole("heading", { level: 1 }).waitFor();
    return { person, page };
  }

  /** The same login on another device. */
  async elsewhere(browser, options) {
    return new Person(await browser.newContext({ ...options, storageState: await cookies(this.context) }));
  }

  async close() {
    await this.context.close();
  }
}

/** The login without what the page keeps in its storage. */
async function cookies(context) {
  return { cookies: await context.cookies(), origins: [] };
}

/** What axe finds that keeps people from using the page. */
export async function seriousFindings(page) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} (${failureSummary})`).join("; ")}`);
}

/** Elements that reach beyond the right edge of the page without a box of their own to scroll in. */
export async function tooWide(page) {
  return await page.evaluate(() => {
    const edge = document.documentElement.clientWidth;
    const scrolls = (element) =>
      element !== null && (/auto|scroll|hidden|clip/.test(getComputedStyle(element).overflowX) || scrolls(element.parentElement));
    const wide = [...document.body.querySelectorAll("*")].filter(
      (element) => element.getBoundingClientRect().right > edge + 0.5 && !scrolls(element.parentElement),
    );
    const page = document.scrollingElement.scrollWidth > edge ? ["the page itself"] : [];
    return [...page, ...wide.map((element) => element.outerHTML.slice(0, 120))];
  });
}

/** Controls that a thumb could miss: visible, and under 44 pixels in either direction. */
export async function tooSmall(page) {
  return await page.evaluate(() =>
    [...document.querySelectorAll("button, nav a, textarea, select, label:has(input), input:not([type=checkbox], [type=radio])")]
      .filter((element) => element.checkVisibility() && element.closest(".hidden-visually") === null)
      .map((element) => ({ box: element.getBoundingClientRect(), html: element.outerHTML.slice(0, 120) }))
      .filter(({ box }) => box.width > 0 && (box.height < 43.5 || box.width < 43.5))
      .map(({ box, html }) => `${Math.round(box.width)}×${Math.round(box.height)} ${html}`),
  );
}

/** Keeps a picture where PARLOUR_SCREENSHOTS says, if it says. */
export async function picture(page, name) {
  const folder = process.env.PARLOUR_SCREENSHOTS;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: path.join(folder, `${name}.png`), animations: "disabled" });
}
