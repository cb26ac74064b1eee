import { beforeEach, expect, test } from "vitest";
import type { WayMessage } from "../src/channel.js";
import { apply, type NetworkFrame } from "../src/frames.js";
import { linkName, mapOf, structureOf } from "../src/network-map.js";
import { arc, wire } from "../src/wires.js";
import { networkPanel } from "../src/network.js";
import { DNAT_WORDS, lab, link, rule, space, street } from "./network-frames.js";
import { all, host, mountView, one } from "./host.js";

const MARKUP = '<img src=x onerror="alert(1)">';

const WAY: WayMessage = {
  kind: "way",
  source: "asker",
  destination: "web",
  port: 80,
  protocol: "tcp",
  hops: [
    {
      namespace: "asker",
      at: "eth0",
      what: { text: "route to %1", values: ["10.213.7.2"] },
      rule: "",
    },
    {
      namespace: "host",
      at: "veth-asker",
      what: { text: "the other end of %1's %2", values: ["asker", "eth0"] },
      rule: "",
    },
    {
      namespace: "host",
      at: "lab forward",
      what: { text: "accept", values: [] },
      rule: DNAT_WORDS,
    },
    {
      namespace: "web",
      at: "eth0",
      what: { text: "the other end of %1", values: ["veth-web"] },
      rule: "",
    },
  ],
  arrives: true,
  ends: { text: "%1", values: ["web"] },
};

beforeEach(() => mountView("network", networkPanel, { container: "main" }));

test("a pair's ends are named with each other's numbers", () => {
  const { links } = mapOf(street());
  const [outer, inner] = [links.get("host/veth-web"), links.get("web/eth0")];
  expect(outer && linkName(outer, links)).toBe("veth-web@if2");
  expect(inner && linkName(inner, links)).toBe("eth0@if12");
});

test("a published port finds the rule that leads there, and no other one", () => {
  const other = rule({ action: "dnat", to: "10.213.7.9:80", handle: 8 });
  const network = lab({ rules: [other, ...lab().rules], words: ["other", DNAT_WORDS] });
  const [published] = mapOf(street({ networks: [network] })).publications;
  expect(published?.rules.map((told) => told.words)).toEqual([DNAT_WORDS]);
});

test("a connection is counted once though both of its ends are seen, and knows its server", () => {
  const { connections } = mapOf(street());
  expect(
    connections.map(({ client, server, what, count }) => [client, server, what, count])
  ).toEqual([
    ["asker", "web", "tcp 80", 1],
    ["web", "world", "tcp 203.0.113.9 443", 1],
  ]);
});

test("colours belong to names, whatever the order", () => {
  const frame = street();
  const turned = { ...frame, namespaces: [...frame.namespaces].reverse() };
  expect(mapOf(turned).colors).toEqual(mapOf(frame).colors);
});

test("counters change no structure, addresses do", () => {
  const frame = street();
  const counted = apply(frame, {
    kind: "delta",
    view: "network",
    set: { time_s: 1002 },
    patch: [
      [["links", 2, "received_bytes"], 99],
      [["networks", 0, "rules", 0, "packets"], 6],
    ],
  }) as NetworkFrame;
  expect(counted.links[2]?.received_bytes).toBe(99);
  expect(frame.links[2]?.received_bytes).toBe(0);
  expect(counted.links[3]).toBe(frame.links[3]);
  expect(structureOf(counted)).toBe(structureOf(frame));
  const moved = { ...frame, links: [link("web", "eth0", { addresses: ["10.0.0.9/8"] })] };
  expect(structureOf(moved)).not.toBe(structureOf(frame));
});

test("wires go across between columns, along the edge in one column", () => {
  const box = (left: number, top: number): Parameters<typeof wire>[0] => {
    return { left, right: left + 100, top, bottom: top + 20 };
  };
  expect(wire(box(0, 0), box(200, 50), 0)).toBe("M100 10C150 10 150 60 200 60");
  expect(wire(box(200, 0), box(0, 50), 0)).toBe("M200 10C150 10 150 60 100 60");
  expect(wire(box(40, 0), box(40, 50), 1)).toMatch(/^M40 10H32Q26 10 26 16V54Q26 60 32 60H40$/);
  expect(arc(box(40, 0), box(40, 50), 0)).toMatch(/^M140 14H141Q147 14/);
});

test("each namespace is a card, and links, ports and packets are said", () => {
  host.show("network", street());
  expect(all(".wd-card .wd-end").map((e) => e.textContent)).toEqual([
    "host",
    "asker",
    "web",
    "main",
  ]);
  expect(one('[data-plug="host/veth-web"]').textContent).toContain("veth-web@if2");
  expect(one('[data-plug="web/eth0"]').textContent).toContain("eth0@if1210.213.7.2/24");
  expect(one(".wd-port").textContent).toBe("*:8080 → web 80/tcp5 packets");
  expect(one('.wd-card[data-space="main"]').textContent).toContain("this container");
  expect(one('.wd-card[data-space="main"]').textContent).toContain("Loopback only");
});

test("no network at all is said, not blank", () => {
  const alone = { networks: [], namespaces: [space("host"), space("main")], links: [] };
  host.show("network", street(alone));
  expect(one(".wd-host-card").textContent).toContain("No network is up");
});

test("a user's bridges are not said to be the host's", () => {
  host.show("network", street({ is_on_host: false }));
  expect(one(".wd-role").textContent).toContain("a network namespace of your own");
});

test("wires, ports and connections are edges with a legend that can switch them off", () => {
  host.show("network", street());
  const edges = (kind: string): number => all(`.wd-edge-${kind}`).length;
  expect([edges("wire"), edges("port"), edges("connection")]).toEqual([2, 1, 1]);
  one('.wd-chip[data-edges="connections"]').click();
  expect([edges("wire"), edges("port"), edges("connection")]).toEqual([2, 1, 0]);
  expect(one(".wd-edge-wire title").textContent).toBe("veth-asker@if2 ↔ eth0@if14");
});

test("two names that are chosen ask for a way, which is drawn and said to be computed", () => {
  host.show("network", street());
  one('[data-end="asker"]').click();
  expect(host.asked("way")).toEqual([]);
  one('[data-end="web"]').click();
  const asked = { kind: "way", source: "asker", destination: "web", port: 80, protocol: "tcp" };
  expect(host.asked("way")).toEqual([asked]);
  host.say(WAY);
  expect(one(".wd-way").textContent).toContain("computed, not traced");
  expect(one(".wd-verdict-line").textContent).toContain("arrives");
  expect(all(".wd-hop")).toHaveLength(4);
  expect(all(".wd-hop-rule").map((e) => e.textContent)).toEqual([DNAT_WORDS]);
  expect(all(".wd-edge-wire.wd-on-way")).toHaveLength(2);
  expect(one('[data-plug="web/eth0"]').dataset.steps).toBe("4");
  expect(one('[data-plug="network lab"]').dataset.steps).toBe("3");
});

test("a way is asked anew when the networks have changed, not when packets were counted", () => {
  host.show("network", street());
  one('[data-end="asker"]').click();
  one('[data-end="web"]').click();
  host.say(WAY);
  const patch: [(string | number)[], unknown][] = [[["networks", 0, "rules", 0, "packets"], 6]];
  host.say({ kind: "delta", view: "network", set: { time_s: 1002 }, patch });
  expect(host.asked("way")).toHaveLength(1);
  expect(one(".wd-port").textContent).toContain("6 packets");
  host.say({ kind: "delta", view: "network", set: { networks: [] } });
  expect(host.asked("way")).toHaveLength(2);
});

test("a published port shows its rule and the way from the world", () => {
  host.show("network", street());
  one(".wd-port").click();
  expect(one(".wd-detail").textContent).toContain(DNAT_WORDS);
  expect(one(".wd-detail").textContent).toContain("-A PREROUTING");
  expect(host.asked("way")).toMatchObject([
    { source: "world", destination: "192.0.2.7", port: 8080 },
  ]);
});

test("names of containers and links are text, never markup", () => {
  const evil = street();
  host.show("network", {
    ...evil,
    namespaces: [...evil.namespaces, space(MARKUP, { residents: [MARKUP] })],
    links: [...evil.links, link(MARKUP, MARKUP, { addresses: [MARKUP] })],
    unreadable: [MARKUP],
  });
  expect(all("img")).toHaveLength(0);
  expect(all(".wd-end").map((e) => e.textContent)).toContain(MARKUP);
});

test("ten thousand rules, links and containers are counted, not all drawn", () => {
  const many = Array.from({ length: 10_000 }, (_, at) => at);
  const rules = many.map((handle) => rule({ handle }));
  host.show(
    "network",
    street({
      networks: [lab({ rules, words: many.map(String), iptables: many.map(() => "") })],
      namespaces: [space("host"), ...many.slice(0, 500).map((at) => space(`c${at}`))],
      links: many.map((at) => link("c0", `l${at}`)),
    })
  );
  one(".wd-rules summary").click();
  (one(".wd-rules details") as HTMLDetailsElement).open = true;
  one(".wd-rules details").dispatchEvent(new Event("toggle"));
  expect(all(".wd-rules tbody tr")).toHaveLength(300);
  expect(one(".wd-rules .wd-more").textContent).toBe("… and 9700 more");
  expect(all(".wd-card")).toHaveLength(61);
  expect(all('.wd-card[data-space="c0"] .wd-plug')).toHaveLength(24);
});
