import { flushSync, mount, unmount } from "svelte";
import { afterEach, describe, expect, it } from "vitest";
import type { Part as PartData } from "../api/types";
import { characters, isLink, isPicture } from "./markdown";
import Part from "./Part.svelte";
import Prose from "./Prose.svelte";

let page: { remove(): void } | null = null;

afterEach(() => {
  page?.remove();
  page = null;
});

function draw(text: string): HTMLElement {
  return put((target) => mount(Prose, { target, props: { text } }));
}

function drawPart(part: PartData): HTMLElement {
  return put((target) => mount(Part, { target, props: { part } }));
}

function put(show: (target: HTMLElement) => object): HTMLElement {
  const target = document.createElement("div");
  document.body.append(target);
  const component = show(target);
  flushSync();
  page = {
    remove: () => {
      void unmount(component);
      target.remove();
    },
  };
  return target;
}

/** Markup without the comments and classes Svelte leaves. */
function bare(element: Element | null): string {
  return (element?.innerHTML ?? "").replace(/<!--.*?-->/g, "").replace(/ class="[^"]*"/g, "");
}

describe("Markdown of bots", () => {
  it("is drawn with its emphasis, code and line breaks", () => {
    const target = draw("Some **bold**, *slanted* ~~gone~~ and `a<b`\nnext");
    expect(bare(target.querySelector(".prose"))).toBe(
      "<p>Some <strong>bold</strong>, <em>slanted</em> <del>gone</del> and <code>a&lt;b</code><br>next</p>",
    );
  });

  it("is drawn with lists, tasks, quotes, headings and tables", () => {
    const target = draw("# Top\n\n3. three\n4. four\n\n- [x] done\n\n> said\n\n| a | b |\n|--|-:|\n| 1 | **2** |");
    expect(target.querySelector("h3")?.textContent).toBe("Top");
    expect(target.querySelector("ol")?.getAttribute("start")).toBe("3");
    expect(target.querySelector("input")?.checked).toBe(true);
    expect(target.querySelector("blockquote p")?.textContent).toBe("said");
    expect(target.querySelector("td:last-child strong")?.textContent).toBe("2");
    expect(target.querySelector("td:last-child")?.getAttribute("align")).toBe("right");
  });

  it("gives code a copy button", () => {
    const target = draw("```sh\nls -l <dir>\n```");
    expect(target.querySelector("pre")?.textContent).toBe("ls -l <dir>");
    expect(target.querySelector("button")?.getAttribute("aria-label")).toBe("Copy code");
  });

  it.each([
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "before <b onclick=alert(1)>x</b> after",
    "<iframe src='https://example.org'></iframe>",
    "<style>*{display:none}</style>",
    "<svg><a xlink:href='javascript:alert(1)'>x</a></svg>",
  ])("keeps HTML as text: %s", (text) => {
    const target = draw(text);
    expect(target.textContent.trim()).toBe(text);
    expect(target.querySelector("script, img, b, iframe, style, svg")).toBeNull();
  });

  it.each([
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    "[x](vbscript:x)",
    "[x](//evil.example)",
    "[x](&#106;avascript:alert(1))",
    "<javascript:alert(1)>",
  ])("makes no link of %s", (text) => {
    expect(draw(text).querySelector("a")).toBeNull();
  });

  it("opens links in a new tab that knows nothing of this one", () => {
    const link = draw("[docs](https://example.org/a?b=1&c=2)").querySelector("a");
    expect(link?.getAttribute("href")).toBe("https://example.org/a?b=1&c=2");
    expect(link?.getAttribute("target")).toBe("_blank");
    expect(link?.getAttribute("rel")).toBe("noopener noreferrer");
  });

  it("shows pictures the page's policy allows and the words of others", () => {
    const target = draw("![safe](https://example.org/a.png) ![plain](http://example.org/a.png) ![no](data:text/html,x)");
    expect([...target.querySelectorAll("img")].map((image) => image.alt)).toEqual(["safe"]);
    expect(target.textContent).toContain("plain");
    expect(target.textContent).toContain("no");
  });

  it("shows escaped markup and character references as the characters they are", () => {
    expect(draw("web\\_api \\*not slanted\\* &amp; &lt;b&gt; &euro;").textContent).toBe("web_api *not slanted* & <b> €");
  });
});

describe("parts", () => {
  it("read Markdown in their values", () => {
    const target = drawPart({ type: "fields", fields: [{ name: "Name", value: "web\\_api **up**", short: true }] });
    expect(target.querySelector("dd")?.textContent).toBe("web_api up");
    expect(target.querySelector("dd strong")?.textContent).toBe("up");
  });

  it("show table cells of every sort, also of servers to come", () => {
    const rows = [["x"], [1], [null], [{ b: 2 }]];
    const target = drawPart({ type: "table", columns: ["a"], rows } as unknown as PartData);
    expect([...target.querySelectorAll("td")].map((cell) => cell.textContent)).toEqual(["x", "1", "", '{"b":2}']);
  });

  it("name a picture that cannot be shown", () => {
    expect(drawPart({ type: "image", url: "javascript:alert(1)", alt: "A chart" }).textContent).toBe("A chart");
  });

  it("draw nothing for a kind that comes later", () => {
    expect(drawPart({ type: "hologram" } as unknown as PartData).textContent).toBe("");
  });
});

describe("addresses", () => {
  it("are told apart", () => {
    expect(isLink("mailto:ada@example.org")).toBe(true);
    expect(isLink("/c/abc")).toBe(true);
    expect(isLink("/\\evil.example")).toBe(false);
    expect(isPicture("data:image/png;base64,AA")).toBe(true);
    expect(isPicture("data:image/svg+xml,<svg/>")).toBe(false);
    expect(isPicture("//evil.example/a.png")).toBe(false);
  });

  it("and characters never become markup", () => {
    expect(characters("<img src=x> &amp;")).toBe("<img src=x> &");
  });
});
