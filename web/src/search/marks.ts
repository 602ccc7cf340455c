/** A piece of a text; `hit` when it is what was looked for. */
export interface Piece {
  text: string;
  hit: boolean;
}

/** How much of the text before the first hit is shown in one line. */
const LEAD = 40;

/** Cuts a text where it reads as the query, whatever the case, as the server looks for it. */
export function pieces(text: string, query: string): Piece[] {
  const wanted = query.trim().toLowerCase();
  const folded = text.toLowerCase();
  // Folding that changes the length (İ, say) moves every place after it: then nothing is marked.
  if (wanted === "" || folded.length !== text.length) return [{ text, hit: false }];
  const out: Piece[] = [];
  let from = 0;
  for (let at = folded.indexOf(wanted); at >= 0; at = folded.indexOf(wanted, from)) {
    if (at > from) out.push({ text: text.slice(from, at), hit: false });
    from = at + wanted.length;
    out.push({ text: text.slice(at, from), hit: true });
  }
  if (from < text.length) out.push({ text: text.slice(from), hit: false });
  return out;
}

/** The same for one line, which begins shortly before the first hit. */
export function linePieces(text: string, query: string): Piece[] {
  const line = text.replace(/\s+/g, " ").trim();
  const at = line.toLowerCase().indexOf(query.trim().toLowerCase());
  return pieces(at > LEAD ? `…${line.slice(at - LEAD)}` : line, query);
}
