/**
 * Words of a command line, quoted as sh(1) reads them (POSIX, Shell Command Language, 2.2). What a
 * container named comes as a label (wardian/observe/label.py), whose escapes are taken back first:
 * the line is about the file that there is, and neither its name nor the screen is anything else.
 */

const ESCAPE = /\\(?:\\|x([0-9a-f]{2})|u\{([0-9a-f]{1,6})\})/g;
/** A label that was too long ends in a checksum, and stands for no name. */
const CUT = /…#[0-9a-f]{8}$/;
const PLAIN = /^[\w@+:,./][\w@%+=:,./-]*$/;
/** Control, format, unassigned and broken characters, and separators of lines. */
const HIDDEN = /[\p{C}\p{Zl}\p{Zp}]/u;
/** What printf(1) or an interactive shell would take for its own. */
const SPECIAL = /[%\\'!]/;
/** A byte that is no part of UTF-8 is this and the byte, as in Python (PEP 383). */
const BYTE = 0xdc00;
const LAST_ASCII = 0x7f;

/** What a label stands for; null if it was cut. */
export function plain(label: string): string | null {
  if (CUT.test(label)) return null;
  return label.replace(ESCAPE, (whole, hex?: string, point?: string) => {
    if (hex === undefined && point === undefined) return "\\";
    const code = parseInt(hex ?? point ?? "", 16);
    if (point !== undefined && code > 0x10ffff) return whole;
    return hex !== undefined && code > LAST_ASCII
      ? String.fromCharCode(BYTE + code)
      : String.fromCodePoint(code);
  });
}

/** One word of sh(1), of one line and of printable characters; null if there is none. */
export function quote(text: string): string | null {
  if (PLAIN.test(text)) return text;
  if (!HIDDEN.test(text)) return `'${text.replaceAll("'", `'\\''`)}'`;
  // $(…) drops line breaks at the end, and no name has a NUL.
  if (text.endsWith("\n") || text.includes("\0")) return null;
  const format = Array.from(text, (char, at) => {
    const isOption = at === 0 && char === "-";
    return HIDDEN.test(char) || SPECIAL.test(char) || isOption ? octal(char) : char;
  });
  return `"$(printf '${format.join("")}')"`;
}

function octal(char: string): string {
  const code = char.charCodeAt(0);
  const isByte = char.length === 1 && code > BYTE + LAST_ASCII && code <= BYTE + 0xff;
  const bytes = isByte ? [code - BYTE] : [...new TextEncoder().encode(char)];
  return bytes.map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
}

/** A line of which each value is one word: sh`stat ${path}`. Null if a value is no word. */
export function sh(
  parts: TemplateStringsArray,
  ...values: (string | number | null)[]
): string | null {
  const words = values.map((value) => {
    return value === null ? null : quote(String(value));
  });
  if (words.includes(null)) return null;
  return parts.reduce((line, part, at) => `${line}${words[at - 1] ?? ""}${part}`);
}
