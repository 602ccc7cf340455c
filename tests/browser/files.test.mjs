// Files go from a person's desktop into a conversation.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Person, picture, seriousFindings, setting, startBrowser } from "./browser.mjs";

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
  return on.getByRole("log", { name: /^Conversation/ });
}

function field(on = page) {
  return on.getByRole("textbox", { name: /^Message / });
}

/** Gives files to the page as if they came from the desktop: dropped on an element, or pasted into it. */
async function hand(how, target, files) {
  await target.evaluate(
    (element, [how, files]) => {
      const data = new DataTransfer();
      for (const [name, type, text] of files) data.items.add(new File([text], name, { type }));
      const event = (kind) =>
        kind === "paste"
          ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })
          : new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
      for (const kind of how === "drop" ? ["dragenter", "dragover", "drop"] : ["paste"]) element.dispatchEvent(event(kind));
    },
    [how, files],
  );
}

test("files are dropped, pasted and chosen, kept over a reload, and sent with or without words", async () => {
  await page.getByRole("button", { name: "Start a conversation with Hello" }).click();
  await field().fill("greet Ann");
  await field().press("Enter");
  await log().getByRole("article").filter({ hasText: "good to see you" }).waitFor();
  const chips = page.getByRole("list", { name: "Files to send" });
  await hand("drop", log(), [["notes.txt", "text/plain", "what was agreed"]]);
  await chips.getByText("15 bytes").waitFor();
  await hand("paste", field(), [["pasted.txt", "text/plain", "more of it"]]);
  const chooser = page.waitForEvent("filechooser");
  await page.getByRole("button", { name: "Attach files" }).click();
  await (await chooser).setFiles({ name: "chosen.csv", mimeType: "text/csv", buffer: Buffer.from("a,b\n1,2\n") });
  await chips.getByText("8 bytes").waitFor();
  await picture(page, "files-1280-light");
  assert.deepEqual(await seriousFindings(page), []);
  await chips.getByRole("button", { name: "Remove pasted.txt" }).click();
  await page.reload();
  await chips.getByText("chosen.csv").waitFor();
  assert.equal(await chips.getByRole("listitem").count(), 2);

  await field().fill("help");
  await field().press("Enter");
  await log().getByRole("link", { name: /notes\.txt/ }).waitFor();
  await log().getByRole("link", { name: /chosen\.csv/ }).waitFor();
  assert.equal(await chips.count(), 0);
  await hand("drop", log(), [["alone.txt", "text/plain", "without words"]]);
  await chips.getByText("13 bytes").waitFor();
  await field().press("Enter");
  await log().getByRole("link", { name: /alone\.txt/ }).waitFor();

  // What the server refuses says why and goes no further.
  await page.route("**/api/files", (route) =>
    route.fulfill({ status: 413, json: { error: { code: "FILE_TOO_LARGE", message: "m", details: { max_size: 25_000_000 } } } }),
  );
  await hand("drop", log(), [["large.bin", "application/octet-stream", "large"]]);
  await chips.getByText("A file may have at most 25 MB.").waitFor();
  assert.ok(await page.getByRole("button", { name: "Send", exact: true }).isDisabled());
  await page.unroute("**/api/files");
  await chips.getByRole("button", { name: "Try again" }).click();
  await chips.getByText("5 bytes").waitFor();
  await chips.getByRole("button", { name: "Remove large.bin" }).click();
  // The browser itself notes the refusal in its console; that one is meant.
  assert.deepEqual(person.faults.filter((fault) => !fault.includes("413")), []);
});
