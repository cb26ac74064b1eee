"""``%net``: the container's networks, live, and the way of a packet through them."""

from __future__ import annotations

import argparse
import asyncio
from html import escape
from typing import TYPE_CHECKING

from wardian.errors import InvalidInput
from wardian.jupyter import wording
from wardian.jupyter.magics.base import Call, Magic, Parser
from wardian.jupyter.magics.view import show_made
from wardian.observe.network_frame import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wardian.observe.network_frame import LinkRow, NetworkFrame
    from wardian.observe.packet import Way

Rows = list[tuple[str, ...]]
Table = tuple[str, Rows]


class Net(Magic):
    """Links, pairs, routes, rules and ports, and what a packet meets."""

    name = "net"
    needs_container = True
    view = "network"
    summary = "Show networks: links and their pairs, routes, rules, ports; or a packet's way."
    example = "  %net\n  %net --now\n  %net --way web db:5432\n  %net --way world 192.0.2.1:8080"

    def configure(self, parser: Parser) -> None:
        parser.add_argument("--text", action="store_true", help="text only")
        parser.add_argument("--now", action="store_true", help="with counters and sockets")
        parser.add_argument(
            "--way",
            nargs=2,
            metavar=("FROM", "TO:PORT[/udp]"),
            help="compute a packet's way: containers, host, world or an address",
        )

    async def run(self, call: Call, options: argparse.Namespace) -> None:
        from wardian.observe.surroundings import Surroundings, observe
        from wardian.widgets.still import still

        await call.workspace.launcher()
        container = call.workspace.container
        frame = await asyncio.to_thread(lambda: observe(Surroundings.of(container)))
        tables = list(
            _way(frame, *options.way) if options.way else _networks(frame, is_now=options.now)
        )
        text = "\n\n".join(f"{head}\n{wording.table(rows)}" for head, rows in tables)
        forms = {"text/plain": text, "text/html": "".join(map(_html, tables))}
        if options.text:
            call.print(text)
        elif options.now or options.way:
            call.display(dict(forms))
        else:
            forms["text/html"] = still(frame) + forms["text/html"]
            refresh_s = call.workspace.settings.refresh_s
            show_made(
                call,
                lambda made: made.network(container, frame, period_s=refresh_s),
                forms,
                forms,
            )


def _networks(frame: NetworkFrame, *, is_now: bool) -> Iterator[Table]:
    rows: Rows = [("NAME", "BRIDGE", "SUBNETS")]
    rows += [(one.name, one.bridge, " ".join(one.subnets)) for one in frame.networks]
    yield "networks", rows
    heads = ("WHERE", "LINK", "PAIR", "IN", "ADDRESSES", *(("RECEIVED", "SENT") if is_now else ()))
    bridges = {one.bridge for one in frame.networks}
    shown = [
        link for link in frame.links if link.namespace != HOST or link.name in bridges or link.peer
    ]
    yield "links", [heads, *(_link(frame, link, is_now=is_now) for link in shown)]
    rows = [("WHERE", "TO", "VIA", "LINK")]
    for space in frame.namespaces[1:]:
        routes = [(link, one) for link, one in space.routes if is_now or not _is_late(one.to)]
        rows += [(space.name, one.to, one.via, link) for link, one in routes]
    yield "routes", rows
    yield "ports", [("CONTAINER", "HOST", "TO"), *_ports(frame)]
    yield "rules", list(_rules(frame, is_now=is_now))
    if is_now:
        yield from _moving(frame)
    if frame.unreadable:
        yield "not to be looked into", [("CONTAINER",), *((one,) for one in frame.unreadable)]


def _link(frame: NetworkFrame, link: LinkRow, *, is_now: bool) -> tuple[str, ...]:
    peer = frame.link(link.peer)
    pair = f"↔ {peer.namespace} {peer.name}" if peer else ""
    sizes = (wording.size(link.received_bytes), wording.size(link.sent_bytes)) if is_now else ()
    bridge = link.bridge.partition("/")[2]
    addresses = " ".join(word for word in link.addresses if is_now or not _is_late(word))
    return (link.namespace, link.name, pair, bridge, addresses, *sizes)


def _is_late(word: str) -> bool:
    """An address that the kernel makes itself, up to a second after the link is up (RFC 4862)."""
    return word.startswith("fe80:")


def _ports(frame: NetworkFrame) -> Iterator[tuple[str, ...]]:
    for space in frame.namespaces:
        for port in space.ports:
            yield space.name, f"{port.host_ip or '*'}:{port.host_port}", port.name


def _rules(frame: NetworkFrame, *, is_now: bool) -> Iterator[tuple[str, ...]]:
    yield ("NETWORK", "CHAIN", *(("PACKETS",) if is_now else ()), "RULE")
    for network in frame.networks:
        for rule in network.rules:
            counted = "" if rule.packets is None else str(rule.packets)
            chain = rule.chain if rule.family == "inet" else f"{rule.family} {rule.chain}"
            yield (network.name, chain, *((counted,) if is_now else ()), rule.plain_words)


def _moving(frame: NetworkFrame) -> Iterator[Table]:
    rows: Rows = [("CONTAINER", "PROTOCOL", "LOCAL", "REMOTE", "STATE")]
    for space in frame.namespaces:
        rows += [(space.name, s.protocol, s.local, s.remote, s.state) for s in space.sockets]
    yield "sockets", rows
    rows = [("WHERE", "ADDRESS", "MAC", "LINK", "STATE")]
    for space in frame.namespaces:
        rows += [(space.name, n.address, n.mac, link, n.state) for link, n in space.neighbours]
    yield "neighbours", rows


def _way(frame: NetworkFrame, source: str, target: str) -> Iterator[Table]:
    from wardian.observe.packet import way

    place, _, word = target.rpartition(":")
    port, _, protocol = word.partition("/")
    if not place or not port.isdecimal() or protocol not in ("", "tcp", "udp"):
        raise InvalidInput(f"not a destination: {target[:60]}", hint="write it like web:80/tcp")
    found: Way = way(frame, source, place.strip("[]"), int(port), protocol=protocol or "tcp")
    verdict = "arrives" if found.arrives else "does not arrive"
    heads = ("", "WHERE", "AT", "WHAT", "RULE")
    rows: Rows = [
        (str(number), hop.namespace, hop.at, str(hop.what), hop.rule)
        for number, hop in enumerate(found.hops, 1)
    ]
    yield f"computed, not traced: {verdict}: {found.ends}", [heads, *rows]


def _html(table: Table) -> str:
    head, rows = table

    def line(cells: Sequence[str], tag: str) -> str:
        begin = f'<{tag} style="text-align: left">'  # JupyterLab would put all to the right
        return "<tr>" + "".join(f"{begin}{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line(row, "td") for row in rows[1:])
    return (
        f"<table><caption>{escape(head)}</caption>"
        f"<thead>{line(rows[0], 'th')}</thead><tbody>{body}</tbody></table>"
    )
