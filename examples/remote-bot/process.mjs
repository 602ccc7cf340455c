// Does the commands of the bot "teller". Needs nothing but Node 22 (or Node 20 with --experimental-websocket).
//
//   PARLOUR_KEY=plr_k_… node process.mjs [http://127.0.0.1:7710]

import { setTimeout as sleep } from "node:timers/promises";

const url = process.argv[2] ?? "http://127.0.0.1:7710";
const key = process.env.PARLOUR_KEY;
if (!key) throw new Error("PARLOUR_KEY is not set: see README.md");

const answers = {
  countdown({ number }) {
    const numbers = Array.from({ length: Math.max(0, number) }, (_, n) => number - n);
    return { words: [...numbers.map((n) => `${n} …`), "**zero!**"], pause: 1000 };
  },
  explain() {
    const text =
      "This text comes from a process that runs beside Parlour. It is sent **word by word** while it is written, " +
      "and becomes one message in the log when it is done. Stop the process in the middle and start it again: the " +
      "answer starts afresh, and nothing is said twice.";
    return { words: text.split(" "), pause: 120 };
  },
};

/** Works on one delivery until it is done or taken away. */
async function work(send, delivery, running) {
  const { words, pause } = answers[delivery.event.command](delivery.event.parameters);
  const about = { delivery_id: delivery.delivery_id, attempt: delivery.attempt };
  let offset = 0;
  for (const word of words) {
    if (running.get(delivery.delivery_id) !== delivery.attempt) return;
    const delta = offset === 0 ? word : ` ${word}`;
    send({ type: "chunk", ...about, offset, delta });
    offset += [...delta].length; // characters, not UTF-16 units
    await sleep(pause);
  }
  if (running.get(delivery.delivery_id) !== delivery.attempt) return;
  running.delete(delivery.delivery_id);
  send({ type: "done", ...about }); // without content, the reply is what was streamed
}

/** Serves the bot over one socket; resolves when that is closed. */
async function serve() {
  // The key stays in a header; the socket is opened with a ticket that is good once.
  const answer = await fetch(`${url}/api/ws/ticket`, { method: "POST", headers: { authorization: `Bearer ${key}` } });
  if (!answer.ok) throw new Error(`no ticket: ${answer.status} ${await answer.text()}`);
  const { ticket, url: address, protocols } = await answer.json();
  const socket = new WebSocket(address, [...protocols, `ticket.${ticket}`]);
  const running = new Map(); // delivery id -> attempt
  const send = (frame) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(frame));
  const heartbeat = setInterval(() => send({ type: "ping", timestamp: Date.now() }), 15_000);
  socket.onopen = () => send({ type: "register", id: "register", bot_id: "teller", max_in_flight: 4 });
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.type === "registered") console.log(`serving ${frame.bot_id} at ${url}`);
    if (frame.type === "error") console.error(`${frame.error.code}: ${frame.error.message}`);
    if (frame.type === "cancelled") running.delete(frame.delivery_id);
    if (frame.type === "deliver") {
      console.log(`${frame.event.command} for ${frame.event.user.name}, attempt ${frame.attempt}`);
      running.set(frame.delivery_id, frame.attempt);
      work(send, frame, running).catch((error) => {
        send({ type: "done", delivery_id: frame.delivery_id, status: "failed", error: String(error) });
      });
    }
  };
  await new Promise((resolve) => (socket.onclose = resolve));
  clearInterval(heartbeat);
  running.clear();
}

for (;;) {
  await serve().catch((error) => console.error(error.message));
  await sleep(1000 + Math.random() * 2000);
}
