/** The cards of the network view: one a namespace, with a row for each link. */

import { fill, fillTexts, h, RowList, setText, type Child } from "./dom.js";
import { bytes } from "./format.js";
import type { LinkRow, NetworkFrame, NetworkRow, Socket } from "./frames.js";
import {
  endOf,
  HOST,
  linkKey,
  linkName,
  type NetworkMap,
  type Publication,
  type Space,
} from "./network-map.js";
import { networkWords as words } from "./words.js";

const MOST_LINKS = 24;
const MOST_PORTS = 6;

/** What a click in the picture means. */
export interface Choices {
  end(space: string): void;
  link(key: string): void;
  publication(key: string): void;
  rules(network: string): void;
}

/** One colour per namespace, the same wherever it is named. */
export function spaceStyle(map: NetworkMap, name: string): Record<string, string> {
  const color = map.colors.get(name);
  return color === undefined ? {} : { "--wd-space": color };
}

interface Item {
  map: NetworkMap;
  link: LinkRow;
}

/** A link: its name with that of its other end, its addresses, what goes through it. */
class LinkLine {
  readonly element: HTMLElement;
  private readonly name = h("span", { class: "wd-link-name" });
  private readonly addresses = h("span", { class: "wd-addresses" });
  private readonly rates = h("span", { class: "wd-rates" });

  constructor(key: string, choices: Choices) {
    this.element = h(
      "button",
      {
        class: "wd-plug",
        data: { plug: key },
        attributes: { type: "button" },
        on: { click: () => choices.link(key) },
      },
      this.name,
      this.addresses,
      this.rates
    );
  }

  update({ map, link }: Item): void {
    setText(this.name, linkName(link, map.links));
    const told = link.addresses.filter((address) => !address.startsWith("fe80:"));
    fillTexts(this.addresses, told);
    const isInside = link.namespace !== HOST;
    setText(this.rates, isInside && link.name !== "lo" ? rateWords(link) : "");
    this.element.classList.toggle("wd-down", !link.is_up);
    this.element.dataset.space = link.namespace === HOST ? spaceBehind(map, link) : link.namespace;
    for (const [name, value] of Object.entries(spaceStyle(map, this.element.dataset.space))) {
      this.element.style.setProperty(name, value);
    }
  }
}

function spaceBehind(map: NetworkMap, link: LinkRow): string {
  return map.links.get(link.peer)?.namespace ?? HOST;
}

/** Bytes a second, in and out. */
export function rateWords(link: LinkRow): string {
  const { received_rate, sent_rate } = link;
  if (received_rate === null || sent_rate === null) return "";
  if (received_rate + sent_rate === 0) return words.idle;
  return `↓ ${bytes(received_rate)}/s ↑ ${bytes(sent_rate)}/s`;
}

/** A list of links; what is too many is counted. */
class Links {
  readonly element = h("div", { class: "wd-plugs" });
  readonly more = h("p", { class: "wd-more" });
  private readonly rows: RowList<Item, LinkLine>;

  constructor(choices: Choices) {
    this.rows = new RowList(this.element, (item: Item) => {
      return new LinkLine(linkKey(item.link), choices);
    });
  }

  show(map: NetworkMap, links: readonly LinkRow[]): void {
    const shown = links.slice(0, MOST_LINKS);
    this.rows.show(shown.map((link) => [linkKey(link), { map, link }]));
    this.more.hidden = links.length <= MOST_LINKS;
    setText(this.more, words.leftOut(links.length - MOST_LINKS));
  }
}

export interface SpaceItem {
  map: NetworkMap;
  space: Space;
}

/** A container's namespace. */
export class SpaceCard {
  readonly element: HTMLElement;
  private readonly name: HTMLElement;
  private readonly badges = h("span", { class: "wd-badges" });
  private readonly links: Links;
  private readonly alone = h("p", { class: "wd-alone" });
  private readonly facts = h("div", { class: "wd-space-facts" });
  private told = "";

  constructor(name: string, choices: Choices) {
    this.links = new Links(choices);
    this.name = endButton(name, choices);
    const command = h("code", {}, words.aloneCommand);
    fill(
      this.alone,
      words.alone,
      " ",
      h("span", { class: "wd-hint" }, words.aloneHint, " ", command)
    );
    this.element = h(
      "section",
      { class: "wd-card", data: { space: name, plug: name }, aria: { label: name } },
      h("div", { class: "wd-card-head" }, this.name, this.badges),
      this.links.element,
      this.links.more,
      this.alone,
      this.facts
    );
  }

  update({ map, space }: SpaceItem): void {
    for (const [name, value] of Object.entries(spaceStyle(map, space.name))) {
      this.element.style.setProperty(name, value);
    }
    this.links.show(map, space.links);
    this.alone.hidden = !space.isAlone;
    this.element.classList.toggle("wd-is-alone", space.isAlone);
    const residents = space.row.residents;
    fill(
      this.badges,
      space.isOwn && h("span", { class: "wd-badge wd-own" }, words.you),
      residents.length > 0 &&
        h("span", { class: "wd-badge" }, words.residents(residents.join(", "))),
      space.row.has_more && h("span", { class: "wd-badge" }, words.more)
    );
    const { ports, routes, sockets } = space.row;
    const told = JSON.stringify([ports, routes, listeningPorts(sockets)]);
    if (told !== this.told) {
      this.told = told;
      fill(this.facts, ...factsOf(map, space));
    }
  }
}

function endButton(name: string, choices: Choices): HTMLElement {
  return h(
    "button",
    {
      class: "wd-end",
      data: { end: name },
      title: `${words.way}: ${words.from} … ${words.to}`,
      attributes: { type: "button" },
      aria: { pressed: "false" },
      on: { click: () => choices.end(name) },
    },
    name
  );
}

/** Routes that lead elsewhere, who listens, where ports are published. */
function factsOf(map: NetworkMap, space: Space): Child[] {
  const routes = space.row.routes.filter(([, route]) => route.via !== "");
  const listening = listeningPorts(space.row.sockets);
  const ports = map.publications.filter((one) => one.space === space.name);
  return [
    ...ports
      .slice(0, MOST_PORTS)
      .map((one) =>
        h(
          "span",
          { class: "wd-fact wd-inner-port", data: { plug: `${one.key} in` } },
          portName(one.port)
        )
      ),
    ...routes
      .slice(0, MOST_PORTS)
      .map(([link, route]) =>
        h("span", { class: "wd-fact" }, `${route.to} via ${route.via} dev ${link}`)
      ),
    listening.length > 0 && h("span", { class: "wd-fact" }, words.listening(shortened(listening))),
  ];
}

export function listeningPorts(sockets: readonly Socket[]): string[] {
  const isOpen = (socket: Socket): boolean =>
    socket.state === "listen" && !/^(127\.|\[::1\])/.test(socket.local);
  const found = sockets.filter(isOpen).map((s) => `${s.protocol} ${endOf(s.local)[1]}`);
  return [...new Set(found)].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
}

function shortened(ports: readonly string[]): string {
  const left = ports.length - MOST_PORTS;
  return ports.slice(0, MOST_PORTS).join(", ") + (left > 0 ? ` ${words.leftOut(left)}` : "");
}

function portName(port: { container_port: number; protocol: string }): string {
  return `${port.container_port}/${port.protocol}`;
}

/** The host's namespace, or a user's own: bridges with what hangs on them, and published ports. */
export class HostCard {
  readonly element: HTMLElement;
  private readonly name: HTMLElement;
  private readonly role = h("p", { class: "wd-role" });
  private readonly uplinks: Links;
  private readonly networks = h("div", {});
  private readonly sections: RowList<NetworkItem, NetworkSection>;
  private readonly ports = h("div", { class: "wd-ports", role: "group" });
  private readonly published: RowList<Publication, PublicationLine>;
  private readonly title = h("p", { class: "wd-ports-title" }, words.published);
  private readonly none: HTMLElement;
  private map: NetworkMap | null = null;

  constructor(choices: Choices) {
    this.name = endButton(HOST, choices);
    this.uplinks = new Links(choices);
    this.sections = new RowList(this.networks, (item: NetworkItem) => {
      return new NetworkSection(item.network.name, choices);
    });
    this.published = new RowList(this.ports, (one: Publication) => {
      return new PublicationLine(one.key, choices, () => this.map);
    });
    this.none = h(
      "p",
      { class: "wd-alone" },
      words.noNetwork,
      " ",
      h("span", { class: "wd-hint" }, words.noNetworkHint)
    );
    this.element = h(
      "section",
      { class: "wd-card wd-host-card", data: { space: HOST, plug: HOST }, aria: { label: HOST } },
      h("div", { class: "wd-card-head" }, this.name, this.role),
      this.uplinks.element,
      this.networks,
      this.none,
      this.title,
      this.ports
    );
  }

  update(map: NetworkMap, frame: NetworkFrame): void {
    this.map = map;
    const residents = map.host.row.residents;
    const role = frame.is_on_host ? words.hostRole : words.groundRole;
    const also = residents.length > 0 ? ` · ${words.residents(residents.join(", "))}` : "";
    setText(this.role, role + also);
    const ways = new Set(
      map.host.row.routes.filter(([, route]) => route.to === "default").map(([link]) => link)
    );
    this.uplinks.show(
      map,
      map.host.links.filter((link) => ways.has(link.name))
    );
    this.sections.show(frame.networks.map((network) => [network.name, { map, network }]));
    this.none.hidden = frame.networks.length > 0;
    this.published.show(map.publications.map((one) => [one.key, one]));
    this.title.hidden = map.publications.length === 0;
  }
}

interface NetworkItem {
  map: NetworkMap;
  network: NetworkRow;
}

/** A network: its bridge, and the ends of pairs that hang on it. */
class NetworkSection {
  readonly element: HTMLElement;
  private readonly title = h("span", { class: "wd-network-name" });
  private readonly bridge = h("span", { class: "wd-bridge" });
  private readonly addresses = h("span", { class: "wd-addresses" });
  private readonly links: Links;

  constructor(name: string, choices: Choices) {
    this.links = new Links(choices);
    this.element = h(
      "div",
      { class: "wd-net", data: { network: name } },
      h(
        "button",
        {
          class: "wd-network-head",
          data: { plug: `network ${name}` },
          attributes: { type: "button" },
          on: { click: () => choices.rules(name) },
        },
        this.title,
        this.bridge,
        this.addresses
      ),
      this.links.element,
      this.links.more
    );
  }

  update({ map, network }: NetworkItem): void {
    const key = `${HOST}/${network.bridge}`;
    setText(this.title, network.name);
    setText(this.bridge, network.bridge);
    const own = map.links.get(key)?.addresses ?? network.subnets;
    const told = own.filter((address) => !address.startsWith("fe80:"));
    fillTexts(this.addresses, told);
    const order = new Map(map.containers.map((space, at) => [space.name, at]));
    const hanging = map.host.links.filter((link) => link.bridge === key);
    const place = (link: LinkRow): number => order.get(spaceBehind(map, link)) ?? Infinity;
    this.links.show(
      map,
      hanging.sort((a, b) => (place(a) === place(b) ? 0 : place(a) < place(b) ? -1 : 1))
    );
  }
}

/** A published port, and how many packets its rules have led. */
class PublicationLine {
  readonly element: HTMLElement;
  private readonly where = h("span", { class: "wd-link-name" });
  private readonly count = h("span", { class: "wd-rates" });

  constructor(
    key: string,
    choices: Choices,
    private readonly map: () => NetworkMap | null
  ) {
    this.element = h(
      "button",
      {
        class: "wd-plug wd-port",
        data: { plug: key },
        attributes: { type: "button" },
        on: { click: () => choices.publication(key) },
      },
      this.where,
      this.count
    );
  }

  update(one: Publication): void {
    const map = this.map();
    const { port } = one;
    const where = `${port.host_ip || "*"}:${port.host_port}`;
    setText(this.where, `${where} → ${one.space} ${portName(port)}`);
    setText(this.count, one.rules.length === 0 ? words.proxied : packetWords(packetsOf(one)));
    this.element.dataset.space = one.space;
    for (const [name, value] of Object.entries(map ? spaceStyle(map, one.space) : {})) {
      this.element.style.setProperty(name, value);
    }
  }
}

/** How many a rule has counted, if it does. */
export function packetWords(many: number | null): string {
  return many === null ? words.notCounted : words.packets(many);
}

export function packetsOf(one: Publication): number {
  return one.rules.reduce((sum, { rule }) => sum + (rule.packets ?? 0), 0);
}
