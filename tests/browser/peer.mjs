// The directory that a journey signs in with: tests/peers/oidc.mjs as a process of its own.

import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";

const folder = path.resolve(import.meta.dirname, "../peers");
const client = { client_id: "parlour", client_secret: "a secret of both, for tests only" };

export class Directory {
  static async start() {
    const child = spawn(process.execPath, ["oidc.mjs"], { cwd: folder, stdio: ["pipe", "pipe", "ignore"] });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const { value: issuer } = await lines.next();
    if (!issuer) throw new Error("the directory does not start; `make test-browser` installs it");
    return new Directory(child, lines, issuer);
  }

  constructor(child, lines, issuer) {
    this.child = child;
    this.lines = lines;
    /** What a server needs to know to sign in with it. */
    this.settings = {
      PARLOUR_OIDC__ISSUER: issuer,
      PARLOUR_OIDC__CLIENT_ID: client.client_id,
      PARLOUR_OIDC__CLIENT_SECRET: client.client_secret,
    };
  }

  /** Serves the server at this address. */
  async serve(url) {
    const people = { ann: { name: "Ann", email: "ann@example.com", roles: ["user"] }, dan: { name: "Dan" } };
    this.child.stdin.write(`${JSON.stringify({ ...client, public_url: url, people, claims_in_token: true })}\n`);
    const { value } = await this.lines.next();
    if (value !== "ready") throw new Error(`the directory said ${value}`);
  }

  async stop() {
    const ended = once(this.child, "close");
    this.child.stdin.end();
    await ended;
  }
}
