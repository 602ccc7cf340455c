const ALPHABET = "0123456789abcdefghijklmnopqrstuv";

let lastTime = 0;
let counter = 0;

/**
 * A new id for something this browser sends. Ids made here sort in the order they were made, also
 * within one millisecond, and never meet those of another browser.
 */
export function newId(now: number = Date.now()): string {
  if (now > lastTime) {
    lastTime = now;
    counter = 0;
  } else {
    counter += 1;
  }
  const random = crypto.getRandomValues(new Uint8Array(13));
  const tail = Array.from(random, (byte) => ALPHABET[byte & 31]).join("");
  return base32(lastTime, 9) + base32(counter, 3) + tail;
}

function base32(value: number, length: number): string {
  let out = "";
  for (let rest = value, i = 0; i < length; i += 1, rest = Math.floor(rest / 32)) out = ALPHABET[rest % 32] + out;
  return out;
}
