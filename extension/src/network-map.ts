/** What a frame of networks comes to: who is there, and the edges between them. */

import type { LinkRow, NamespaceRow, NetworkFrame, Port, Rule, Socket } from "./frames.js";

export const HOST = "host";
export const WORLD = "world";
const COLORS = 6;
const LOOPBACK = /^(127\.|::1$)/;

/** A rule with its words. */
export interface Told {
  rule: Rule;
  words: string;
  iptables: string;
}

/** A network namespace. */
export interface Space {
  name: string;
  row: NamespaceRow;
  links: LinkRow[];
  isOwn: boolean;
  /** Nothing but the loopback is in it. */
  isAlone: boolean;
}

/** A port of the host that leads to a container. */
export interface Publication {
  key: string;
  space: string;
  port: Port;
  /** What leads there; empty where a proxy does, for the loopback. */
  rules: Told[];
}

/** Sockets of two ends, counted together by who serves and where. */
export interface Connection {
  key: string;
  client: string;
  server: string;
  /** `tcp 80`; for the world with the address. */
  what: string;
  count: number;
}

export interface NetworkMap {
  host: Space;
  containers: Space[];
  publications: Publication[];
  connections: Connection[];
  links: ReadonlyMap<string, LinkRow>;
  colors: ReadonlyMap<string, string>;
}

export function linkKey(link: LinkRow): string {
  return `${link.namespace}/${link.name}`;
}

/** `eth0@if7`: a pair's end with the number of the other one, as ip(8) writes it. */
export function linkName(link: LinkRow, links: ReadonlyMap<string, LinkRow>): string {
  const peer = links.get(link.peer);
  return peer === undefined ? link.name : `${link.name}@if${peer.index}`;
}

export function mapOf(frame: NetworkFrame): NetworkMap {
  const links = new Map(frame.links.map((link) => [linkKey(link), link]));
  const spaces = frame.namespaces.map((row) => spaceOf(frame, row));
  const nothing = { name: HOST, routes: [], neighbours: [], sockets: [], ports: [] };
  const host =
    spaces.find((space) => space.name === HOST) ??
    spaceOf(frame, { ...nothing, residents: [], has_more: false });
  const containers = spaces.filter((space) => space !== host).sort(nearest(frame));
  const names = containers.map((space) => space.name).sort();
  return {
    host,
    containers,
    publications: containers.flatMap((space) => publicationsOf(frame, space)),
    connections: connectionsOf(frame, spaces),
    links,
    colors: new Map(names.map((name, at) => [name, `var(--wd-lower-${at % COLORS})`])),
  };
}

function spaceOf(frame: NetworkFrame, row: NamespaceRow): Space {
  const own = frame.links.filter((link) => link.namespace === row.name);
  const isLoopback = (link: LinkRow): number => Number(link.name === "lo");
  const links = own.sort((a, b) => isLoopback(a) - isLoopback(b));
  return {
    name: row.name,
    row,
    links,
    isOwn: row.name === frame.container,
    isAlone: links.every((link) => link.name === "lo"),
  };
}

/** The order of the bridges that they hang on, so that wires cross little; then those alone. */
function nearest(frame: NetworkFrame): (a: Space, b: Space) => number {
  const order = new Map(frame.networks.map((network, at) => [`${HOST}/${network.bridge}`, at]));
  const links = new Map(frame.links.map((link) => [linkKey(link), link]));
  const rank = (space: Space): number => {
    const bridges = space.links.map((link) => links.get(link.peer)?.bridge ?? "");
    return Math.min(...bridges.map((bridge) => order.get(bridge) ?? Infinity), Infinity);
  };
  return (a, b) => {
    const [first, second] = [rank(a), rank(b)];
    return first === second ? a.name.localeCompare(b.name) : first < second ? -1 : 1;
  };
}

function publicationsOf(frame: NetworkFrame, space: Space): Publication[] {
  const own = space.links.flatMap((link) => link.addresses.map(bare));
  return space.row.ports.map((port) => ({
    key: `${space.name}:${port.host_ip}:${port.host_port}/${port.protocol}`,
    space: space.name,
    port,
    rules: frame.networks.flatMap(({ rules, words, iptables }) =>
      rules
        .map((rule, at) => ({ rule, words: words[at] ?? "", iptables: iptables[at] ?? "" }))
        .filter(({ rule }) => rule.action === "dnat" && leads(rule, port, own))
    ),
  }));
}

function leads(rule: Rule, port: Port, own: readonly string[]): boolean {
  const [address, to] = endOf(rule.to);
  const asked = rule.matches.find((match) => match.field === `${port.protocol} dport`);
  return (
    own.includes(address) && to === port.container_port && asked?.value === String(port.host_port)
  );
}

/** An address without its prefix. */
export function bare(address: string): string {
  return address.replace(/\/.*$/, "");
}

/** `[::1]:80` or `127.0.0.1:80`, in two. */
export function endOf(word: string): [string, number] {
  const cut = word.lastIndexOf(":");
  return [word.slice(0, cut).replace(/^\[|\]$/g, ""), Number(word.slice(cut + 1))];
}

/**
 * The sockets that are connected, each connection once though both of its ends may be seen. Who
 * listens where it is bound is the server.
 */
function connectionsOf(frame: NetworkFrame, spaces: readonly Space[]): Connection[] {
  const owners = new Map<string, string>();
  for (const link of frame.links) {
    for (const address of link.addresses.map(bare)) {
      if (!LOOPBACK.test(address)) owners.set(address, link.namespace);
    }
  }
  const found = new Map<string, Connection>();
  const seen = new Set<string>();
  for (const space of spaces) {
    const listening = new Set(
      space.row.sockets
        .filter((socket) => socket.state === "listen")
        .map((socket) => `${socket.protocol} ${endOf(socket.local)[1]}`)
    );
    for (const socket of space.row.sockets.filter(isConnected)) {
      const name = [socket.protocol, ...[socket.local, socket.remote].sort()].join(" ");
      if (seen.has(name)) continue;
      seen.add(name);
      const one = connectionOf(socket, space.name, owners, listening);
      const known = found.get(one.key);
      found.set(one.key, known ? { ...known, count: known.count + 1 } : one);
    }
  }
  return [...found.values()].sort((a, b) => b.count - a.count || a.key.localeCompare(b.key));
}

function isConnected(socket: Socket): boolean {
  const [address, port] = endOf(socket.remote);
  const isOver = ["listen", "time-wait", "closed"].includes(socket.state);
  return !isOver && port !== 0 && !LOOPBACK.test(address);
}

function connectionOf(
  socket: Socket,
  space: string,
  owners: ReadonlyMap<string, string>,
  listening: ReadonlySet<string>
): Connection {
  const [, localPort] = endOf(socket.local);
  const [remote, remotePort] = endOf(socket.remote);
  const other = owners.get(remote) ?? WORLD;
  const serves = listening.has(`${socket.protocol} ${localPort}`);
  const [client, server] = serves ? [other, space] : [space, other];
  const port = serves ? localPort : remotePort;
  const away = server === WORLD ? ` ${remote}` : "";
  const what = `${socket.protocol}${away} ${port}`;
  return { key: `${client} ${server} ${what}`, client, server, what, count: 1 };
}

/** What of a frame can change a packet's way: all but what is counted. */
export function structureOf(frame: NetworkFrame): string {
  return JSON.stringify([
    frame.networks.map(({ name, words }) => [name, words]),
    frame.namespaces.map(({ name, routes, ports }) => [name, routes, ports]),
    frame.links.map(({ namespace, name, mac, addresses, peer, bridge, is_up }) => {
      return [namespace, name, mac, addresses, peer, bridge, is_up];
    }),
  ]);
}
