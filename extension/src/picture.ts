/**
 * A view as a picture: an SVG file that needs nothing else, and a PNG drawn from it. What is in
 * the view is copied as elements without behaviour and as text; nothing is ever parsed as markup.
 */

import { h, svg } from "./dom.js";
import { PictureStyle } from "./picture-style.js";

const XHTML = "http://www.w3.org/1999/xhtml";
/** What is for hands, or for ears. */
const LEFT_OUT = ".wd-controls, .wd-show-commands, .wd-saver, .wd-spoken, .wd-copy, script, style";
/** What an element needs besides its looks. */
const KEPT = new Set(["type", "min", "max", "step", "open", "colspan", "start", "data-steps"]);
/** XML has no place for these, not even escaped. */
// eslint-disable-next-line no-control-regex
const NO_XML = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|\p{Surrogate}/gu;
const SHARPNESS = 2;
const LONGEST_PX = 16_384;
const LOOKS = ["class", "style"];
const SCROLLING = ["auto", "scroll"];

export interface Picture {
  /** The file. */
  text: string;
  width: number;
  height: number;
}

/** What is to be seen of a view now. */
export function pictureOf(view: HTMLElement, title: string, told: string): Picture {
  const { width, height } = view.getBoundingClientRect();
  const style = new PictureStyle();
  try {
    const copied = new Copier(style).copy(view, null, null) as HTMLElement;
    copied.style.margin = "0";
    copied.style.width = `${width}px`;
    const place = svg("foreignObject", { width, height }, copied);
    const whole = svg(
      "svg",
      { width, height, viewBox: `0 0 ${width} ${height}` },
      named("title", title),
      named("desc", told),
      named("style", style.text),
      svg("rect", { width, height, fill: groundOf(view) }),
      place
    );
    return { text: new XMLSerializer().serializeToString(whole), width, height };
  } finally {
    style.dispose();
  }
}

/** The same in dots; null where the browser does not let a page have them. */
export async function dotsOf({ text, width, height }: Picture): Promise<Blob | null> {
  const image = new Image();
  // Of an address of any other kind Chromium does not give the dots away.
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const scale = Math.min(SHARPNESS, LONGEST_PX / Math.max(width, height));
  const canvas = h("canvas", {});
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => {
    try {
      canvas.toBlob(resolve, "image/png");
    } catch {
      resolve(null);
    }
  });
}

class Copier {
  constructor(private readonly style: PictureStyle) {}

  /** A node as it is now; null for one that is not to be seen. `window` is what scrolls it. */
  copy(node: Node, parent: Element | null, window: DOMRect | null): Node | null {
    if (node.nodeType === Node.TEXT_NODE) {
      return document.createTextNode(sayable(node.textContent ?? ""));
    }
    if (!(node instanceof Element) || node.matches(LEFT_OUT)) return null;
    if (getComputedStyle(node).display === "none") return null;
    return node instanceof HTMLCanvasElement
      ? this.drawn(node, parent)
      : this.element(node, parent, window);
  }

  private element(from: Element, parent: Element | null, window: DOMRect | null): Element {
    const to = document.createElementNS(from.namespaceURI, from.localName);
    for (const { name, value } of from.attributes) {
      if (isKept(from, name, value)) to.setAttribute(name, sayable(value));
    }
    keepState(from, to);
    to.setAttribute("class", this.style.classOf(from, parent));
    if (window !== null && !touches(from, window)) {
      // Scrolled away: its place is kept, what is in it is not.
      const { width, height } = from.getBoundingClientRect();
      if (height > 0) to.setAttribute("style", `width:${width}px;height:${height}px`);
      return to;
    }
    const scrolls = SCROLLING.includes(getComputedStyle(from).overflowY);
    const within = scrolls ? from.getBoundingClientRect() : window;
    for (const child of from.childNodes) {
      const copied = this.copy(child, from, within);
      if (copied === null) continue;
      if (scrolls && copied instanceof Element) shift(copied, from);
      to.append(copied);
    }
    if (scrolls) to.setAttribute("style", "overflow:hidden");
    return to;
  }

  /** A chart, as it is drawn now. */
  private drawn(from: HTMLCanvasElement, parent: Element | null): Element {
    const name = this.style.classOf(from, parent);
    const src = from.width * from.height > 0 ? from.toDataURL("image/png") : "data:,";
    return h("img", { class: name, attributes: { src, alt: "" } });
  }
}

/** Drawings are their attributes; of what is of HTML few are needed. */
function isKept(element: Element, name: string, value: string): boolean {
  if (element.namespaceURI === XHTML) return KEPT.has(name);
  const isLink = name.endsWith("href") && !value.startsWith("#");
  return !isLink && !name.startsWith("on") && !name.startsWith("xmlns") && !LOOKS.includes(name);
}

/** What was typed, chosen, moved. */
function keepState(from: Element, to: Element): void {
  if (from instanceof HTMLInputElement) {
    to.setAttribute("value", sayable(from.value || from.placeholder));
    if (from.checked) to.setAttribute("checked", "");
  } else if (from instanceof HTMLOptionElement && from.selected) {
    to.setAttribute("selected", "");
  }
}

/** Puts a child of what is scrolled to where it is seen. */
function shift(child: Element, { scrollLeft, scrollTop }: Element): void {
  if (scrollLeft === 0 && scrollTop === 0) return;
  const before = child.getAttribute("style") ?? "";
  child.setAttribute("style", `${before};translate:${-scrollLeft}px ${-scrollTop}px`);
}

function touches(element: Element, window: DOMRect): boolean {
  const box = element.getBoundingClientRect();
  return box.bottom >= window.top && box.top <= window.bottom;
}

/** The first colour behind it. */
function groundOf(element: Element): string {
  for (let one: Element | null = element; one !== null; one = one.parentElement) {
    const color = getComputedStyle(one).backgroundColor;
    if (!["", "transparent", "rgba(0, 0, 0, 0)"].includes(color)) return color;
  }
  return "white";
}

function named(tag: "title" | "desc" | "style", text: string): SVGElement {
  return svg(tag, {}, sayable(text));
}

function sayable(text: string): string {
  return text.replace(NO_XML, "\ufffd");
}
