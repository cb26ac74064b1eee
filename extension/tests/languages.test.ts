import { expect, test } from "vitest";
import { languageOf } from "../src/lab/languages.js";

test("a cell's language is that of its magic", () => {
  expect(languageOf("%%dockerfile -t web\nFROM wardian/base")).toBe("text/x-dockerfile");
  expect(languageOf("%%sh")).toBe("text/x-sh");
  expect(languageOf("%%bash --no-raise-error\nls")).toBe("text/x-sh");
  expect(languageOf("%%python --on web\n1 + 1")).toBe("text/x-ipython");
});

test("lines that the kernel passes over are passed over", () => {
  expect(languageOf("\n# an image\n%%dockerfile\nFROM a")).toBe("text/x-dockerfile");
  expect(languageOf("%%on web\n%%sh\nls")).toBe("text/x-sh");
});

test("a cell without such a magic has its kernel's language", () => {
  for (const text of ["", "1 + 1", "x = 1\n%%dockerfile", "%%on web\n1", "%%time\n1", " %%sh"]) {
    expect(languageOf(text)).toBeNull();
  }
});
