/** A packet's way: who to ask about, and the steps that the host has computed. */

import type { Channel, Hop, WayMessage } from "./channel.js";
import { fill, h, setText } from "./dom.js";
import { bare, HOST, WORLD, type NetworkMap, type Publication } from "./network-map.js";
import { listeningPorts, spaceStyle } from "./network-cards.js";
import { translated } from "./translation.js";
import { networkWords as words } from "./words.js";

const USUAL_PORT = 80;
let numbered = 0;

export class Way {
  readonly element: HTMLElement;
  /** The steps that are shown. */
  hops: readonly Hop[] = [];
  private readonly from = h("select", { class: "wd-field", aria: { label: words.from } });
  private readonly places = h("datalist", { attributes: { id: `wd-places-${(numbered += 1)}` } });
  private readonly to = h("input", {
    class: "wd-field wd-to",
    aria: { label: words.to },
    attributes: { list: this.places.id, size: "14", spellcheck: "false" },
  });
  private readonly port = h("input", {
    class: "wd-field wd-port-field",
    aria: { label: words.toPort },
    attributes: { type: "number", min: "1", max: "65535", value: String(USUAL_PORT) },
  });
  private readonly protocol = h(
    "select",
    { class: "wd-field", aria: { label: words.protocol } },
    ...["tcp", "udp"].map((name) => h("option", { attributes: { value: name } }, name))
  );
  private readonly clearing = h(
    "button",
    { class: "wd-chip", attributes: { type: "button" }, on: { click: () => this.clear() } },
    words.clear
  );
  private readonly hint = h("p", { class: "wd-more" }, words.choose);
  private readonly verdict = h("p", { class: "wd-verdict-line", aria: { live: "polite" } });
  private readonly steps = h("ol", { class: "wd-hops" });
  private map: NetworkMap | null = null;
  private asked: WayMessage | null = null;
  private ends: string[] = [];

  constructor(
    private readonly channel: Channel,
    private readonly changed: () => void
  ) {
    const form = h(
      "form",
      {
        class: "wd-way-form",
        on: {
          submit: (event) => {
            event.preventDefault();
            this.ask();
          },
          keydown: (event) => event.stopPropagation(),
        },
      },
      h("label", {}, words.from, this.from),
      h("label", {}, words.to, this.to),
      this.places,
      h("label", {}, words.toPort, this.port),
      this.protocol,
      h("button", { class: "wd-chip wd-ask", attributes: { type: "submit" } }, words.compute),
      this.clearing
    );
    this.element = h(
      "section",
      { class: "wd-way", aria: { label: words.way } },
      h(
        "h4",
        {},
        words.way,
        h("span", { class: "wd-badge wd-computed", title: words.computedHint }, words.computed)
      ),
      form,
      this.hint,
      this.verdict,
      this.steps
    );
    this.showSteps();
  }

  /** Offers who is there now. */
  offer(map: NetworkMap): void {
    const names = map.containers.map((space) => space.name);
    const known = [...this.from.options].map((option) => option.value);
    const offered = [...names, HOST, WORLD];
    if (offered.join("\n") !== known.join("\n")) {
      const chosen = this.from.value;
      fill(this.from, ...offered.map((name) => h("option", { attributes: { value: name } }, name)));
      this.from.value = offered.includes(chosen) ? chosen : (offered[0] ?? HOST);
    }
    fill(this.places, ...names.map((name) => h("option", { attributes: { value: name } })));
    this.map = map;
  }

  /** A name was chosen in the picture: the first is where it comes from, the second where to. */
  end(space: string): void {
    if (this.ends.length !== 1) {
      this.clear();
      this.ends = [space];
      this.from.value = space;
      this.changed();
      return;
    }
    this.ends.push(space);
    this.to.value = space === HOST ? hostAddress(this.map) : space;
    this.port.value = String(usualPort(this.map, space));
    this.ask();
  }

  /** From the world to a published port. */
  publication(one: Publication): void {
    this.clear();
    this.ends = [WORLD, one.space];
    this.from.value = WORLD;
    this.to.value = one.port.host_ip || hostAddress(this.map);
    this.port.value = String(one.port.host_port);
    this.protocol.value = one.port.protocol;
    this.ask();
  }

  isEnd(space: string): boolean {
    return this.ends.includes(space);
  }

  /** The same once more: what is there has changed. */
  again(): void {
    if (this.asked !== null) {
      const { source, destination, port, protocol } = this.asked;
      this.channel.send({ kind: "way", source, destination, port, protocol });
    }
  }

  hear(message: WayMessage): void {
    this.asked = message;
    this.hops = message.hops;
    this.showSteps();
    this.changed();
  }

  private ask(): void {
    const destination = this.to.value.trim();
    const port = Number(this.port.value);
    if (destination === "" || !Number.isInteger(port)) return;
    if (this.ends.length === 0) this.ends = [this.from.value, destination];
    const { value: source } = this.from;
    this.channel.send({ kind: "way", source, destination, port, protocol: this.protocol.value });
    setText(this.hint, words.asking);
    this.changed();
  }

  private clear(): void {
    this.ends = [];
    this.asked = null;
    this.hops = [];
    setText(this.hint, words.choose);
    this.showSteps();
    this.changed();
  }

  private showSteps(): void {
    const { asked, map } = this;
    this.hint.hidden = asked !== null;
    this.verdict.hidden = asked === null;
    this.clearing.hidden = asked === null;
    this.steps.hidden = asked === null;
    if (asked === null) {
      fill(this.steps);
      return;
    }
    const { source, destination, port, protocol, arrives, ends, hops } = asked;
    this.verdict.classList.toggle("wd-arrives", arrives);
    fill(
      this.verdict,
      h("strong", {}, arrives ? `✓ ${words.arrives}` : `✗ ${words.lost}`),
      ` · ${source} → ${destination}:${port}/${protocol} · ${translated(ends.text, ends.values)}`
    );
    fill(this.steps, ...hops.map((hop) => step(hop, map)));
  }
}

function step(hop: Hop, map: NetworkMap | null): HTMLElement {
  return h(
    "li",
    { class: "wd-hop", style: map === null ? {} : spaceStyle(map, hop.namespace) },
    h("span", { class: "wd-hop-where" }, hop.namespace),
    h("code", { class: "wd-hop-at" }, hop.at),
    h("span", { class: "wd-hop-what" }, translated(hop.what.text, hop.what.values)),
    hop.rule === "" ? null : h("code", { class: "wd-hop-rule" }, hop.rule)
  );
}

/** An address of the host's by which others reach it. */
function hostAddress(map: NetworkMap | null): string {
  const out = map?.host.row.routes.find(([, route]) => route.to === "default")?.[0];
  const links = map?.host.links ?? [];
  const addresses = links.filter((link) => link.name === out).flatMap((link) => link.addresses);
  const others = links.filter((link) => link.kind === "bridge").flatMap((link) => link.addresses);
  return bare([...addresses, ...others].find((one) => !one.startsWith("fe80:")) ?? "");
}

/** The port that somebody would ask for: one that the container listens on. */
function usualPort(map: NetworkMap | null, space: string): number {
  const found = map?.containers.find((one) => one.name === space);
  const listening = listeningPorts(found?.row.sockets ?? []).find((one) => one.startsWith("tcp "));
  const published = found?.row.ports[0]?.container_port;
  return listening !== undefined ? Number(listening.slice(4)) : (published ?? USUAL_PORT);
}
