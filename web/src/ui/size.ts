const UNITS = ["kB", "MB", "GB", "TB"];

/** How large something is, as people say it: 412 bytes, 3.2 kB, 18 MB. */
export function size(bytes: number): string {
  if (bytes < 1000) return bytes === 1 ? "1 byte" : `${bytes} bytes`;
  let unit = -1;
  let value = bytes;
  do {
    value /= 1000;
    unit += 1;
  } while (value >= 999.5 && unit < UNITS.length - 1);
  return `${value < 9.95 ? Number(value.toFixed(1)) : Math.round(value)} ${UNITS[unit]}`;
}
