import { beforeEach, describe, expect, it } from "vitest";
import type { ClientFrame } from "../api/frames";
import { Stops } from "./stops.svelte";
import type { StreamedReply } from "./streamed";

const REPLY: StreamedReply = {
  message_id: "m1",
  invocation_id: "e1",
  sender: { kind: "bot", id: "b", name: "B" },
  content: "so far",
  length: 6,
  at: 0,
};

describe("Stops", () => {
  let sent: ClientFrame[];
  let stops: Stops;

  beforeEach(() => {
    sent = [];
    stops = new Stops((frame) => sent.push(frame));
  });

  function refuse(code: string): boolean {
    const id = stops.of(REPLY)?.id ?? null;
    return stops.refused({ type: "error", id, error: { code, message: "not yours" }, retry_after_ms: null });
  }

  it("asks once, and again on each new connection until the reply is whole", () => {
    stops.ask("s", REPLY);
    stops.ask("s", REPLY);
    expect(sent).toEqual([{ type: "cancel", id: stops.of(REPLY)?.id, session_id: "s", invocation_id: "e1" }]);
    stops.hello();
    expect(sent[1]).toEqual(sent[0]);
    stops.ended("m1");
    stops.hello();
    expect(sent).toHaveLength(2);
    expect(stops.of(REPLY)).toBeUndefined();
  });

  it("says why it was refused, does not ask by itself again, and may be asked again", () => {
    stops.ask("s", REPLY);
    expect(refuse("FORBIDDEN")).toBe(true);
    expect(stops.of(REPLY)?.fault).toBe("not yours");
    stops.hello();
    expect(sent).toHaveLength(1);
    stops.ask("s", REPLY);
    expect(stops.of(REPLY)?.fault).toBeNull();
    expect(sent).toHaveLength(2);
  });

  it("is content with a run that ended first, and leaves other refusals alone", () => {
    stops.ask("s", REPLY);
    expect(refuse("RUN_ENDED")).toBe(true);
    expect(stops.of(REPLY)?.fault).toBeNull();
    stops.hello();
    expect(sent).toHaveLength(1);
    expect(stops.refused({ type: "error", id: "other", error: { code: "X", message: "" }, retry_after_ms: null })).toBe(false);
  });

  it("cannot stop what no run is known of", () => {
    stops.ask("s", { ...REPLY, invocation_id: null });
    expect(sent).toEqual([]);
  });
});
