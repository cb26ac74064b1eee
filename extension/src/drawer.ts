/**
 * A drawer below a view with the commands that say or do the same. Closed it costs nothing: what
 * is in it is made when it is opened, and made anew only while it is open.
 */

import { copyIcon, copyText } from "./clipboard.js";
import type { Caller, Command, Section } from "./commands.js";
import { drawerWords as words } from "./command-words.js";
import { type Child, fill, h, RowList, setText } from "./dom.js";

const PROMPTS: Record<Caller, string> = { root: "#", anybody: "$", program: "" };
/** Of a split it is a part of the result; it matches as a whole, too, as it has no state. */
const LONG = /([0-9a-f]{40,})/;
let numbered = 0;

/** What a drawer is told of its view. */
export interface Source {
  sections(): Section[];
  /** What is shown is no more: pids and paths of it can be another's. */
  isPast(): boolean;
  announce(text: string): void;
}

export class Drawer {
  readonly toggle: HTMLButtonElement;
  readonly element: HTMLElement;
  private readonly past = h("p", { class: "wd-past" }, words.past);
  private readonly body = h("div", {});
  private readonly sections: RowList<Section, SectionRows>;

  constructor(private readonly source: Source) {
    const id = `wd-drawer-${(numbered += 1)}`;
    this.toggle = h(
      "button",
      {
        class: "wd-chip wd-show-commands",
        attributes: { type: "button", "aria-expanded": "false", "aria-controls": id },
        on: {
          click: () => this.turn(this.element.hidden),
          keydown: (event) => !this.element.hidden && this.onKey(event),
        },
      },
      words.show
    );
    this.sections = new RowList(this.body, () => new SectionRows((line) => this.copy(line)));
    this.element = h("section", {
      class: "wd-drawer",
      aria: { label: words.title },
      attributes: { id, tabindex: "-1" },
      on: { keydown: (event) => this.onKey(event) },
    });
    this.element.hidden = true;
  }

  /** What is shown or chosen may be another. */
  refresh(): void {
    if (this.element.hidden) return;
    const hadFocus = this.element.contains(document.activeElement);
    const isPast = this.source.isPast();
    this.past.hidden = !isPast;
    const shown = this.source.sections().map((section): [string, Section] => {
      const commands = section.commands.filter((command) => !(isPast && command.changes));
      return [section.title, { ...section, commands }];
    });
    this.sections.show(shown);
    // The line that had it is gone: a key goes on to the drawer, not to the page.
    if (hadFocus && !this.element.contains(document.activeElement)) this.focus();
  }

  private turn(open: boolean): void {
    this.element.hidden = !open;
    this.toggle.setAttribute("aria-expanded", String(open));
    if (!open) {
      this.toggle.focus();
      return;
    }
    if (this.element.childElementCount === 0) this.build();
    this.refresh();
    this.focus();
    if ("scrollIntoView" in this.element) this.element.scrollIntoView({ block: "nearest" });
  }

  private focus(): void {
    this.element.focus({ preventScroll: true });
  }

  private build(): void {
    const close = h(
      "button",
      {
        class: "wd-close",
        title: words.close,
        aria: { label: words.close },
        attributes: { type: "button" },
        on: { click: () => this.turn(false) },
      },
      "✕"
    );
    fill(
      this.element,
      h("header", { class: "wd-drawer-head" }, h("h4", {}, words.title), close),
      h("p", { class: "wd-more" }, words.where),
      this.past,
      this.body
    );
  }

  /** The notebook has its own idea of keys. */
  private onKey(event: KeyboardEvent): void {
    event.stopPropagation();
    if (event.key !== "Escape") return;
    event.preventDefault();
    this.turn(false);
  }

  private copy(line: string): void {
    void copyText(line).then(() => this.source.announce(words.copied));
  }
}

/** A heading and its lines. */
class SectionRows {
  readonly element: HTMLElement;
  private readonly title = h("h5", {});
  private readonly note = h("p", { class: "wd-more" });
  private readonly list = h("ul", { class: "wd-commands" });
  private readonly lines: RowList<Command, CommandRow>;

  constructor(copy: (line: string) => void) {
    this.lines = new RowList(this.list, (command) => new CommandRow(command, copy));
    this.element = h("section", {}, this.title, this.note, this.list);
  }

  update({ title, note, commands }: Section): void {
    setText(this.title, title);
    setText(this.note, note ?? "");
    this.note.hidden = note === undefined;
    this.list.hidden = commands.length === 0;
    this.lines.show(commands.map((command) => [command.line, command]));
  }
}

/** A line whose digests and ids are whole, but take little room. */
function codeOf(line: string): Child[] {
  return line.split(LONG).map((part) => {
    const isLong = LONG.test(part);
    return isLong ? h("span", { class: "wd-hex", title: part }, h("span", {}, part)) : part;
  });
}

/** A line that is what it is; what it says can be told in other words. */
class CommandRow {
  readonly element: HTMLElement;
  private readonly says = h("span", {});

  constructor({ line, by }: Command, copy: (line: string) => void) {
    const caller = words.by[by];
    const isCall = by === "program";
    this.element = h(
      "li",
      { data: { by } },
      h("span", { class: "wd-prompt", title: caller, aria: { hidden: "true" } }, PROMPTS[by]),
      h("code", {}, ...codeOf(line)),
      h(
        "button",
        {
          class: "wd-copy",
          title: words.copy,
          aria: { label: `${words.copy}: ${line}` },
          attributes: { type: "button" },
          on: { click: () => copy(line) },
        },
        copyIcon()
      ),
      h(
        "span",
        { class: "wd-says" },
        h("span", { class: isCall ? "wd-badge" : "wd-spoken" }, isCall ? caller : `${caller}: `),
        this.says
      )
    );
  }

  update({ says }: Command): void {
    setText(this.says, says);
  }
}
