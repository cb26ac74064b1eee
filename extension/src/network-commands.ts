/** Networks by ip(8), bridge(8), ss(8) and nft(8), in each namespace by nsenter(1). */

import { asAnybody, asRoot, type Command, type Section } from "./commands.js";
import { networkSays as says } from "./command-words.js";
import type { LinkRow, NetworkFrame, NetworkRow } from "./frames.js";
import { HOST, type NetworkMap, type Publication, type Space } from "./network-map.js";
import { plain, sh } from "./quoting.js";

const MOST_NETWORKS = 8;

/** What is chosen in the view: a link or a published port by its key, and a way's ends. */
export interface NetworkChoice {
  key: string | null;
  ends: readonly string[];
}

export function networkCommands(
  frame: NetworkFrame,
  map: NetworkMap,
  choice: NetworkChoice
): Section[] {
  const link = map.links.get(choice.key ?? "");
  const port = map.publications.find((one) => one.key === choice.key);
  const wanted = new Set([frame.container, link?.namespace, port?.space, ...choice.ends]);
  const spaces = map.containers.filter((space) => wanted.has(space.name));
  return [
    ...(link === undefined ? [] : ofLink(frame, map, link)),
    ...(port === undefined ? [] : ofPort(frame, map, port)),
    ...spaces.flatMap(ofSpace),
    ...ofHost(frame),
  ].filter((section) => section.commands.length > 0);
}

/** The start of a line that runs in a namespace; null where no process of it is known. */
function inside(space: Space | undefined): string | null {
  const host_pid = space?.row.host_pid ?? null;
  return host_pid === null ? null : `nsenter -t ${host_pid} -n `;
}

function ofSpace(space: Space): Section[] {
  const enter = inside(space);
  if (enter === null) return [];
  return [
    {
      title: says.space(space.name),
      commands: [
        ...asRoot(`${enter}ip addr`, says.addresses),
        ...asRoot(`${enter}ip route`, says.routes),
        ...asRoot(`${enter}ip neigh`, says.neighbours),
        ...asRoot(`${enter}ss -tan`, says.sockets),
      ],
    },
  ];
}

function ofHost(frame: NetworkFrame): Section[] {
  if (!frame.is_on_host) {
    const commands = asAnybody("lsns -t net", says.lsnsNet);
    return [{ title: says.host, commands, note: says.ground }];
  }
  return [
    {
      title: says.host,
      commands: [
        ...asAnybody("ip addr", says.addresses),
        ...asAnybody("bridge link", says.bridges),
        ...asAnybody("ip -d link show type veth", says.veths),
        ...asAnybody("ip route", says.routes),
      ],
    },
    ...frame.networks.slice(0, MOST_NETWORKS).map(ofNetwork),
  ];
}

function ofNetwork(network: NetworkRow): Section {
  const tables = new Map(network.rules.map((rule) => [`${rule.family} ${rule.table}`, rule]));
  return {
    title: says.network(network.name),
    commands: [
      ...[...tables.values()].flatMap(({ family, table }) =>
        asRoot(
          sh`nft list table ${family} ${table}`,
          family === "bridge" ? says.bridgeTable : says.table
        )
      ),
      ...asAnybody(sh`ip link show master ${network.bridge}`, says.bridges),
    ],
  };
}

/** A container may call its links anything but what sh(1) would take for more than a name. */
function ofLink(frame: NetworkFrame, map: NetworkMap, link: LinkRow): Section[] {
  const isHosts = link.namespace === HOST;
  const space = map.containers.find((one) => one.name === link.namespace);
  const enter = isHosts ? hostsStart(frame) : inside(space);
  const name = plain(link.name);
  const shown = name === null ? null : sh`ip -d -s link show dev ${name}`;
  const port = name === null ? null : sh`bridge -d link show dev ${name}`;
  if (enter === null || shown === null) return [];
  const ask = isHosts ? asAnybody : asRoot;
  return [
    {
      title: says.link(link.name),
      commands: [
        ...ask(`${enter}${shown}`, says.linkState),
        ...(link.bridge === "" ? [] : ask(`${enter}${port}`, says.bridgePort)),
      ],
    },
  ];
}

function hostsStart(frame: NetworkFrame): string | null {
  return frame.is_on_host ? "" : null;
}

function ofPort(frame: NetworkFrame, map: NetworkMap, one: Publication): Section[] {
  const enter = inside(map.containers.find((space) => space.name === one.space));
  const { host_port, container_port, protocol } = one.port;
  const kind = protocol === "udp" ? "u" : "t";
  const listens = (start: string, port: number, told: string): Command[] =>
    asRoot(`${start}ss -${kind}lnp 'sport = :${port}'`, told);
  const rules = one.rules.map(({ rule }) => rule);
  const chains = new Map(rules.map((rule) => [`${rule.table} ${rule.chain}`, rule]));
  const isHere = frame.is_on_host;
  return [
    {
      title: says.port(host_port),
      commands: [
        ...(isHere ? [...chains.values()] : []).flatMap(({ family, table, chain }) =>
          asRoot(sh`nft list chain ${family} ${table} ${chain}`, says.chain)
        ),
        ...(isHere && rules.length === 0 ? listens("", host_port, says.proxy) : []),
        ...(enter === null ? [] : listens(enter, container_port, says.inside)),
      ],
    },
  ];
}
