import { describe, expect, it } from "vitest";
import { size } from "../ui/size";
import { addressOf, isShown, kindOf } from "./files";

function file(media_type: string) {
  return { id: "f_1/2", name: "x", media_type, size: 1 };
}

describe("files of a message", () => {
  it.each([
    ["image/png", "picture", true],
    ["image/svg+xml", "picture", false],
    ["text/plain", "text", false],
    ["text/html", "code", false],
    ["text/csv", "table", false],
    ["application/json", "code", false],
    ["application/gzip", "archive", false],
    ["video/mp4", "video", false],
    ["application/octet-stream", "other", false],
  ])("%s is of the kind %s", (media, kind, shown) => {
    expect([kindOf(file(media)), isShown(file(media))]).toEqual([kind, shown]);
  });

  it("are fetched by their id, whatever it holds", () => {
    expect(addressOf(file("text/plain"))).toBe("/api/files/f_1%2F2");
  });

  it.each([
    [0, "0 bytes"],
    [1, "1 byte"],
    [999, "999 bytes"],
    [1000, "1 kB"],
    [1234, "1.2 kB"],
    [9960, "10 kB"],
    [999_499, "999 kB"],
    [999_500, "1 MB"],
    [18_200_000, "18 MB"],
    [3.2e15, "3200 TB"],
  ])("%d bytes are said as %s", (bytes, said) => {
    expect(size(bytes)).toBe(said);
  });
});
