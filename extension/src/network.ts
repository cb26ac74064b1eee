/** The network view: namespaces as cards, pairs of links as wires, and a packet's way. */

import type { Channel, HostMessage, Hop } from "./channel.js";
import type { Section } from "./commands.js";
import { fill, h, RowList, setText } from "./dom.js";
import { bytes } from "./format.js";
import type { LinkRow, NetworkFrame } from "./frames.js";
import {
  HostCard,
  packetsOf,
  packetWords,
  SpaceCard,
  type Choices,
  type SpaceItem,
} from "./network-cards.js";
import { networkCommands } from "./network-commands.js";
import { Edges, type Shown } from "./network-edges.js";
import { HOST, linkName, mapOf, structureOf, type NetworkMap, type Space } from "./network-map.js";
import { RuleTables } from "./network-rules.js";
import { Way } from "./network-way.js";
import type { Announce, Panel } from "./shell.js";
import { networkWords as words } from "./words.js";

const MOST_CARDS = 60;
/** From so many containers on they stand on both sides of the host, where there is room. */
const MANY = 4;
const WIDE = 1000;

export function networkPanel(
  channel: Channel,
  _announce: Announce,
  chosen: () => void
): Panel<NetworkFrame> {
  return new NetworkPanel(channel, chosen);
}

class NetworkPanel implements Panel<NetworkFrame>, Choices {
  readonly element: HTMLElement;
  private readonly map = h("div", { class: "wd-map" });
  private readonly host = new HostCard(this);
  private readonly left: Side;
  private readonly right: Side;
  private readonly edges: Edges;
  private readonly way: Way;
  private readonly tables = new RuleTables();
  private readonly legend: Legend;
  private readonly detail = h("div", { class: "wd-detail" });
  private readonly more = h("p", { class: "wd-more" });
  private readonly resize: ResizeObserver | null;
  private selected: string | null = null;
  private frame: NetworkFrame | null = null;
  private drawn: NetworkMap | null = null;
  private structure = "";

  constructor(
    channel: Channel,
    private readonly chosen: () => void
  ) {
    this.left = new Side(this);
    this.right = new Side(this);
    this.edges = new Edges(this.map, (spaces) => this.light(spaces));
    this.way = new Way(channel, () => {
      this.draw();
      this.chosen();
    });
    this.legend = new Legend(() => this.draw());
    fill(this.map, this.left.element, this.host.element, this.right.element, this.edges.element);
    this.map.addEventListener("pointerover", (event) => this.light(spacesAt(event.target)));
    this.map.addEventListener("pointerleave", () => this.light(null));
    this.map.addEventListener("focusin", (event) => this.light(spacesAt(event.target)));
    this.map.addEventListener("focusout", () => this.light(null));
    this.detail.hidden = true;
    this.element = h(
      "div",
      { class: "wd-body" },
      this.legend.element,
      this.map,
      this.more,
      this.detail,
      this.way.element,
      this.tables.element
    );
    this.resize =
      typeof ResizeObserver === "undefined" ? null : new ResizeObserver(() => this.draw());
    this.resize?.observe(this.map);
  }

  show(frame: NetworkFrame): void {
    this.frame = frame;
    const structure = structureOf(frame);
    if (structure !== this.structure) {
      if (this.structure !== "") this.way.again();
      this.structure = structure;
    }
    this.draw();
  }

  hear(message: HostMessage): void {
    if (message.kind === "way") this.way.hear(message);
  }

  dispose(): void {
    this.resize?.disconnect();
  }

  commands(): Section[] {
    const { frame, drawn, selected: key } = this;
    if (frame === null || drawn === null) return [];
    const ends = drawn.containers.map(({ name }) => name).filter((name) => this.way.isEnd(name));
    return networkCommands(frame, drawn, { key, ends });
  }

  end(space: string): void {
    this.way.end(space);
  }

  link(key: string): void {
    this.choose(key);
  }

  publication(key: string): void {
    this.choose(key);
    const one = this.drawn?.publications.find((candidate) => candidate.key === key);
    if (one !== undefined && this.selected === key) this.way.publication(one);
  }

  rules(network: string): void {
    this.tables.open(network);
  }

  private choose(key: string): void {
    this.selected = this.selected === key ? null : key;
    this.draw();
    this.chosen();
  }

  private draw(): void {
    const { frame } = this;
    if (frame === null) return;
    const map = (this.drawn = mapOf(frame));
    const shown = map.containers.slice(0, MOST_CARDS);
    const isSplit = shown.length >= MANY && this.map.clientWidth >= WIDE;
    const half = isSplit ? Math.floor(shown.length / 2) : 0;
    this.map.classList.toggle("wd-split", isSplit);
    this.host.update(map, frame);
    this.left.show(map, shown.slice(0, half));
    this.right.show(map, shown.slice(half));
    this.way.offer(map);
    this.tables.show(frame, this.chosenRules(map));
    this.legend.show(map);
    this.showMore(frame, map);
    this.showDetail(map);
    this.markSteps();
    this.edges.draw(map, this.legend.shown, this.way.hops);
  }

  private chosenRules(map: NetworkMap): ReadonlySet<string> {
    const one = map.publications.find((candidate) => candidate.key === this.selected);
    const met = this.way.hops.map((hop) => hop.rule).filter((rule) => rule !== "");
    return new Set([...(one?.rules.map((told) => told.words) ?? []), ...met]);
  }

  private showMore(frame: NetworkFrame, map: NetworkMap): void {
    const parts = [];
    if (map.containers.length > MOST_CARDS)
      parts.push(words.leftOut(map.containers.length - MOST_CARDS));
    if (frame.unreadable.length > 0) parts.push(words.unreadable(frame.unreadable.join(", ")));
    this.more.hidden = parts.length === 0;
    setText(this.more, parts.join(" · "));
  }

  private showDetail(map: NetworkMap): void {
    const link = map.links.get(this.selected ?? "");
    const publication = map.publications.find((one) => one.key === this.selected);
    for (const plug of this.map.querySelectorAll<HTMLElement>("button[data-plug]")) {
      plug.setAttribute("aria-pressed", String(plug.dataset.plug === this.selected));
    }
    for (const name of this.map.querySelectorAll<HTMLElement>("[data-end]")) {
      name.setAttribute("aria-pressed", String(this.way.isEnd(name.dataset.end ?? "")));
    }
    this.detail.hidden = link === undefined && publication === undefined;
    if (link !== undefined) {
      const pairs = linkFacts(map, link);
      fill(this.detail, h("h4", {}, linkName(link, map.links)), facts(pairs));
    } else if (publication !== undefined) {
      const { port, rules, space } = publication;
      const pairs: [string, string][] = rules.flatMap(({ rule, words: told, iptables }) => [
        [`${rule.chain}, ${packetWords(rule.packets)}`, told],
        ...(iptables === "" ? [] : [["iptables", iptables] as [string, string]]),
      ]);
      const title = `${port.host_ip || "*"}:${port.host_port} → ${space} ${port.container_port}`;
      const what = rules.length === 0 ? words.proxied : packetWords(packetsOf(publication));
      fill(this.detail, h("h4", {}, `${title} · ${what}`), facts(pairs));
    }
  }

  /** Numbers beside the rows that a packet's way leads through. */
  private markSteps(): void {
    const numbers = new Map<string, number[]>();
    this.way.hops.forEach((hop, at) => {
      for (const plug of this.plugsOf(hop)) {
        numbers.set(plug, [...(numbers.get(plug) ?? []), at + 1]);
      }
    });
    for (const plug of this.map.querySelectorAll<HTMLElement>("button[data-plug]")) {
      const steps = numbers.get(plug.dataset.plug ?? "") ?? [];
      if (steps.length === 0) plug.removeAttribute("data-steps");
      else plug.dataset.steps = steps.join(" ");
    }
  }

  /** A link's own row; a bridge and a chain are at their network, a dnat at what is published. */
  private plugsOf(hop: Hop): string[] {
    const network = this.frame?.networks.find(({ name, bridge }) => {
      return hop.at === bridge || hop.at.startsWith(`${name} `);
    });
    const led = this.drawn?.publications.find((one) => {
      return hop.at.startsWith("nat ") && one.rules.some((told) => told.words === hop.rule);
    });
    return [
      `${hop.namespace}/${hop.at}`,
      ...(hop.namespace === HOST && network ? [`network ${network.name}`] : []),
      ...(led ? [led.key] : []),
    ];
  }

  /** What belongs to these namespaces stays bright, the rest is dimmed; not while a way is shown. */
  private light(spaces: readonly string[] | null): void {
    const isWayShown = this.way.hops.length > 0;
    this.map.classList.toggle("wd-lit-some", spaces !== null && !isWayShown);
    if (spaces === null || isWayShown) return;
    for (const part of this.map.querySelectorAll<HTMLElement | SVGElement>(
      "[data-space], [data-spaces]"
    )) {
      const own = part.dataset.spaces
        ? (JSON.parse(part.dataset.spaces) as string[])
        : [part.dataset.space ?? ""];
      const isLit = own.every((name) => spaces.includes(name) || name === HOST);
      part.classList.toggle("wd-lit", isLit);
    }
  }
}

/** The namespaces of what the pointer is at; none for the host, to which all belongs. */
function spacesAt(target: EventTarget | null): readonly string[] | null {
  const part =
    target instanceof Element ? target.closest<HTMLElement>("[data-space], [data-spaces]") : null;
  if (part === null) return null;
  if (part.dataset.spaces) return JSON.parse(part.dataset.spaces) as string[];
  return part.dataset.space === undefined || part.dataset.space === HOST
    ? null
    : [part.dataset.space];
}

/** A column of containers. */
class Side {
  readonly element = h("div", { class: "wd-side" });
  private readonly cards: RowList<SpaceItem, SpaceCard>;

  constructor(choices: Choices) {
    this.cards = new RowList(this.element, (item: SpaceItem) => {
      return new SpaceCard(item.space.name, choices);
    });
  }

  show(map: NetworkMap, spaces: readonly Space[]): void {
    this.element.hidden = spaces.length === 0;
    this.cards.show(spaces.map((space) => [space.name, { map, space }]));
  }
}

/** The kinds of edges; two of them can be switched off. */
class Legend {
  readonly element: HTMLElement;
  readonly shown: Shown = { ports: true, connections: true };
  private readonly counts = new Map<keyof Shown, HTMLElement>();

  constructor(private readonly changed: () => void) {
    this.element = h(
      "div",
      { class: "wd-filters wd-legend", role: "toolbar" },
      h("span", { class: "wd-chip wd-key-wire" }, sample("wire"), words.wire),
      this.chip("ports", "port", words.port),
      this.chip("connections", "connection", words.connection),
      h("span", { class: "wd-chip" }, sample("way"), words.packet)
    );
  }

  show(map: NetworkMap): void {
    this.say("ports", map.publications.length);
    this.say(
      "connections",
      map.connections.reduce((sum, one) => sum + one.count, 0)
    );
  }

  private say(kind: keyof Shown, many: number): void {
    const place = this.counts.get(kind);
    if (place !== undefined) setText(place, ` ${many}`);
  }

  private chip(kind: keyof Shown, edge: string, text: string): HTMLElement {
    const count = h("span", { class: "wd-figure" });
    this.counts.set(kind, count);
    const chip = h(
      "button",
      {
        class: "wd-chip",
        data: { edges: kind },
        attributes: { type: "button" },
        aria: { pressed: "true" },
        on: {
          click: () => {
            this.shown[kind] = !this.shown[kind];
            chip.setAttribute("aria-pressed", String(this.shown[kind]));
            this.changed();
          },
        },
      },
      sample(edge),
      text,
      count
    );
    return chip;
  }
}

function sample(kind: string): HTMLElement {
  return h("i", { class: `wd-sample wd-sample-${kind}`, aria: { hidden: "true" } });
}

function linkFacts(map: NetworkMap, link: LinkRow): [string, string][] {
  const { facts: said } = words;
  const peer = map.links.get(link.peer);
  const routes = [...map.containers, map.host]
    .find((space) => space.name === link.namespace)
    ?.row.routes.filter(([name]) => name === link.name)
    .map(([, route]) => (route.via === "" ? route.to : `${route.to} via ${route.via}`));
  return [
    [said.namespace, link.namespace],
    [said.kind, link.kind || said.hardware],
    [said.addresses, link.addresses.join(" ") || said.none],
    [said.state, `${link.mac} · ${link.mtu} · ${link.is_up ? "up" : "down"}`],
    [
      said.otherEnd,
      peer === undefined ? said.none : `${peer.namespace} ${linkName(peer, map.links)}`,
    ],
    [said.bridge, link.bridge.slice(HOST.length + 1) || said.none],
    [said.routes, (routes ?? []).join(", ") || said.none],
    [said.traffic, `${bytes(link.received_bytes)} · ${bytes(link.sent_bytes)}`],
  ];
}

function facts(pairs: readonly [string, string][]): HTMLElement {
  return h(
    "dl",
    { class: "wd-facts" },
    ...pairs.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])
  );
}
