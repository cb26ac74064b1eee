/** Figures as people read them. What is not known is a dash, never a zero. */

export const UNKNOWN = "–";
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** Bytes with a binary unit and at most three digits before it. */
export function bytes(value: number | null): string {
  if (value === null) {
    return UNKNOWN;
  }
  let figure = value;
  let unit = 0;
  while (figure >= 1000 && unit < UNITS.length - 1) {
    figure /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || figure >= 100 ? 0 : 1;
  return `${figure.toFixed(digits)} ${UNITS[unit] ?? ""}`;
}

/** Round figures beside an axis: without a decimal that says nothing. */
export function axisBytes(value: number): string {
  return bytes(value).replace(".0 ", " ");
}

/** `memory.max` of a group without a limit reads as unlimited. */
export function limit(value: number | null, show: (value: number) => string, none: string): string {
  return value === null ? none : show(value);
}

export function percent(value: number | null): string {
  if (value === null) {
    return UNKNOWN;
  }
  return `${value < 9.95 && value > 0 ? value.toFixed(1) : Math.round(value)} %`;
}

export function count(value: number | null): string {
  return value === null ? UNKNOWN : String(value);
}

/** The mode bits as `ls -l` writes them, without the type. */
export function mode(bits: number): string {
  const letters = "rwxrwxrwx".split("").map((c, i) => (bits & (0o400 >> i) ? c : "-"));
  const special: [number, number, string, string][] = [
    [0o4000, 2, "s", "S"],
    [0o2000, 5, "s", "S"],
    [0o1000, 8, "t", "T"],
  ];
  for (const [bit, place, both, only] of special) {
    if (bits & bit) {
      letters[place] = letters[place] === "x" ? both : only;
    }
  }
  return letters.join("");
}

/** The time of day with tenths, for a paused view. */
export function clock(seconds: number): string {
  const time = new Date(seconds * 1000);
  const two = (n: number): string => String(n).padStart(2, "0");
  const tenth = Math.floor((seconds * 10) % 10);
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${tenth}`;
}

/** A digest's first twelve digits, as docker shows it. */
export function shortDigest(digest: string): string {
  return digest.replace(/^sha256:/, "").slice(0, 12);
}
