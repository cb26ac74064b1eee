/** A street: two containers in one network, the first published, and one with loopback only. */

import type {
  LinkRow,
  NamespaceRow,
  NetworkFrame,
  NetworkRow,
  Rule,
  Socket,
} from "../src/frames.js";

export function link(namespace: string, name: string, facts: Partial<LinkRow> = {}): LinkRow {
  return {
    namespace,
    name,
    index: 2,
    kind: "veth",
    mac: "02:42:0a:d5:07:02",
    mtu: 1500,
    is_up: true,
    addresses: [],
    bridge: "",
    peer: "",
    received_bytes: 0,
    sent_bytes: 0,
    received_rate: 0,
    sent_rate: 0,
    ...facts,
  };
}

export function space(name: string, facts: Partial<NamespaceRow> = {}): NamespaceRow {
  return {
    name,
    routes: [],
    neighbours: [],
    sockets: [],
    ports: [],
    residents: [],
    has_more: false,
    ...facts,
  };
}

export function rule(facts: Partial<Rule> = {}): Rule {
  return {
    family: "inet",
    table: "wardian_br-lab",
    chain: "prerouting",
    handle: 1,
    matches: [],
    action: "accept",
    to: "",
    packets: 0,
    octets: 0,
    ...facts,
  };
}

export function socket(local: string, remote: string, state: string): Socket {
  return { protocol: "tcp", local, remote, state };
}

export const DNAT = rule({
  handle: 7,
  matches: [{ field: "tcp dport", value: "8080", is_not: false }],
  action: "dnat",
  to: "10.213.7.2:80",
  packets: 5,
});
export const DNAT_WORDS = "tcp dport 8080 counter dnat ip to 10.213.7.2:80";

export function lab(facts: Partial<NetworkRow> = {}): NetworkRow {
  return {
    name: "lab",
    bridge: "br-lab",
    subnets: ["10.213.7.0/24"],
    rules: [DNAT],
    words: [DNAT_WORDS],
    iptables: ["-A PREROUTING -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.213.7.2:80"],
    ...facts,
  };
}

export function street(facts: Partial<NetworkFrame> = {}): NetworkFrame {
  const pair = (name: string, index: number, address: string): LinkRow[] => [
    link("host", `veth-${name}`, { index, bridge: "host/br-lab", peer: `${name}/eth0` }),
    link(name, "eth0", { addresses: [address], peer: `host/veth-${name}` }),
    link(name, "lo", { index: 1, kind: "", addresses: ["127.0.0.1/8"] }),
  ];
  return {
    time_s: 1001,
    container: "main",
    source: "polling",
    networks: [lab()],
    namespaces: [
      space("host", { routes: [["up0", { to: "default", via: "192.0.2.1" }]] }),
      space("main"),
      space("asker", { sockets: [socket("10.213.7.3:40000", "10.213.7.2:80", "established")] }),
      space("web", {
        sockets: [
          socket("0.0.0.0:80", "0.0.0.0:0", "listen"),
          socket("10.213.7.2:80", "10.213.7.3:40000", "established"),
          socket("10.213.7.2:5000", "203.0.113.9:443", "established"),
        ],
        ports: [{ container_port: 80, protocol: "tcp", host_ip: "", host_port: 8080 }],
        routes: [["eth0", { to: "default", via: "10.213.7.1" }]],
      }),
    ],
    links: [
      link("host", "up0", { kind: "", addresses: ["192.0.2.7/24"] }),
      link("host", "br-lab", { kind: "bridge", addresses: ["10.213.7.1/24"] }),
      ...pair("web", 12, "10.213.7.2/24"),
      ...pair("asker", 14, "10.213.7.3/24"),
      link("main", "lo", { index: 1, kind: "", addresses: ["127.0.0.1/8"] }),
    ],
    unreadable: [],
    is_on_host: true,
    ...facts,
  };
}
