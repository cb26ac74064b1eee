/**
 * The looks of a picture: rules made of what the browser has computed, so that nothing of the
 * page's own style sheets has to be there. Elements that look alike share a rule.
 */

const SIDES = ["top", "right", "bottom", "left"];
const CORNERS = ["top-left", "top-right", "bottom-left", "bottom-right"];
const sides = (before: string, after = ""): string[] =>
  SIDES.map((side) => `${before}-${side}${after}`);

/** Those that a child has of its parent. */
const INHERITED = [
  ..."color direction font-family font-size font-style font-weight font-variant-numeric".split(" "),
  ..."letter-spacing line-height list-style-type list-style-position overflow-wrap".split(" "),
  ..."tab-size text-align text-indent text-transform visibility white-space word-break".split(" "),
  ..."border-collapse border-spacing accent-color color-scheme".split(" "),
  ..."fill fill-opacity stroke stroke-dasharray stroke-linecap stroke-linejoin".split(" "),
  ..."stroke-opacity stroke-width text-anchor".split(" "),
];

/** Lengths that are to follow from what is around them, as in the page, wherever they do so. */
const LENGTHS = [
  ..."width height min-width min-height max-width max-height flex-basis".split(" "),
  ..."grid-template-columns grid-template-rows".split(" "),
  ...SIDES,
  ...sides("margin"),
];

const OTHERS = [
  ..."display position z-index float clear box-sizing overflow-x overflow-y".split(" "),
  ..."flex-direction flex-wrap flex-grow flex-shrink order column-gap row-gap".split(" "),
  ..."align-items align-self align-content justify-items justify-self justify-content".split(" "),
  ..."grid-template-areas grid-auto-columns grid-auto-rows grid-auto-flow".split(" "),
  ..."grid-column-start grid-column-end grid-row-start grid-row-end".split(" "),
  ..."background-color background-image background-size background-position".split(" "),
  ..."background-repeat background-clip box-shadow opacity clip-path appearance".split(" "),
  ..."transform transform-origin translate rotate scale vertical-align text-overflow".split(" "),
  ..."text-decoration-line text-decoration-style text-decoration-color".split(" "),
  ..."dominant-baseline counter-reset counter-increment".split(" "),
  ..."-webkit-line-clamp -webkit-box-orient".split(" "),
  ...sides("padding"),
  ...sides("border", "-width"),
  ...sides("border", "-style"),
  ...sides("border", "-color"),
  ...CORNERS.map((corner) => `border-${corner}-radius`),
];

const OWN = [...LENGTHS, ...OTHERS];
const PARTS = ["::before", "::after"] as const;
/** Browsers have looks of their own for these, and take nothing from around them. */
const CONTROLS = ["button", "input", "select", "option", "summary"];
/** What would be fetched from somewhere. */
const FETCHED = /url\((?!"?#)/i;

type Values = Record<string, string>;

interface Typed {
  computedStyleMap?: () => { get(name: string): { toString(): string } | null };
}

export class PictureStyle {
  private readonly names = new Map<string, string>();
  private readonly usual = new Map<string, Values>();
  private readonly bare: ShadowRoot;
  private readonly place = document.createElement("div");

  constructor() {
    this.place.style.cssText = "all: initial; position: absolute; visibility: hidden";
    this.bare = this.place.attachShadow({ mode: "closed" });
    document.body.append(this.place);
  }

  /** To be called when the picture is made. */
  dispose(): void {
    this.place.remove();
  }

  /** The class of what looks like this element; `parent` is what it stands in within the picture. */
  classOf(element: Element, parent: Element | null): string {
    const style = getComputedStyle(element);
    const around = parent === null ? null : getComputedStyle(parent);
    const rules = [`{${this.declared(element, style, around)}}`];
    for (const part of PARTS) {
      const inside = getComputedStyle(element, part);
      if (!["", "none", "normal"].includes(inside.content)) {
        const content = `content:${inside.content};`;
        rules.push(`${part}{${content}${this.declared(null, inside, style)}}`);
      }
    }
    const rule = rules.join("\n");
    const known = this.names.get(rule) ?? `p${this.names.size}`;
    this.names.set(rule, known);
    return known;
  }

  /** All of them, for a `<style>`. */
  get text(): string {
    return [...this.names]
      .flatMap(([rule, name]) => rule.split("\n").map((one) => `.${name}${one}`))
      .join("\n");
  }

  private declared(
    element: Element | null,
    style: CSSStyleDeclaration,
    around: CSSStyleDeclaration | null
  ): string {
    const usual = this.usualOf(element);
    const plain = this.usualOf(null);
    const isControl = element !== null && CONTROLS.includes(element.localName);
    const lines: string[] = [];
    const say = (name: string, value: string): void => {
      if (!FETCHED.test(value)) lines.push(`${name}:${value}`);
    };
    for (const name of INHERITED) {
      const value = style.getPropertyValue(name);
      const isOwn = value !== around?.getPropertyValue(name);
      if (isOwn || isControl || usual[name] !== plain[name]) say(name, value);
    }
    for (const name of OWN) {
      const value = style.getPropertyValue(name);
      if (value !== usual[name]) say(name, lengthOf(element, name) ?? value);
    }
    // Whatever is said of it: only such a box is cut after so many lines.
    if (isClamped(style)) say("display", "-webkit-box");
    return lines.join(";");
  }

  /** How an element of this kind looks in a page without any style; null is a part of one. */
  private usualOf(element: Element | null): Values {
    const kind = element === null ? "span" : `${element.namespaceURI ?? ""} ${element.localName}`;
    const known = this.usual.get(kind);
    if (known !== undefined) return known;
    const made =
      element === null
        ? document.createElement("span")
        : document.createElementNS(element.namespaceURI, element.localName);
    this.bare.append(made);
    const style = getComputedStyle(made);
    const values: Values = {};
    for (const name of [...INHERITED, ...OWN]) values[name] = style.getPropertyValue(name);
    made.remove();
    this.usual.set(kind, values);
    return values;
  }
}

function isClamped(style: CSSStyleDeclaration): boolean {
  return !["", "none"].includes(style.getPropertyValue("-webkit-line-clamp"));
}

/** A length as it was meant: `auto` or a share, where the browser tells it. */
function lengthOf(element: Element | null, name: string): string | null {
  if (element === null || !LENGTHS.includes(name)) return null;
  return (element as Typed).computedStyleMap?.().get(name)?.toString() ?? null;
}
