import { RequestError } from "../api/rest";
import type { FileInfo } from "../api/action";
import { size } from "../ui/size";

/** Why a file was not taken; what is counted is in bytes. */
interface Refused {
  code: string;
  message: string;
  details?: { max_size?: number; left?: number } | null;
}

/** A file on its way to the server. */
export interface Sending {
  done: Promise<FileInfo>;
  stop: () => void;
}

/**
 * Sends a file; `progress` hears the share that is on its way, 0 to 1. By the older of the browser's
 * ways to ask, since only that one tells how far an upload is.
 */
export function upload(file: File, progress: (share: number) => void): Sending {
  const request = new XMLHttpRequest();
  const done = new Promise<FileInfo>((resolve, reject) => {
    request.upload.onprogress = (event) => {
      if (event.lengthComputable && event.total > 0) progress(event.loaded / event.total);
    };
    request.onload = () => {
      const answer = read(request.responseText);
      if (request.status < 300 && answer?.file) resolve(answer.file);
      else reject(refusal(request.status, answer?.error));
    };
    request.onerror = () => reject(new RequestError(0, "LOST", "The connection broke off."));
    request.onabort = () => reject(new RequestError(0, "STOPPED", "It was stopped."));
  });
  request.open("POST", "/api/files");
  request.setRequestHeader("accept", "application/json");
  const body = new FormData();
  body.append("file", file, file.name);
  request.send(body);
  return { done, stop: () => request.abort() };
}

function read(text: string): { file?: FileInfo; error?: Refused } | null {
  try {
    return JSON.parse(text) as { file?: FileInfo; error?: Refused };
  } catch {
    return null;
  }
}

/** What the server said, with sizes as people say them, or what its status means where a proxy answered instead. */
export function refusal(status: number, error?: Refused): RequestError {
  return new RequestError(status, error?.code ?? "HTTP", words(status, error));
}

function words(status: number, error?: Refused): string {
  const { max_size, left } = error?.details ?? {};
  if (error?.code === "FILE_TOO_LARGE" && max_size !== undefined) return `A file may have at most ${size(max_size)}.`;
  if (error?.code === "QUOTA_EXCEEDED" && left !== undefined) {
    return `You have room for ${size(left)} more. Take back messages with files to make room.`;
  }
  if (error?.message) return error.message;
  return status === 413 ? "It is larger than this server takes." : `The server answered ${status}.`;
}
