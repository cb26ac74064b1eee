/**
 * A small way to make elements. Children that are strings become text nodes, always: what a
 * container calls its files and processes is never parsed as markup.
 */

export type Child = Node | string | null | undefined | false;

type Listeners = { [E in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[E]) => void };

export interface Options {
  class?: string;
  title?: string;
  role?: string;
  aria?: Record<string, string>;
  data?: Record<string, string>;
  style?: Record<string, string>;
  attributes?: Record<string, string>;
  on?: Listeners;
}

export function h<T extends keyof HTMLElementTagNameMap>(
  tag: T,
  options: Options = {},
  ...children: Child[]
): HTMLElementTagNameMap[T] {
  const element = document.createElement(tag);
  if (options.class !== undefined) element.className = options.class;
  if (options.title !== undefined) element.title = options.title;
  if (options.role !== undefined) element.setAttribute("role", options.role);
  for (const [name, value] of Object.entries(options.aria ?? {})) {
    element.setAttribute(`aria-${name}`, value);
  }
  for (const [name, value] of Object.entries(options.data ?? {})) element.dataset[name] = value;
  for (const [name, value] of Object.entries(options.style ?? {})) {
    element.style.setProperty(name, value);
  }
  for (const [name, value] of Object.entries(options.attributes ?? {})) {
    element.setAttribute(name, value);
  }
  for (const [name, listener] of Object.entries(options.on ?? {})) {
    element.addEventListener(name, listener as EventListener);
  }
  fill(element, ...children);
  return element;
}

/** The same for SVG, by attributes alone. */
export function svg<T extends keyof SVGElementTagNameMap>(
  tag: T,
  attributes: Record<string, string | number>,
  ...children: Child[]
): SVGElementTagNameMap[T] {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, String(value));
  }
  fill(element, ...children);
  return element;
}

/** Replaces what an element holds. */
export function fill(element: Element, ...children: Child[]): void {
  element.replaceChildren(
    ...children.filter((c): c is Node | string => c !== null && c !== undefined && c !== false)
  );
}

/** The same with one element a text, and only where the texts differ. */
export function fillTexts(element: Element, texts: readonly string[]): void {
  const shown = [...element.children].map((child) => child.textContent);
  if (shown.length !== texts.length || texts.some((text, at) => text !== shown[at])) {
    fill(element, ...texts.map((text) => h("span", {}, text)));
  }
}

/** Sets text only where it differs, so that nothing is laid out anew in vain. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

/** Sets an attribute only where it differs: of thousands of rows that is most of the work. */
export function setAttribute(element: Element, name: string, value: string): void {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/**
 * One row per item, in order: rows are kept by key, made when new, updated when the item is.
 * `isSame` says of two items that they are shown alike.
 */
export class RowList<I, R extends { element: HTMLElement; update(item: I): void }> {
  private rows = new Map<string, { row: R; item: I | undefined }>();

  constructor(
    private readonly parent: HTMLElement,
    private readonly create: (item: I, key: string) => R,
    private readonly isSame: (one: I, other: I) => boolean = Object.is
  ) {}

  get(key: string): R | undefined {
    return this.rows.get(key)?.row;
  }

  show(items: readonly (readonly [string, I])[]): void {
    const next = new Map<string, { row: R; item: I | undefined }>();
    let place: Element | null = this.parent.firstElementChild;
    for (const [key, item] of items) {
      const entry = this.rows.get(key) ?? { row: this.create(item, key), item: undefined };
      this.rows.delete(key);
      if (entry.item === undefined || !this.isSame(entry.item, item)) {
        entry.row.update(item);
        entry.item = item;
      }
      next.set(key, entry);
      if (entry.row.element === place) {
        place = place.nextElementSibling;
      } else {
        this.parent.insertBefore(entry.row.element, place);
      }
    }
    for (const { row } of this.rows.values()) {
      row.element.remove();
    }
    this.rows = next;
  }
}
