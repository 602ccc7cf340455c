import { afterEach, describe, expect, it, vi } from "vitest";
import { Backoff } from "./backoff";
import { Batch } from "./batch";
import { newId } from "./id";
import { Pace } from "./pace";

describe("Backoff", () => {
  it("spreads each wait between the floor and a doubling ceiling", () => {
    const longest = new Backoff(() => 0, () => 1);
    const shortest = new Backoff(() => 0, () => 0);
    const waits = Array.from({ length: 8 }, () => longest.next());
    expect(waits).toEqual([1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
    expect(Array.from({ length: 8 }, () => shortest.next())).toEqual(Array(8).fill(500));
  });

  it("waits at least as long as the server asks", () => {
    expect(new Backoff(() => 0, () => 0).next(7000)).toBe(7000);
  });

  it("starts from the floor again after a connection that held", () => {
    let now = 0;
    const backoff = new Backoff(() => now, () => 1);
    backoff.next();
    backoff.next();
    backoff.opened();
    now = 29_000;
    expect(backoff.next()).toBe(4000);
    backoff.opened();
    now += 30_000;
    expect(backoff.next()).toBe(1000);
  });
});

describe("Pace", () => {
  it("lets a burst through and then one after the other", () => {
    let now = 0;
    const pace = new Pace(3, 10, () => now);
    expect([pace.take(), pace.take(), pace.take()]).toEqual([0, 0, 0]);
    expect(pace.take()).toBe(100);
    now = 100;
    expect(pace.take()).toBe(0);
    expect(pace.take()).toBe(100);
  });

  it("saves up no more than a burst", () => {
    let now = 0;
    const pace = new Pace(2, 10, () => now);
    now = 60_000;
    expect([pace.take(), pace.take()]).toEqual([0, 0]);
    expect(pace.take()).toBeGreaterThan(0);
  });
});

describe("Batch", () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it("hands a few things on at once and a stream in a few heaps, in order", () => {
    vi.useFakeTimers();
    const heaps: number[][] = [];
    const batch = new Batch<number>((items) => heaps.push(items));
    for (const n of [1, 2, 3, 4]) batch.push(n);
    expect(heaps).toEqual([[1], [2], [3], [4]]);
    batch.push(5);
    batch.push(6);
    expect(heaps).toHaveLength(4);
    vi.advanceTimersByTime(25);
    expect(heaps.at(-1)).toEqual([5, 6]);
    // The stream goes on, so what comes now waits as well.
    batch.push(7);
    expect(heaps).toHaveLength(5);
    vi.advanceTimersByTime(25);
    expect(heaps.at(-1)).toEqual([7]);
    vi.advanceTimersByTime(25);
    batch.push(8);
    expect(heaps.at(-1)).toEqual([8]);
  });

  it("forgets what it is told to", () => {
    vi.useFakeTimers();
    const heaps: number[][] = [];
    const batch = new Batch<number>((items) => heaps.push(items));
    for (const n of [1, 2, 3, 4, 5]) batch.push(n);
    batch.clear();
    vi.advanceTimersByTime(100);
    expect(heaps.flat()).toEqual([1, 2, 3, 4]);
  });
});

describe("newId", () => {
  it("gives ids that sort as they were made and fit the wire", () => {
    const ids = Array.from({ length: 5000 }, () => newId(1_800_000_000_000));
    expect(ids.toSorted()).toEqual(ids);
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(id).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
    expect(newId(1_700_000_000_000) > (ids.at(-1) ?? "")).toBe(true);
  });
});
