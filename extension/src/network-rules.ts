/** The rules of each network, as nft says them, with what they have counted. */

import { h, RowList, setText } from "./dom.js";
import type { NetworkFrame, NetworkRow, Rule } from "./frames.js";
import { networkWords as words } from "./words.js";

const MOST_RULES = 300;

interface Item {
  network: NetworkRow;
  marked: ReadonlySet<string>;
}

export class RuleTables {
  readonly element = h("div", { class: "wd-rules" });
  private readonly tables = new RowList<Item, RuleTable>(this.element, () => new RuleTable());

  show(frame: NetworkFrame, marked: ReadonlySet<string>): void {
    this.tables.show(frame.networks.map((network) => [network.name, { network, marked }]));
  }

  open(network: string): void {
    const table = this.tables.get(network);
    if (table === undefined) return;
    table.element.open = !table.element.open;
    if (table.element.open) table.element.scrollIntoView({ block: "nearest" });
  }
}

class RuleTable {
  readonly element: HTMLDetailsElement;
  private readonly title = h("summary", {});
  private readonly body = h("tbody", {});
  private readonly more = h("p", { class: "wd-more" });
  private readonly rows = new RowList<Line, RuleLine>(this.body, (line) => new RuleLine(line));
  private item: Item | null = null;

  constructor() {
    const heads = words.heads.map((head) => h("th", { attributes: { scope: "col" } }, head));
    this.element = h(
      "details",
      { on: { toggle: () => this.fill() } },
      this.title,
      h("table", {}, h("thead", {}, h("tr", {}, ...heads)), this.body),
      this.more
    );
  }

  update(item: Item): void {
    this.item = item;
    setText(this.title, words.rules(item.network.name, item.network.rules.length));
    this.fill();
  }

  /** Nothing is made of rules that nobody sees. */
  private fill(): void {
    if (this.item === null || !this.element.open) return;
    const { network, marked } = this.item;
    const shown = network.rules.slice(0, MOST_RULES).map((rule, at): [string, Line] => {
      const told = network.words[at] ?? "";
      return [
        `${rule.family} ${rule.chain} ${rule.handle}`,
        { rule, told, isMarked: marked.has(told) },
      ];
    });
    this.rows.show(shown);
    this.more.hidden = network.rules.length <= MOST_RULES;
    setText(this.more, words.leftOut(network.rules.length - MOST_RULES));
  }
}

interface Line {
  rule: Rule;
  told: string;
  isMarked: boolean;
}

class RuleLine {
  readonly element: HTMLElement;
  private readonly packets = h("td", { class: "wd-figure" });

  constructor({ rule, told }: Line) {
    const chain = rule.family === "inet" ? rule.chain : `${rule.family} ${rule.chain}`;
    this.element = h(
      "tr",
      {},
      h("td", {}, chain),
      this.packets,
      h("td", { class: "wd-code" }, told)
    );
  }

  update({ rule, isMarked }: Line): void {
    setText(this.packets, rule.packets === null ? "" : String(rule.packets));
    this.element.classList.toggle("wd-marked", isMarked);
  }
}
