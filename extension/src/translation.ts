/**
 * What the views say, in the language of the page: JupyterLab's own where it is there, else ours.
 * Vocabularies are made in English, and made anew when a language is spoken.
 */

/** The part of JupyterLab's TranslationBundle that the views use. */
export interface Trans {
  __(text: string, ...values: Value[]): string;
  _n(one: string, many: string, count: number, ...values: Value[]): string;
}

type Value = string | number;

/** A catalogue as gettext's in JSON: each text with its translations. */
export type Catalogue = Record<string, string[] | undefined>;

/** English, or what a catalogue without plurals has for it. */
export function transOf(catalogue: Catalogue = {}): Trans {
  const said = (text: string): string | undefined => catalogue[text]?.[0];
  return {
    __: (text, ...values) => filled(said(text) ?? text, values),
    _n: (one, many, count, ...values) => {
      return filled(said(one) ?? (count === 1 ? one : many), [count, ...values]);
    },
  };
}

function filled(text: string, values: readonly Value[]): string {
  return text.replace(/%(\d)/g, (place, number) => String(values[Number(number) - 1] ?? place));
}

/** Where JupyterLab's words are for the bundles of widgets, which cannot import them. */
const OFFER = Symbol.for("wardian.translation");
const page = globalThis as { [OFFER]?: Trans };

/** JupyterLab's language, for all that is on the page. */
export function offer(trans: Trans): void {
  page[OFFER] = trans;
}

export function offered(): Trans | undefined {
  return page[OFFER];
}

const made: ((trans: Trans) => void)[] = [];
let spoken = transOf();

/** Words that change with the language. Who holds it sees them change. */
export function vocabulary<W extends object>(make: (trans: Trans) => W): W {
  const words = make(spoken);
  made.push((trans) => Object.assign(words, make(trans)));
  return words;
}

/** Chooses the language. What is on the page already stays as it is. */
export function speak(trans: Trans): void {
  spoken = trans;
  for (const change of made) change(trans);
}

/** A text that the host has chosen, of those in `hostSays`. Any other stays as it is. */
export function translated(text: string, values: readonly string[] = []): string {
  return spoken.__(text, ...values);
}
