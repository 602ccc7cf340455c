import type { Run, RunLine, RunUpdate } from "./types";

const FINAL = new Set(["completed", "failed", "cancelled"]);

export function isOver(status: string): boolean {
  return FINAL.has(status);
}

/** A line of the list after an update of its run. */
export function mergedLine<Line extends RunLine>(line: Line, update: RunUpdate): Line {
  const { execution_id, status, current_step_index, total_steps, error } = update.data;
  if (execution_id !== line.execution_id) return line;
  return {
    ...line,
    status,
    current_step_index,
    total_steps: total_steps ?? line.total_steps,
    ...(error === undefined ? {} : { error }),
  };
}

/**
 * A run after an update of it; null when it has a step that is not known yet and the run must be read again: a pass of a
 * loop, or what deals with an error.
 */
export function merged(run: Run, update: RunUpdate): Run | null {
  if (update.data.execution_id !== run.execution_id) return run;
  const line = mergedLine(run, update);
  const result = update.data.step_result;
  if (!result) return isOver(line.status) ? null : line;
  const at = run.step_results.findIndex((step) => step.step_id === result.step_id);
  const before = run.step_results[at];
  if (!before || result.status === "waiting") return null;
  return { ...line, step_results: run.step_results.with(at, { ...before, ...result }) };
}
