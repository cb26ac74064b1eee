/** The edges of the network view, drawn over its cards: wires, published ports, connections. */

import { fill, svg } from "./dom.js";
import type { Hop } from "./channel.js";
import { HOST, linkKey, linkName, WORLD, type NetworkMap } from "./network-map.js";
import { arc, wire, type Box } from "./wires.js";
import { networkWords as words } from "./words.js";

const MOST_EDGES = 300;

/** Which kinds of edges are shown beside the wires. */
export interface Shown {
  ports: boolean;
  connections: boolean;
}

interface Edge {
  kind: "wire" | "port" | "connection";
  path: string;
  title: string;
  /** The namespaces that it joins. */
  spaces: [string, string];
  /** The plugs at its ends. */
  plugs: [string, string];
  color: string;
  isBusy: boolean;
}

export class Edges {
  readonly element = svg("svg", { class: "wd-edges", "aria-hidden": "true" });
  private drawn = "";

  constructor(
    private readonly place: HTMLElement,
    private readonly light: (spaces: readonly string[] | null) => void
  ) {}

  draw(map: NetworkMap, shown: Shown, hops: readonly Hop[]): void {
    const boxes = this.boxes();
    const edges = [
      ...wires(map, boxes),
      ...(shown.ports ? ports(map, boxes) : []),
      ...(shown.connections ? connections(map, boxes) : []),
    ].slice(0, MOST_EDGES);
    const steps = stepsAlong(edges, hops);
    const drawn = JSON.stringify([edges, [...steps]]);
    if (drawn !== this.drawn) {
      this.drawn = drawn;
      fill(this.element, ...edges.flatMap((edge) => this.shape(edge, steps.get(edge))));
    }
  }

  /** Where the plugs are, seen from the map: a row's height, at the edges of its card. */
  private boxes(): Map<string, Box> {
    const origin = this.place.getBoundingClientRect();
    const found = new Map<string, Box>();
    for (const plug of this.place.querySelectorAll<HTMLElement>("[data-plug]")) {
      const { top, bottom } = plug.getBoundingClientRect();
      const { left, right } = (plug.closest(".wd-card") ?? plug).getBoundingClientRect();
      found.set(plug.dataset.plug ?? "", {
        left: left - origin.left,
        right: right - origin.left,
        top: top - origin.top,
        bottom: bottom - origin.top,
      });
    }
    return found;
  }

  private shape(edge: Edge, step: Step | undefined): SVGElement[] {
    const kind = `wd-edge wd-edge-${edge.kind}`;
    const onWay = step === undefined ? "" : " wd-on-way";
    const path = svg(
      "path",
      {
        class: `${kind}${onWay}`,
        d: edge.path,
        style: `--wd-space: ${edge.color}`,
        "data-spaces": JSON.stringify(edge.spaces),
        "data-plugs": edge.plugs.join(" "),
      },
      svg("title", {}, edge.title)
    );
    path.addEventListener("pointerenter", () => this.light(edge.spaces));
    path.addEventListener("pointerleave", () => this.light(null));
    return [
      path,
      ...(edge.isBusy ? [svg("path", { class: "wd-flow", d: edge.path })] : []),
      ...(step === undefined ? [] : [packet(edge.path, step)]),
    ];
  }
}

/** A dot that goes along an edge; the style sheet hides it where motion is not wanted. */
function packet(path: string, step: Step): SVGElement {
  const [from, to] = step.isForward ? [0, 1] : [1, 0];
  return svg(
    "circle",
    { class: "wd-packet", r: 4 },
    svg("animateMotion", {
      path,
      dur: "1.6s",
      repeatCount: "indefinite",
      calcMode: "linear",
      keyTimes: "0;1",
      keyPoints: `${from};${to}`,
    })
  );
}

interface Step {
  /** From the edge's first plug to its second. */
  isForward: boolean;
}

/** The wires that a packet goes along: it passes the end inside, on its way out the outer, too. */
function stepsAlong(edges: readonly Edge[], hops: readonly Hop[]): Map<Edge, Step> {
  const places = hops.map((hop) => `${hop.namespace}/${hop.at}`);
  const found = new Map<Edge, Step>();
  for (const edge of edges) {
    const [outer, inner] = [places.indexOf(edge.plugs[0]), places.indexOf(edge.plugs[1])];
    if (edge.kind === "wire" && inner >= 0) {
      found.set(edge, { isForward: outer < inner });
    }
  }
  return found;
}

type Boxes = ReadonlyMap<string, Box>;

function colorOf(map: NetworkMap, space: string): string {
  return map.colors.get(space) ?? "var(--wd-faint)";
}

function wires(map: NetworkMap, boxes: Boxes): Edge[] {
  const found: Edge[] = [];
  const inner = map.containers.flatMap((space) => space.links);
  inner.forEach((link) => {
    const outer = map.links.get(link.peer);
    const to = boxes.get(linkKey(link));
    const from = outer && boxes.get(linkKey(outer));
    if (outer === undefined || from === undefined || to === undefined) return;
    found.push({
      kind: "wire",
      path: wire(from, to, found.length),
      title: `${linkName(outer, map.links)} ↔ ${linkName(link, map.links)}`,
      spaces: [outer.namespace, link.namespace],
      plugs: [linkKey(outer), linkKey(link)],
      color: colorOf(map, link.namespace),
      isBusy: (link.received_rate ?? 0) + (link.sent_rate ?? 0) > 0,
    });
  });
  return found;
}

function ports(map: NetworkMap, boxes: Boxes): Edge[] {
  return map.publications.flatMap((one, at): Edge[] => {
    const [from, to] = [boxes.get(one.key), boxes.get(`${one.key} in`)];
    if (from === undefined || to === undefined) return [];
    return [
      {
        kind: "port",
        path: wire(from, to, at + map.containers.length),
        title: one.rules.map((told) => told.words).join("\n") || words.proxied,
        spaces: [HOST, one.space],
        plugs: [one.key, `${one.key} in`],
        color: colorOf(map, one.space),
        isBusy: false,
      },
    ];
  });
}

function connections(map: NetworkMap, boxes: Boxes): Edge[] {
  const between = map.connections.filter(({ client, server }) => {
    return client !== server && client !== WORLD && server !== WORLD;
  });
  return between.flatMap((one, at): Edge[] => {
    const [from, to] = [boxes.get(one.client), boxes.get(one.server)];
    if (from === undefined || to === undefined) return [];
    return [
      {
        kind: "connection",
        path: arc(from, to, at),
        title: `${one.client} → ${one.server}: ${one.what} (${one.count})`,
        spaces: [one.client, one.server],
        plugs: [one.client, one.server],
        color: colorOf(map, one.server === HOST ? one.client : one.server),
        isBusy: false,
      },
    ];
  });
}
