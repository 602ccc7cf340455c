/** A piece of Discord's Markdown: small print stands by itself. */
export interface Piece {
  text: string;
  small: boolean;
}

/** Cuts Discord's Markdown where small print begins and ends; what has no width there has none here. */
export function pieces(text: string): Piece[] {
  const out: Piece[] = [];
  let code = false;
  for (const line of text.replaceAll("\u200b", "").split("\n")) {
    if (line.startsWith("```")) code = !code;
    const small = !code && line.startsWith("-# ");
    const shown = small ? line.slice(3) : line;
    const last = out.at(-1);
    if (last && last.small === small) last.text += `\n${shown}`;
    else out.push({ text: shown, small });
  }
  return out.filter((piece) => piece.text.trim() !== "");
}
