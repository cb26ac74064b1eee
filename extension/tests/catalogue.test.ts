/** The Korean catalogue has what the source and the schemas say, and nothing else. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Gettext } from "@jupyterlab/translation/lib/gettext.js";
import ts from "typescript";
import { expect, test } from "vitest";
import { drawerWords } from "../src/command-words.js";
import { speak, words } from "../src/lab/words.js";
import { offered, speak as speakInViews, transOf } from "../src/translation.js";
import { containerWords, imageWords, resourcesWords, words as common } from "../src/words.js";

const HERE = import.meta.dirname;
const SOURCE = join(HERE, "../src/lab");
const VIEWS = ["words.ts", "command-words.ts"].map((name) => join(HERE, "../src", name));
const SCHEMAS = join(HERE, "../schema");
const KOREAN = "../../kernel/wardian/jupyter/server/locale/ko_KR/LC_MESSAGES/wardian.json";
const catalogue = JSON.parse(readFileSync(join(HERE, KOREAN), "utf8")) as Record<string, string[]>;

/** A text that is to be translated, and whether it has a plural. */
type Texts = Map<string, { isPlural: boolean; texts: string[] }>;

function textsOf(path: string, texts: Texts): void {
  const file = ts.createSourceFile(path, readFileSync(path, "utf8"), ts.ScriptTarget.Latest);
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression)) {
      const name = node.expression.name.text;
      const isPlural = name === "_n";
      if (name === "__" || isPlural) {
        const said = node.arguments.slice(0, isPlural ? 2 : 1).map((argument) => {
          if (!ts.isStringLiteral(argument)) throw new Error(`${path}: not a literal`);
          return argument.text;
        });
        texts.set(said[0] ?? "", { isPlural, texts: said });
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
}

interface Schema {
  title: string;
  description: string;
  "jupyter.lab.setting-icon-label"?: string;
  properties: Record<string, { title: string; description: string }>;
}

function textsOfSchema(path: string, texts: Texts): void {
  const schema = JSON.parse(readFileSync(path, "utf8")) as Schema;
  const add = (context: string, text: string | undefined): void => {
    if (text !== undefined) {
      texts.set(`${context}\u0004${text}`, { isPlural: false, texts: [text] });
    }
  };
  add("schema", schema.title);
  add("schema", schema.description);
  add("settings", schema["jupyter.lab.setting-icon-label"]);
  for (const { title, description } of Object.values(schema.properties)) {
    add("settings", title);
    add("settings", description);
  }
}

function allTexts(): Texts {
  const texts: Texts = new Map();
  for (const name of readdirSync(SOURCE)) textsOf(join(SOURCE, name), texts);
  for (const path of VIEWS) textsOf(path, texts);
  for (const name of readdirSync(SCHEMAS)) textsOfSchema(join(SCHEMAS, name), texts);
  return texts;
}

const texts = allTexts();
const places = (text: string): string[] => [...new Set(text.match(/%\d/g) ?? [])].sort();

test("every text is in the catalogue, and nothing else is", () => {
  expect(texts.size).toBeGreaterThan(300);
  expect(Object.keys(catalogue).sort()).toEqual(["", ...texts.keys()].sort());
});

test("a translation has the places of its text, and as many forms as JupyterLab wants", () => {
  for (const [key, { isPlural, texts: said }] of texts) {
    const translations = catalogue[key] ?? [];
    // Of a plural JupyterLab takes no list of one, though Korean has but one form.
    expect([key, translations.length]).toEqual([key, isPlural ? 2 : 1]);
    for (const translation of translations) {
      expect([key, places(translation)]).toEqual([key, places(said.at(-1) ?? "")]);
    }
  }
});

test("JupyterLab finds the translations, of one and of many", () => {
  const korean = new Gettext({ domain: "wardian", locale: "ko_KR" });
  const head = catalogue[""] as unknown as Record<string, string>;
  const shown = { ...catalogue, "": { ...head, pluralForms: head.plural_forms } };
  korean.loadJSON(shown as never, "wardian");
  speak(korean);
  expect([words.stop, containerWords.days(1), containerWords.days(3)]).toEqual([
    "중지",
    "1일",
    "3일",
  ]);
  expect(containerWords.exited(3, containerWords.hours(2))).toBe("2시간 전에 종료됨 (3)");
});

test("what is Korean is in Korean", () => {
  const same = [...texts.keys()].filter(
    (key) => catalogue[key]?.[0] === key.split("\u0004").at(-1)
  );
  expect(new Set(same.map((key) => key.split("\u0004").at(-1)))).toEqual(new Set(["Wardian"]));
});

test("the views speak JupyterLab's language, and offer it to the bundles of widgets", () => {
  const korean = new Gettext({ domain: "wardian", locale: "ko_KR" });
  const head = catalogue[""] as unknown as Record<string, string>;
  korean.loadJSON(
    { ...catalogue, "": { ...head, pluralForms: head.plural_forms } } as never,
    "wardian"
  );
  speak(korean);
  expect(offered()).toBe(korean);
  expect([common.layers, drawerWords.show]).toEqual(["레이어", "명령 보기"]);
  expect([imageWords.layers(1), imageWords.layers(3)]).toEqual(["레이어 1개", "레이어 3개"]);
  expect(resourcesWords.ofOneCore("12 %")).toBe("코어 하나의 12 %");
});

test("a catalogue alone says the same as JupyterLab does with it", () => {
  speakInViews(transOf(catalogue));
  expect([common.live, imageWords.layers(1), resourcesWords.oom(2)]).toEqual([
    "실시간",
    "레이어 1개",
    "메모리 부족: 커널이 프로세스 2개를 죽였습니다",
  ]);
  speakInViews(transOf());
  expect([common.live, imageWords.layers(1), imageWords.layers(2)]).toEqual([
    "live",
    "1 layer",
    "2 layers",
  ]);
  expect([resourcesWords.oom(1), resourcesWords.oom(2)]).toEqual([
    "Out of memory: the kernel has killed a process",
    "Out of memory: the kernel has killed 2 processes",
  ]);
});
