/** The Korean catalogue has what the source and the schemas say, and nothing else. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Gettext } from "@jupyterlab/translation/lib/gettext.js";
import ts from "typescript";
import { expect, test } from "vitest";
import { speak, words } from "../src/lab/words.js";

const HERE = import.meta.dirname;
const SOURCE = join(HERE, "../src/lab");
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
  for (const name of readdirSync(SCHEMAS)) textsOfSchema(join(SCHEMAS, name), texts);
  return texts;
}

const texts = allTexts();
const places = (text: string): string[] => [...new Set(text.match(/%\d/g) ?? [])].sort();

test("every text is in the catalogue, and nothing else is", () => {
  expect(texts.size).toBeGreaterThan(60);
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
  expect([words.stop, words.days(1), words.days(3)]).toEqual(["중지", "1일", "3일"]);
  expect(words.exited(3, words.hours(2))).toBe("2시간 전에 종료됨 (3)");
});

test("what is Korean is in Korean", () => {
  const same = [...texts.keys()].filter(
    (key) => catalogue[key]?.[0] === key.split("\u0004").at(-1)
  );
  expect(new Set(same.map((key) => key.split("\u0004").at(-1)))).toEqual(new Set(["Wardian"]));
});
