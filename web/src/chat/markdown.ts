import { Lexer, type Token, type TokensList } from "marked";

/**
 * A bot's Markdown as a tree. The page draws the tree with its own elements, so there is no HTML
 * string anywhere, and what looks like HTML in a message stays the text it is.
 */
export function blocks(text: string): TokensList {
  return Lexer.lex(text, { gfm: true, breaks: true });
}

/** A single line of Markdown: emphasis, code and links, no paragraphs. */
export function inline(text: string): Token[] {
  return Lexer.lexInline(text, { gfm: true, breaks: true });
}

const LINK = /^(?:https?:|mailto:|tel:|\/(?![/\\]))/i;
const PICTURE = /^(?:https:|\/(?![/\\])|data:image\/(?:png|jpeg|gif|webp|avif);)/i;

/** Says whether people may follow this address; anything else stays text. */
export function isLink(address: string): boolean {
  return LINK.test(address);
}

/** Says whether the page's policy shows a picture from this address. */
export function isPicture(address: string): boolean {
  return PICTURE.test(address);
}

/** Text with its character references (`&amp;`, `&copy;`, `&#8364;`) read. */
export function characters(text: string): string {
  if (!text.includes("&")) return text;
  // Inside an open body, the parser keeps spaces at the beginning.
  return new DOMParser().parseFromString(`<body>${text.replaceAll("<", "&lt;")}`, "text/html").body.textContent;
}
