import type { FileInfo } from "../api/action";

export type FileKind = "picture" | "text" | "table" | "code" | "archive" | "audio" | "video" | "other";

/** What browsers draw without running anything of it. */
const SHOWN = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);
const CODE = /(?:json|xml|yaml|toml|javascript|typescript|x-sh|html|css)$/;
const ARCHIVE = /(?:zip|x-tar|gzip|x-7z-compressed|x-rar-compressed|zstd|x-xz|x-bzip2?)$/;
const TABLE = /(?:csv|tab-separated-values|spreadsheet|ms-excel)/;

/** Where a file's bytes are. */
export function addressOf(file: FileInfo): string {
  return `/api/files/${encodeURIComponent(file.id)}`;
}

/** Says whether the file is shown in its message. */
export function isShown(file: FileInfo): boolean {
  return SHOWN.has(file.media_type);
}

export function kindOf({ media_type }: FileInfo): FileKind {
  if (media_type.startsWith("image/")) return "picture";
  if (media_type.startsWith("audio/")) return "audio";
  if (media_type.startsWith("video/")) return "video";
  if (ARCHIVE.test(media_type)) return "archive";
  if (TABLE.test(media_type)) return "table";
  if (CODE.test(media_type)) return "code";
  return media_type.startsWith("text/") || media_type === "application/pdf" ? "text" : "other";
}
