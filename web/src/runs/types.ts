/** A run as `/api/executions` lists it. */
export interface RunLine {
  execution_id: string;
  playbook_name: string;
  status: string;
  started_at: string;
  completed_at?: string;
  current_step_index: number;
  total_steps: number;
  error?: string;
}

export interface RunStep {
  step_id: string;
  step_name: string;
  type: string;
  depth: number;
  status: string;
  started_at?: string;
  completed_at?: string;
  error?: string;
  question?: string;
  retries: number;
}

/** Something that a step left to be looked at. */
export interface Artifact {
  id: string;
  name: string;
  media_type: string;
  size: number;
  step_id: string;
  url: string;
}

/** A run with every step, those to come too. */
export interface Run extends RunLine {
  step_results: RunStep[];
  started_by: string;
  kind: string;
  source: string;
  artifacts: Artifact[];
}

/** One thing that happened in a run, as `/ws/executions` tells of it. */
export interface RunUpdate {
  type: "execution_update";
  seq: number;
  data: {
    execution_id: string;
    status: string;
    current_step_index: number;
    total_steps?: number;
    error?: string;
    step_result?: { step_id: string; status: string; started_at?: string; completed_at?: string; error?: string };
  };
}

/** The page that a run has open, as it looks right now. */
export interface RunFrame {
  type: "screenshot_frame";
  data: { execution_id: string; frame: string; timestamp: number };
}

export type RunVerb = "pause" | "resume" | "cancel" | "skip" | "skip_back";
