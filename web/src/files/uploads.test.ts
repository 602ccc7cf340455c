import { beforeEach, describe, expect, it } from "vitest";
import type { FileInfo } from "../api/action";
import { RequestError } from "../api/rest";
import { refusal, type Sending } from "./upload";
import { MOST, Uploads } from "./uploads.svelte";

interface Asked {
  name: string;
  progress: (share: number) => void;
  arrive: () => void;
  fail: (why: string) => void;
  stopped: boolean;
}

describe("Uploads", () => {
  let asked: Asked[];
  let uploads: Uploads;

  function make(): Uploads {
    return new Uploads("parlour.u.attached.s", localStorage, (file, progress): Sending => {
      const info: FileInfo = { id: `f_${file.name}`, name: file.name, media_type: "text/plain", size: file.size };
      const entry = { name: file.name, progress, stopped: false } as Asked;
      const done = new Promise<FileInfo>((resolve, reject) => {
        entry.arrive = () => resolve(info);
        entry.fail = (why) => reject(new RequestError(413, "FILE_TOO_LARGE", why));
      });
      asked.push(entry);
      return { done, stop: () => (entry.stopped = true) };
    });
  }

  function file(name: string, text = "x"): File {
    return new File([text], name);
  }

  const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

  beforeEach(() => {
    localStorage.clear();
    asked = [];
    uploads = make();
  });

  it("sends what is chosen, a few at once, and gives it to the message", async () => {
    uploads.add(["a", "b", "c", "d"].map((name) => file(name)));
    expect(asked.map(({ name }) => name)).toEqual(["a", "b", "c"]);
    asked[0]?.progress(0.5);
    expect(uploads.list[0]).toMatchObject({ state: "sending", share: 0.5 });
    asked[0]?.arrive();
    await settled();
    expect(asked.map(({ name }) => name)).toEqual(["a", "b", "c", "d"]);
    for (const one of asked) one.arrive();
    await settled();
    expect(uploads.sending).toBe(false);
    expect(uploads.take().map(({ id }) => id)).toEqual(["f_a", "f_b", "f_c", "f_d"]);
    expect(uploads.list).toEqual([]);
    expect(make().list).toEqual([]);
  });

  it("keeps over a reload what has arrived, and nothing else", async () => {
    uploads.add([file("a"), file("b")]);
    asked[0]?.arrive();
    await settled();
    expect(make().list).toMatchObject([{ name: "a", state: "ready", file: { id: "f_a" } }]);
    localStorage.setItem("parlour.u.attached.s", "{");
    expect(make().list).toEqual([]);
  });

  it("says why a file was refused, and sends it again when asked", async () => {
    uploads.add([file("a")]);
    asked[0]?.fail("a file may have 25 MB");
    await settled();
    expect(uploads.list).toMatchObject([{ state: "failed", reason: "a file may have 25 MB" }]);
    uploads.retry(uploads.list[0]?.key ?? "");
    asked[1]?.arrive();
    await settled();
    expect(uploads.list).toMatchObject([{ state: "ready" }]);
  });

  it("stops what is removed before it has arrived", async () => {
    uploads.add([file("a"), file("b")]);
    uploads.remove(uploads.list[0]?.key ?? "");
    expect(asked[0]?.stopped).toBe(true);
    asked[0]?.arrive();
    asked[1]?.arrive();
    await settled();
    expect(uploads.take().map(({ id }) => id)).toEqual(["f_b"]);
  });

  it("takes no more than a message takes, and nothing that is empty", () => {
    uploads.add([file("empty", "")]);
    expect(uploads).toMatchObject({ list: [], fault: "empty is empty, or a folder." });
    uploads.add(Array.from({ length: MOST + 1 }, (_, index) => file(String(index))));
    expect(uploads.list).toHaveLength(MOST);
    expect(uploads.fault).toContain(String(MOST));
  });
});

describe("a refusal", () => {
  it.each([
    [413, { code: "FILE_TOO_LARGE", message: "m", details: { max_size: 25_000_000 } }, "A file may have at most 25 MB."],
    [413, { code: "QUOTA_EXCEEDED", message: "m", details: { left: 1200 } }, "You have room for 1.2 kB more. Take back messages with files to make room."],
    [403, { code: "FORBIDDEN", message: "you may not send files" }, "you may not send files"],
    [413, undefined, "It is larger than this server takes."],
    [502, undefined, "The server answered 502."],
  ])("%i %o says %j", (status, error, words) => {
    expect(refusal(status, error).message).toBe(words);
  });
});
