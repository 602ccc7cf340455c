import type { Bot } from "../api/types";

export interface Example {
  bot: Bot;
  text: string;
}

/** A few things to try: one of each bot in turn, so that the first bot does not take them all. */
export function examplesOf(bots: readonly Bot[], most = 3): Example[] {
  const out: Example[] = [];
  const longest = Math.max(0, ...bots.map((bot) => bot.examples.length));
  for (let turn = 0; turn < longest && out.length < most; turn += 1) {
    for (const bot of bots) {
      const text = bot.examples[turn];
      if (text !== undefined && out.length < most) out.push({ bot, text });
    }
  }
  return out;
}
