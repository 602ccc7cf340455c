import type { Bot } from "../api/types";
import type { Conversation } from "../chat/conversation.svelte";
import { plain } from "../rail/plain";

/** Something the palette can go to. */
export interface Place {
  key: string;
  kind: "conversation" | "bot";
  id: string;
  name: string;
  detail: string;
  avatar: string | null;
}

const MOST = 12;

/**
 * The places whose words begin with what was typed: conversations with the newest activity first,
 * then bots to start a new one with.
 */
export function places(query: string, bots: readonly Bot[], conversations: readonly Conversation[]): Place[] {
  const wanted = query.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const open = conversations
    .toSorted((a, b) => b.activeAt - a.activeAt)
    .map((conversation) => placeOf(conversation, bots));
  const startable = bots.map((bot): Place => ({
    key: `bot/${bot.id}`,
    kind: "bot",
    id: bot.id,
    name: bot.display_name,
    detail: bot.description,
    avatar: bot.avatar,
  }));
  return [...open, ...startable].filter((place) => fits(place, wanted)).slice(0, MOST);
}

function placeOf(conversation: Conversation, bots: readonly Bot[]): Place {
  const bot = bots.find((candidate) => candidate.id === conversation.botId);
  return {
    key: `conversation/${conversation.id}`,
    kind: "conversation",
    id: conversation.id,
    name: bot?.display_name ?? conversation.botName,
    detail: plain(conversation.lastLine?.text ?? "") || "New conversation",
    avatar: bot?.avatar ?? conversation.avatar,
  };
}

function fits(place: Place, wanted: readonly string[]): boolean {
  const words = `${place.name} ${place.detail}`.toLowerCase().split(/[\s\p{P}]+/u);
  return wanted.every((want) => words.some((word) => word.startsWith(want)));
}
