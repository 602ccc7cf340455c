import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Command, Completion, CompletionAnswer } from "../api/types";
import { choices, opening } from "./choices";
import { Completer } from "./completer.svelte";
import { distinct, Recall } from "./recall";
import { reading } from "./understood";

function completion(insert: string, change: Partial<Completion> = {}): Completion {
  return { bot_id: "ops", command: "deploy", description: "Deploys", insert, tokens: [], slot: null, ...change };
}

function choiceSlot(values: string[]): Partial<Completion> {
  return {
    tokens: [
      { kind: "literal", text: "deploy", done: true },
      { kind: "slot", text: "service", done: false, next: true },
    ],
    slot: { name: "service", type: "choice", description: "", values },
  };
}

function command(change: Partial<Command>): Command {
  return { name: "x", description: "", intents: [], parameters: [], examples: [], effect: "read", ...change };
}

describe("choices", () => {
  it("offers each allowed value as a row that completes", () => {
    const rows = choices("deploy ", [completion("deploy ", choiceSlot(["web", "big api"]))]);
    expect(rows.map((row) => row.insert)).toEqual(["deploy web ", 'deploy "big api" ']);
    expect(rows[0]?.tokens.map((token) => token.text)).toEqual(["deploy", "web"]);
  });

  it("offers the values that fit what is typed, whichever text the server would insert", () => {
    const slot = choiceSlot(["web", "worker", "api"]);
    for (const insert of ["deploy w", "deploy "]) {
      const rows = choices("deploy w", [completion(insert, slot)]);
      expect(rows.map((row) => row.insert)).toEqual(["deploy web ", "deploy worker "]);
    }
  });

  it("completes the value of a named parameter", () => {
    const slot = choiceSlot(["web", "api"]);
    const tokens = [{ kind: "slot" as const, text: "service=", done: false, next: true }];
    const rows = choices("go service=a", [completion("go service=", { ...slot, tokens })]);
    expect(rows.map((row) => row.insert)).toEqual(["go service=api "]);
    expect(rows[0]?.tokens.map((token) => token.text)).toEqual(["service=api"]);
  });

  it("goes on to the values from the words before them", () => {
    const rows = choices("dep", [completion("deploy ", choiceSlot(["web", "api"]))]);
    expect(rows.map((row) => row.insert)).toEqual(["deploy web ", "deploy api "]);
  });

  it("shows what comes next without offering what is there already", () => {
    const word = { kind: "literal" as const, text: "greet", done: true };
    const slot = { kind: "slot" as const, text: "who", done: false, next: true };
    expect(choices("greet ", [completion("greet ", { tokens: [word, slot] })])).toMatchObject([{ changes: false }]);
    expect(choices("greet", [completion("greet", { tokens: [word] })])).toEqual([]);
    expect(choices("gre", [completion("greet ", { tokens: [word, slot] })])).toMatchObject([{ changes: true }]);
  });
});

describe("opening", () => {
  it("begins with an intent's words", () => {
    expect(opening(command({ intents: ["status"] }))).toBe("status");
    expect(opening(command({ intents: ["(show|list) it"], examples: ["show it"] }))).toBe("show it");
    expect(opening(command({}))).toBe("");
  });
});

describe("Completer", () => {
  let asked: { text: string; answer: (completions: Completion[]) => Promise<void> }[];
  let completer: Completer;

  beforeEach(() => {
    vi.useFakeTimers();
    asked = [];
    const complete = (_bot: string, text: string): Promise<CompletionAnswer> =>
      new Promise((resolve) => {
        asked.push({
          text,
          answer: async (completions) => {
            resolve({ text, completions, understood: null });
            await vi.advanceTimersByTimeAsync(0);
          },
        });
      });
    completer = new Completer({ complete });
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  async function offer(text: string): Promise<void> {
    completer.offer("ops", text);
    await vi.advanceTimersByTimeAsync(100);
  }

  it("asks at once, and once more for the burst of typing since", async () => {
    completer.offer("ops", "d");
    completer.offer("ops", "de");
    await offer("dep");
    expect(asked.map((request) => request.text)).toEqual(["d"]);
    await asked[0]?.answer([completion("do ")]);
    expect(asked.map((request) => request.text)).toEqual(["d", "dep"]);
    expect([completer.rows, completer.waiting]).toEqual([[], true]);
    await asked[1]?.answer([completion("deploy ")]);
    expect([completer.rows.length, completer.waiting]).toEqual([1, false]);
  });

  it("does not wait for an answer that does not come", async () => {
    await offer("d");
    await vi.advanceTimersByTimeAsync(1000);
    await offer("dep");
    expect(asked.map((request) => request.text)).toEqual(["d", "dep"]);
    await asked[0]?.answer([completion("do ")]);
    expect(completer.rows).toEqual([]);
  });

  it("drops an answer that was overtaken", async () => {
    await offer("dep");
    await offer("st");
    await asked[0]?.answer([completion("deploy ")]);
    expect(completer.rows).toEqual([]);
    await asked[1]?.answer([completion("status")]);
    expect(completer.rows.map((row) => row.insert)).toEqual(["status"]);
  });

  it("takes the first row for a Tab that came before the answer", async () => {
    await offer("dep");
    const taken: string[] = [];
    completer.accept((insert) => taken.push(insert));
    expect(taken).toEqual([]);
    await asked[0]?.answer([completion("deploy "), completion("depart ")]);
    expect(taken).toEqual(["deploy "]);
  });

  it("leaves Tab alone when no row would change the text", async () => {
    await offer("greet ");
    await asked[0]?.answer([
      completion("greet ", { tokens: [{ kind: "slot", text: "who", done: false, next: true }] }),
      completion("greet all"),
    ]);
    expect(completer.rows.map((row) => row.changes)).toEqual([false, true]);
    expect(completer.ready?.insert).toBe("greet all");
    completer.move(1);
    expect(completer.accept(() => expect.unreachable())).toBe(false);
  });

  it("walks the rows and back to none", async () => {
    await offer("d");
    await asked[0]?.answer([completion("deploy "), completion("depart ")]);
    const seen = [completer.active];
    for (let i = 0; i < 3; i += 1) {
      completer.move(1);
      seen.push(completer.active);
    }
    expect(seen).toEqual([-1, 0, 1, -1]);
    completer.move(-1);
    expect(completer.active).toBe(1);
  });

  it("lists what there is for a slash", async () => {
    await offer("/");
    await asked[0]?.answer([]);
    await offer("/dep");
    expect(asked.map((request) => request.text)).toEqual(["", "dep"]);
    await asked[1]?.answer([completion("deploy ")]);
    expect(completer.rows.map((row) => row.insert)).toEqual(["deploy "]);
  });

  it("has nothing to offer for nothing", async () => {
    await offer("   ");
    expect(asked).toEqual([]);
    expect(completer.waiting).toBe(false);
  });
});

describe("Recall", () => {
  it("walks back through what was said and forward to an empty field", () => {
    const recall = new Recall();
    const said = ["one", "two"];
    expect([recall.step(said, 1), recall.step(said, 1), recall.step(said, 1)]).toEqual(["two", "one", null]);
    expect(recall.shows("one")).toBe(true);
    expect(recall.shows("one changed")).toBe(false);
    expect([recall.step(said, -1), recall.step(said, -1), recall.step(said, -1)]).toEqual(["two", "", null]);
  });

  it("shows what was said twice in a row once", () => {
    expect(distinct(["a", "a", "b", "a"])).toEqual(["a", "b", "a"]);
  });
});

describe("reading", () => {
  it("names values, what is missing, and what it does", () => {
    expect(reading({ command: "deploy", arguments: { service: "web", n: 2, begun: "" }, missing: ["to"], effect: "change" })).toEqual({
      command: "deploy",
      arguments: [
        { name: "service", value: "web" },
        { name: "n", value: "2" },
      ],
      missing: ["to"],
      effect: "changes something",
    });
    expect(reading({ command: "s", arguments: {}, missing: [], effect: "read" }).effect).toBeNull();
  });
});
