import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { HitPage } from "../api/types";
import { Finder } from "./finder.svelte";

type Search = (text: string, limit: number, signal: AbortSignal, session?: string, before?: string) => Promise<HitPage>;

describe("Finder", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  function page(seq: number, next: string | null = null): HitPage {
    return { results: [{ seq } as HitPage["results"][number]], next };
  }

  it("asks once for what was typed quickly, and never for one letter", async () => {
    const search = vi.fn<Search>(async () => page(1));
    const finder = new Finder({ search }, 5, "s1");
    for (const query of ["d", "de", "dep"]) finder.look(query);
    await vi.advanceTimersByTimeAsync(200);
    expect(search.mock.calls.map(([text, , , session]) => [text, session])).toEqual([["dep", "s1"]]);
    expect(finder).toMatchObject({ asked: "dep", waiting: false, hits: [{ seq: 1 }] });
    finder.look("d");
    expect(finder.hits).toEqual([]);
  });

  it("shows no answer to a question that was replaced", async () => {
    const answers: ((page: HitPage) => void)[] = [];
    const finder = new Finder({ search: () => new Promise((resolve) => answers.push(resolve)) }, 5);
    finder.look("first");
    await vi.advanceTimersByTimeAsync(200);
    finder.look("second");
    await vi.advanceTimersByTimeAsync(200);
    answers[0]?.(page(1));
    answers[1]?.(page(2));
    await vi.advanceTimersByTimeAsync(0);
    expect(finder).toMatchObject({ asked: "second", hits: [{ seq: 2 }] });
  });

  it("goes on where a page ended", async () => {
    const search = vi.fn<Search>(async (_text, _limit, _signal, _session, before) => (before ? page(1) : page(2, "p2")));
    const finder = new Finder({ search }, 5);
    finder.look("web");
    await vi.advanceTimersByTimeAsync(200);
    expect(finder.hasMore).toBe(true);
    await finder.more();
    expect(finder.hits.map(({ seq }) => seq)).toEqual([2, 1]);
    expect(finder.hasMore).toBe(false);
  });
});
