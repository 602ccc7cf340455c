import type { Bot } from "../api/types";
import type { Conversation } from "../chat/conversation.svelte";

export interface Group {
  botId: string;
  name: string;
  avatar: string | null;
  degraded: boolean;
  conversations: Conversation[];
}

/**
 * Conversations by bot: bots in the server's order so that nothing jumps, their conversations with
 * the newest activity first. Bots that are gone come last, under the name they had.
 */
export function groups(bots: readonly Bot[], conversations: readonly Conversation[]): Group[] {
  const byBot = new Map<string, Conversation[]>();
  for (const conversation of conversations) {
    byBot.set(conversation.botId, [...(byBot.get(conversation.botId) ?? []), conversation]);
  }
  const known = bots.map((bot) => ({
    botId: bot.id,
    name: bot.display_name,
    avatar: bot.avatar,
    degraded: bot.status === "degraded",
    conversations: newestFirst(byBot.get(bot.id) ?? []),
  }));
  const here = new Set(bots.map((bot) => bot.id));
  const gone = [...byBot].filter(([id]) => !here.has(id)).map(([id, theirs]) => groupOfGone(id, theirs));
  return [...known, ...gone].filter((group) => group.conversations.length > 0);
}

function groupOfGone(botId: string, theirs: Conversation[]): Group {
  const [first] = theirs;
  return {
    botId,
    name: first?.botName ?? botId,
    avatar: first?.avatar ?? null,
    degraded: false,
    conversations: newestFirst(theirs),
  };
}

function newestFirst(conversations: readonly Conversation[]): Conversation[] {
  return conversations.toSorted((a, b) => b.activeAt - a.activeAt);
}
