// Writes a folder for Node-RED: a flow of ten steps that begins with a request, and settings without the editor. Nothing
// is kept anywhere. FOLDER PORT
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [folder, port] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });

const tab = { id: "tab", type: "tab", label: "bench" };
const call = (job, step, next) => ({
  id: `${job}-${step}`,
  z: "tab",
  type: "http request",
  method: "GET",
  ret: "obj",
  paytoqs: "ignore",
  // Connections are kept open, as everybody here does.
  persist: true,
  url: `{{{sink}}}/step/${step}?run={{{run}}}`,
  wires: [next],
});
const value = (job, step, next) => ({
  id: `${job}-${step}`,
  z: "tab",
  type: "change",
  rules: [{ t: "set", p: `values.v${step}`, pt: "msg", to: "run", tot: "msg" }],
  wires: [next],
});

const nodes = [tab];
for (const job of ["calls", "values"]) {
  nodes.push(
    { id: `${job}-in`, z: "tab", type: "http in", url: `/${job}`, method: "post", wires: [[`${job}-begin`]] },
    // The request is answered at once; the steps go on.
    {
      id: `${job}-begin`,
      z: "tab",
      type: "function",
      outputs: 2,
      func: "return [{ req: msg.req, res: msg.res, payload: {} }, { run: msg.payload.run, sink: msg.payload.sink }];",
      wires: [[`${job}-out`], [`${job}-1`]],
    },
    { id: `${job}-out`, z: "tab", type: "http response", statusCode: "202", wires: [] },
  );
  for (let step = 1; step <= 10; step += 1) {
    const next = step < 10 ? [`${job}-${step + 1}`] : [];
    nodes.push(job === "calls" || step === 10 ? call(job, step, next) : value(job, step, next));
  }
}
writeFileSync(join(folder, "flows.json"), JSON.stringify(nodes));
const settings = {
  flowFile: "flows.json",
  uiHost: "127.0.0.1",
  uiPort: Number(port),
  httpAdminRoot: false,
  disableEditor: true,
  credentialSecret: false,
  diagnostics: { enabled: false },
  telemetry: { enabled: false, updateNotification: false },
  logging: { console: { level: "error", metrics: false, audit: false } },
};
writeFileSync(join(folder, "settings.js"), `module.exports = ${JSON.stringify(settings)};\n`);
