import { RequestError } from "../api/rest";
import type { FileInfo } from "../api/action";
import type { WireError } from "../api/types";

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
      if (request.status === 201 && answer?.file) resolve(answer.file);
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

function read(text: string): { file?: FileInfo; error?: WireError } | null {
  try {
    return JSON.parse(text) as { file?: FileInfo; error?: WireError };
  } catch {
    return null;
  }
}

/** What the server said, or what its status means where a proxy answered in its place. */
function refusal(status: number, error: WireError | undefined): RequestError {
  if (error?.message) return new RequestError(status, error.code, error.message);
  const words =
    status === 413
      ? "It is larger than this server takes."
      : status === 507
        ? "There is no room left for it."
        : `The server answered ${status}.`;
  return new RequestError(status, "HTTP", words);
}
