/** What is quoted is read by a real sh(1), and comes out as it was. */

import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { plain, quote, sh } from "../src/quoting.js";

const SHELLS = ["/bin/sh", "/bin/bash"];
const NAMES = [
  "/etc/passwd",
  "a b",
  "",
  "-n",
  "~root",
  "it's",
  "$(touch /tmp/x) `id` $HOME ${IFS}",
  "a;b|c&d>e<f",
  '"\\',
  "*?[a]{b,c}",
  "!! #",
  "=ls",
  "한국어 пример 🐧",
  "bell\x07 %s \\n 'quoted' !1",
  "\x1b[201~\x1b[2Jline\nline",
  "-e\n-",
  "exe\u202efdp",
  "\u{e0001}",
  "=\r",
];

function read(shell: string, word: string | null): Buffer {
  return execFileSync(shell, ["-c", `printf %s ${word}`]);
}

test.each(SHELLS)("every name is one word of %s, as it is", (shell) => {
  for (const name of NAMES) {
    expect(read(shell, quote(name)).toString()).toBe(name);
  }
});

test("a quoted word is one line of printable characters", () => {
  for (const name of NAMES) expect(quote(name)).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u);
});

test("what needs no quotes has none", () => {
  expect([quote("/proc/12/ns"), quote("a=b"), quote("=b"), quote("x y")]).toEqual([
    "/proc/12/ns",
    "a=b",
    "'=b'",
    "'x y'",
  ]);
});

test("the escapes of a label stand for the name that there is", () => {
  expect(plain("/a\\x1b[2Jb\\x0ac")).toBe("/a\x1b[2Jb\nc");
  expect(plain("\\\\x1b")).toBe("\\x1b");
  expect(plain("exe\\u{202e}fdp \\u{85}")).toBe("exe\u202efdp \x85");
});

test("a byte that is not UTF-8 is that byte for a shell", () => {
  const name = plain("/\\xff\\x80 한");
  const bytes = Buffer.concat([Buffer.from([0x2f, 0xff, 0x80]), Buffer.from(" 한")]);
  for (const shell of SHELLS) expect(read(shell, quote(name ?? "")).equals(bytes)).toBe(true);
});

test("a name that no line can say is not said wrong", () => {
  expect(quote("ends in a break\n")).toBeNull();
  expect(plain("/very/long…#0123abcd")).toBeNull();
  expect(sh`stat ${plain("/very/long…#0123abcd")}`).toBeNull();
  expect(sh`stat ${"x\n"} ${3}`).toBeNull();
});

test("a line has each value as one word", () => {
  expect(sh`diff ${"/a b"} /x/${7}/${"c"}`).toBe("diff '/a b' /x/7/c");
});
