import type { Message } from "../api/types";

/** What a message becomes in one chat; the messages are as that chat takes them. */
export interface Rendered<T> {
  messages: T[];
  form: unknown;
  is_cut: boolean;
}

export interface Preview {
  message: Omit<Message, "content"> & { text: string };
  slack: Rendered<SlackMessage>;
  discord: Rendered<DiscordMessage>;
  plain: string;
}

export interface SlackText {
  type: "mrkdwn" | "plain_text";
  text: string;
}

export type SlackBlock = Record<string, any> & { type: string };

export interface SlackMessage {
  text: string;
  blocks: SlackBlock[];
}

export interface DiscordEmbed {
  title?: string;
  description?: string;
  color?: number;
  fields?: { name: string; value: string; inline: boolean }[];
  image?: { url: string };
  footer?: { text: string };
}

export interface DiscordControl {
  type: number;
  style?: number;
  label?: string;
  placeholder?: string;
  disabled?: boolean;
  url?: string;
  options?: { label: string; value: string }[];
}

export interface DiscordMessage {
  content: string;
  embeds: DiscordEmbed[];
  components: { components: DiscordControl[] }[];
}
