import { RequestError, reason, type Rest } from "../api/rest";
import { isOver, merged, mergedLine } from "./merge";
import type { Run, RunFrame, RunLine, RunUpdate, RunVerb } from "./types";

const PING = 15_000;
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15_000;

/** The runs on the page, and one of them in full. What happens to them comes over a socket that misses nothing. */
export class Runs {
  lines = $state.raw<RunLine[]>([]);
  run = $state.raw<Run | null>(null);
  fault = $state<string | null>(null);
  listed = $state(false);
  /** The page of each run that has one open, as it was seen last: a page that rests is sent once only. */
  frames = $state.raw<ReadonlyMap<string, string>>(new Map());

  #socket: WebSocket | null = null;
  #seq: number | null = null;
  #pause = FIRST_PAUSE;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #left = false;

  constructor(private readonly rest: Rest) {}

  /** Reads the list and follows it until `leave`. */
  async enter(): Promise<void> {
    this.#connect();
    await this.#list();
  }

  leave(): void {
    this.#left = true;
    clearTimeout(this.#timer);
    this.#socket?.close();
  }

  async choose(id: string | undefined): Promise<void> {
    if (id === undefined) this.run = null;
    else await this.#read(id);
  }

  async act(verb: RunVerb): Promise<void> {
    const run = this.run;
    if (!run) return;
    await this.#try(async () => {
      await this.rest.controlRun(run.execution_id, verb);
      await this.#read(run.execution_id);
    });
  }

  async answer(step: string, decision: string): Promise<void> {
    const run = this.run;
    if (!run) return;
    await this.#try(() => this.rest.answerRun(run.execution_id, step, { decision }));
  }

  /** Clicks into the page of the chosen run, at a place of its frame. */
  async click(x: number, y: number): Promise<void> {
    const run = this.run;
    if (!run) return;
    await this.#try(() => this.rest.clickInRun(run.execution_id, { x, y }));
  }

  async #list(): Promise<void> {
    await this.#try(async () => {
      this.lines = await this.rest.runs();
      this.listed = true;
    });
  }

  async #read(id: string): Promise<void> {
    await this.#try(async () => {
      this.run = await this.rest.run(id);
    });
  }

  async #try(work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.fault = null;
    } catch (error) {
      if (error instanceof RequestError && error.status === 404) this.run = null;
      this.fault = reason(error);
    }
  }

  #connect(): void {
    const after = this.#seq === null ? "" : `?after=${this.#seq}`;
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/ws/executions${after}`);
    this.#socket = socket;
    const beat = setInterval(() => {
      if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "ping", timestamp: Date.now() }));
    }, PING);
    socket.onopen = () => {
      this.#pause = FIRST_PAUSE;
      // Without a place what happened before the socket opened is only in the list.
      if (this.#seq === null) void this.#list();
    };
    socket.onmessage = ({ data }: MessageEvent<string>) => this.#hear(JSON.parse(data) as RunUpdate | RunFrame | { type: string });
    socket.onclose = () => {
      clearInterval(beat);
      if (this.#left) return;
      this.#timer = setTimeout(() => this.#connect(), this.#pause);
      this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE);
    };
  }

  #hear(frame: RunUpdate | RunFrame | { type: string }): void {
    if (frame.type === "screenshot_frame") {
      const { data } = frame as RunFrame;
      this.frames = new Map(this.frames).set(data.execution_id, data.frame);
    }
    if (frame.type !== "execution_update") return;
    const update = frame as RunUpdate;
    this.#seq = update.seq;
    const id = update.data.execution_id;
    if (this.listed && !this.lines.some((line) => line.execution_id === id)) void this.#list();
    else this.lines = this.lines.map((line) => mergedLine(line, update));
    if (isOver(update.data.status) && this.frames.has(id)) {
      this.frames = new Map([...this.frames].filter(([run]) => run !== id));
    }
    if (this.run?.execution_id !== id) return;
    const next = merged(this.run, update);
    // What a step left is told by the run alone.
    const leaves = update.data.step_result?.status === "failed" || update.data.step_result?.status === "completed";
    const draws = this.run.step_results.some((step) => step.type.startsWith("browser."));
    if (next === null || (leaves && draws)) void this.#read(id);
    else this.run = next;
  }
}
