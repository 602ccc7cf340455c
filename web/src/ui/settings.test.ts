import { beforeEach, describe, expect, it } from "vitest";
import { sends } from "./keys";
import { Settings } from "./settings.svelte";

describe("Settings", () => {
  beforeEach(() => localStorage.clear());

  it("are kept on the device", () => {
    new Settings(localStorage).change({ density: "compact", sendKey: "command-enter" });
    expect(new Settings(localStorage)).toMatchObject({ density: "compact", sendKey: "command-enter", notify: "off" });
    expect(document.documentElement.dataset["density"]).toBe("compact");
  });

  it.each(["{", "null", "7", '{"density":"huge","notify":3}'])("do without what cannot be read: %s", (text) => {
    localStorage.setItem("parlour.settings", text);
    expect(new Settings(localStorage)).toMatchObject({ density: "comfortable", notify: "off", sendKey: "enter" });
  });
});

describe("sends", () => {
  const enter = (change: KeyboardEventInit = {}): KeyboardEvent => new KeyboardEvent("keydown", { key: "Enter", ...change });

  it("goes by the key that was chosen", () => {
    expect([enter(), enter({ shiftKey: true }), enter({ ctrlKey: true })].map((key) => sends(key, "enter"))).toEqual([true, false, false]);
    expect([enter(), enter({ ctrlKey: true }), enter({ metaKey: true })].map((key) => sends(key, "command-enter"))).toEqual([false, true, true]);
    expect(sends(enter({ isComposing: true }), "enter")).toBe(false);
  });
});
