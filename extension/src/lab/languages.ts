/** The language of a cell by its magic, so that it is coloured as what it is. */

/** Media types, by which JupyterLab finds the language. */
const LANGUAGES: ReadonlyMap<string, string> = new Map([
  ["dockerfile", "text/x-dockerfile"],
  ["sh", "text/x-sh"],
  ["bash", "text/x-sh"],
  ["both", "text/x-sh"],
  ["python", "text/x-ipython"],
  ["host", "text/x-ipython"],
]);
const MAGIC = /^%%(\w+)/;

/**
 * The media type of a cell's text, null for that of its kernel. As the kernel does, blank lines and
 * comments before the magic are passed over, and `%%on`, which may have another one below it.
 */
export function languageOf(text: string): string | null {
  for (const line of text.split("\n")) {
    const name = MAGIC.exec(line)?.[1];
    if (name !== undefined && name !== "on") {
      return LANGUAGES.get(name) ?? null;
    }
    if (name === undefined && line.trim() !== "" && !line.trimStart().startsWith("#")) {
      return null;
    }
  }
  return null;
}
