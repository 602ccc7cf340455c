import { describe, expect, it } from "vitest";
import { merged, mergedLine } from "./merge";
import type { Run, RunUpdate } from "./types";

const step = (id: string, status: string) => ({ step_id: id, step_name: id, type: "set", depth: 0, status, retries: 0 });
const run: Run = {
  execution_id: "r",
  playbook_name: "Deploy",
  status: "running",
  started_at: "2026-11-27T10:00:00Z",
  current_step_index: 0,
  total_steps: 2,
  step_results: [step("a", "running"), step("b", "pending")],
  artifacts: [],
  started_by: "Ann",
  kind: "playbook",
  source: "deploy.yaml",
};
const update = (data: Partial<RunUpdate["data"]>): RunUpdate => ({
  type: "execution_update",
  seq: 1,
  data: { execution_id: "r", status: "running", current_step_index: 1, ...data },
});

describe("a run that is looked at", () => {
  it("fills in step by step", () => {
    const next = merged(run, update({ step_result: { step_id: "a", status: "completed" } }));
    expect(next?.step_results.map((one) => one.status)).toEqual(["completed", "pending"]);
    expect(next?.current_step_index).toBe(1);
    expect(run.step_results[0]?.status).toBe("running");
  });

  it("is read again when a step is new, when it asks something and when it is over", () => {
    expect(merged(run, update({ step_result: { step_id: "loop[0]", status: "running" } }))).toBeNull();
    expect(merged(run, update({ step_result: { step_id: "a", status: "waiting" } }))).toBeNull();
    expect(merged(run, update({ status: "completed" }))).toBeNull();
  });

  it("is left alone by other runs", () => {
    const other = update({ execution_id: "other", status: "failed" });
    expect(merged(run, other)).toBe(run);
    expect(mergedLine(run, other)).toBe(run);
    expect(mergedLine(run, update({ status: "failed", error: "no" }))).toMatchObject({ status: "failed", error: "no" });
  });
});
