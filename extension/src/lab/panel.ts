/** The side panel: containers, images, networks and volumes, as they come and go. */

import { ContainerLine } from "../container-line.js";
import { type Child, fill, h, RowList, setText } from "../dom.js";
import { bytes } from "../format.js";
import { type Icon, icon } from "./icons.js";
import type { ContainerRow, Deed, Host, Inventory, News } from "./inventory.js";
import { Roving } from "./roving.js";
import { words } from "./words.js";

const TICK_MS = 15_000;
function button(
  name: Icon,
  label: string,
  act: (pressed: HTMLButtonElement) => void
): HTMLButtonElement {
  const made = h("button", {
    class: "wdp-act",
    title: label,
    aria: { label },
    data: { deed: name },
    attributes: { type: "button", tabindex: "-1" },
    on: {
      click: (event) => {
        event.stopPropagation();
        act(made);
      },
    },
  });
  made.append(icon(name));
  return made;
}

/** One container, and what can be done with it. */
class PanelLine extends ContainerLine {
  private readonly acts = h("span", { class: "wdp-acts" });
  private offered = "";

  constructor(
    row: ContainerRow,
    private readonly host: Host,
    private readonly program: () => string
  ) {
    super(row);
    this.element.classList.add("wdp-item");
    this.head.append(this.acts);
  }

  override update(row: ContainerRow): void {
    super.update(row);
    if (this.offered !== row.status) {
      this.offered = row.status;
      this.offer();
    }
  }

  private offer(): void {
    const { host } = this;
    const act = (deed: Deed) => () => void host.act(this.row, deed);
    const runs = this.row.status === "running";
    const shown: Child[] = [
      runs && button("views", words.views, (pressed) => host.offerViews(this.row, pressed)),
      runs && button("terminal", words.terminal, () => host.openTerminal(this.row, this.program())),
      button("logs", words.logs, () => host.openLogs(this.row)),
      runs && button("pause", words.pause, act("pause")),
      this.row.status === "paused" && button("start", words.unpause, act("unpause")),
      runs
        ? button("stop", words.stop, act("stop"))
        : this.row.status !== "paused" && button("start", words.start, act("start")),
      button("remove", words.remove, act("remove")),
    ];
    fill(this.acts, ...shown);
  }
}

interface Thing {
  name: string;
  remark: string;
  users: string[];
}

/** An image, a network or a volume. */
class ThingLine {
  readonly element: HTMLElement;
  private readonly name = h("span", { class: "wdc-name" });
  private readonly remark = h("div", { class: "wdc-sub" });

  constructor(thing: Thing, remove: () => void, explore?: () => void) {
    this.element = h(
      "li",
      { class: "wdp-item", data: { name: thing.name }, attributes: { tabindex: "-1" } },
      h(
        "div",
        { class: "wdc-head" },
        this.name,
        h(
          "span",
          { class: "wdp-acts" },
          explore && button("views", words.explore, explore),
          button("remove", words.remove, remove)
        )
      ),
      this.remark
    );
  }

  update(thing: Thing): void {
    setText(this.name, thing.name);
    this.name.title = thing.name;
    const users = thing.users.length === 0 ? "" : words.usedBy(thing.users.join(", "));
    setText(this.remark, [thing.remark, users].filter(Boolean).join(" · "));
  }
}

/** A heading with a count, and a list below that can be folded away. */
class Section<I, R extends { element: HTMLElement; update(item: I): void }> {
  readonly element: HTMLDetailsElement;
  readonly rows: RowList<I, R>;
  private readonly count = h("span", { class: "wdp-count" });
  private readonly empty: HTMLElement;

  constructor(title: string, empty: string, create: (item: I) => R, open = false) {
    const list = h("ul", { class: "wdp-list", aria: { label: title } });
    this.empty = h("p", { class: "wdp-empty" }, empty);
    this.element = h(
      "details",
      { class: "wdp-section", attributes: open ? { open: "" } : {} },
      h("summary", { attributes: { tabindex: "-1" } }, title, this.count),
      this.empty,
      list
    );
    this.rows = new RowList(list, create);
  }

  show(items: [string, I][]): void {
    setText(this.count, String(items.length));
    this.empty.hidden = items.length > 0;
    this.rows.show(items);
  }
}

/** The whole panel. It is told the news, and asks `host` for deeds. */
export class Panel {
  readonly element: HTMLElement;
  private readonly message = h("p", { class: "wdp-message", role: "status" }, words.waiting);
  private readonly body: HTMLElement;
  private readonly containers: Section<ContainerRow, PanelLine>;
  private readonly images: Section<Thing, ThingLine>;
  private readonly networks: Section<Thing, ThingLine>;
  private readonly volumes: Section<Thing, ThingLine>;
  private readonly keys: Roving;
  private timer: ReturnType<typeof setInterval> | null = null;
  private ids: string[] = [];
  private ahead_s = 0; // the host's clock, of this machine's
  private program = "wardian";

  constructor(host: Host) {
    const thing =
      (kind: "images" | "networks" | "volumes") =>
      (item: Thing): ThingLine =>
        new ThingLine(
          item,
          () => void host.remove(kind, item.name),
          kind === "images" ? () => host.exploreImage(item.name) : undefined
        );
    this.containers = new Section(
      words.containers,
      words.noContainers,
      (row: ContainerRow) => new PanelLine(row, host, () => this.program),
      true
    );
    this.images = new Section(words.images, words.noImages, thing("images"));
    this.networks = new Section(words.networks, words.noNetworks, thing("networks"));
    this.volumes = new Section(words.volumes, words.noVolumes, thing("volumes"));
    const sections = [this.containers, this.images, this.networks, this.volumes];
    this.body = h("div", { class: "wdp-body" }, ...sections.map((section) => section.element));
    this.body.hidden = true;
    this.keys = new Roving(this.body);
    this.element = h(
      "div",
      { class: "wdp-panel", attributes: { tabindex: "-1" } },
      this.message,
      this.body
    );
  }

  hear(news: News): void {
    switch (news.kind) {
      case "inventory":
        this.ahead_s = news.time_s - Date.now() / 1000;
        this.keys.keep(() => this.show(news.inventory));
        if (document.activeElement === this.element) this.focus();
        break;
      case "figures":
        for (const id of this.ids) {
          this.containers.rows.get(id)?.measure(news.figures[id] ?? null);
        }
        break;
      case "error":
        fill(this.message, h("strong", {}, news.what), news.hint && ` ${news.hint}`);
        this.message.hidden = false;
        this.element.dataset.state = "error";
    }
  }

  /** Where keys go from now on. */
  focus(): void {
    if (this.body.hidden) {
      this.element.focus(); // until there is something
    } else {
      this.keys.focus();
    }
  }

  /** Somebody looks: say from time to time how long things have been so. */
  wake(): void {
    this.timer ??= setInterval(() => this.tick(), TICK_MS);
  }

  /** Nobody looks: cost nothing. */
  sleep(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
  }

  private tick(): void {
    const now = Date.now() / 1000 + this.ahead_s;
    for (const id of this.ids) this.containers.rows.get(id)?.tick(now);
  }

  private show({ program, containers, images, networks, volumes }: Inventory): void {
    this.program = program;
    this.message.hidden = true;
    this.body.hidden = false;
    this.element.dataset.state = "live";
    this.ids = containers.map((row) => row.id);
    this.containers.show(containers.map((row) => [row.id, row]));
    this.tick();
    this.images.show(
      images.map((image) => [
        image.reference,
        {
          name: image.reference,
          remark: `${bytes(image.size_bytes)} · ${words.layersOf(image.layers)}`,
          users: image.users,
        },
      ])
    );
    this.networks.show(
      networks.map((network) => [
        network.name,
        {
          name: network.name,
          remark: [...network.subnets, network.is_internal && words.internal]
            .filter(Boolean)
            .join(" · "),
          users: network.users,
        },
      ])
    );
    this.volumes.show(
      volumes.map((volume) => [
        volume.name,
        {
          name: volume.name,
          remark: volume.is_anonymous ? words.anonymous : "",
          users: volume.users,
        },
      ])
    );
  }
}
