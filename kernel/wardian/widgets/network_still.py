"""The static form of the network view: a drawing of namespaces and the wires between them.

Only what is the same on every run is drawn: no counters, no link numbers, no names made of ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

import msgspec

from wardian.network.definition import Port
from wardian.observe.network_frame import HOST, LinkRow, NetworkFrame

_LINE, _HEAD, _GAP = 18, 26, 14
_HOST_WIDTH, _BETWEEN, _WIDTH = 290, 130, 740
_MOST_CARDS, _MOST_CHARS = 40, 44
# Of a lightness that can be read on white and on black.
_COLORS = ("#4a84c8", "#2a9d8f", "#9179d0", "#c8649f", "#869a37", "#71879c")


class _Line(msgspec.Struct, frozen=True):
    """A line of a card: what it says, and what wires know it by."""

    text: str
    key: str = ""


class _Card(msgspec.Struct, frozen=True):
    """A namespace."""

    title: str
    color: str
    lines: tuple[_Line, ...]

    @property
    def height(self) -> int:
        return _HEAD + _LINE * len(self.lines) + 8


def drawing(frame: NetworkFrame) -> str:
    """SVG of a frame."""
    names = [space.name for space in frame.namespaces if space.name != HOST]
    colors = {name: _COLORS[number % len(_COLORS)] for number, name in enumerate(names)}
    cards = [_space(frame, name, colors[name]) for name in names[:_MOST_CARDS]]
    host = _Card(HOST, "currentColor", tuple(_host(frame)))
    places: dict[str, tuple[int, int]] = {}
    parts = [*_drawn(host, 0, 1, _HOST_WIDTH, places, _HOST_WIDTH)]
    y, x = 1, _HOST_WIDTH + _BETWEEN
    for card in cards:
        parts += _drawn(card, x, y, _WIDTH - x - 1, places, x)
        y += card.height + _GAP
    wires = "".join(_wires(frame, colors, places))
    height = max(y - _GAP, host.height) + 2
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'style="max-width:{_WIDTH}px;width:100%" font-family="sans-serif" font-size="12" '
        f'role="img" aria-label="network namespaces">{wires}{"".join(parts)}</svg>'
    )


def card_lines(frame: NetworkFrame) -> Iterator[str]:
    """The same without the wires, as lines of text."""
    names = [space.name for space in frame.namespaces if space.name != HOST]
    yield HOST  # a user's bridges', too: what is saved is the same whoever runs it
    yield from (f"  {line.text}" for line in _host(frame))
    for name in names[:_MOST_CARDS]:
        card = _space(frame, name, "")
        yield card.title
        yield from (f"  {line.text}" for line in card.lines)


def _host(frame: NetworkFrame) -> Iterator[_Line]:
    """Each network with the ends of pairs that hang on its bridge, then what is published."""
    for network in frame.networks:
        yield _Line(f"{network.name}  {' '.join(network.subnets)}")
        for link in _hanging(frame, network.bridge):
            yield _Line(f"    {link.name}", link.key)
    for space in frame.namespaces:
        for port in space.ports:
            where = f"{port.host_ip or '*'}:{port.host_port}"
            yield _Line(f"{where} → {space.name} {port.name}", _published(space.name, port))
    if not frame.networks:
        yield _Line("no network is up")


def _hanging(frame: NetworkFrame, bridge: str) -> Iterator[LinkRow]:
    for link in frame.links:
        if link.namespace == HOST and link.peer and link.bridge == f"{HOST}/{bridge}":
            yield link


def _space(frame: NetworkFrame, name: str, color: str) -> _Card:
    lines = [
        _Line(f"{link.name}  {' '.join(_told(link.addresses))}", link.key)
        for link in frame.links
        if link.namespace == name
    ]
    if all(link.name == "lo" for link in frame.links if link.namespace == name):
        lines.append(_Line("loopback only: nothing leads out"))
    return _Card(name, color, tuple(lines))


def _told(addresses: Sequence[str]) -> list[str]:
    """But those that follow from a random MAC address."""
    return [one for one in addresses if not one.startswith("fe80:")]


def _published(name: str, port: Port) -> str:
    return f"{name}:{port.name}:{port.host_port}"


def _drawn(
    card: _Card, x: int, y: int, width: int, places: dict[str, tuple[int, int]], plug_x: int
) -> Iterator[str]:
    """A card, and in ``places`` where wires reach its lines."""
    yield (
        f'<rect x="{x + 1}" y="{y}" width="{width - 2}" height="{card.height}" rx="7" '
        f'fill="{card.color}" fill-opacity=".07" stroke="{card.color}" stroke-opacity=".6"/>'
        f'<text x="{x + 12}" y="{y + 18}" font-weight="bold" fill="{card.color}">'
        f"{_text(card.title)}</text>"
    )
    places[card.title] = (plug_x, y + 14)
    for number, line in enumerate(card.lines):
        middle = y + _HEAD + _LINE * number + _LINE // 2
        if line.key:
            places[line.key] = (plug_x, middle)
        yield (
            f'<text x="{x + 12}" y="{middle + 4}" font-family="monospace" font-size="11" '
            f'xml:space="preserve" fill="currentColor">{_text(line.text)}</text>'
        )


def _wires(
    frame: NetworkFrame, colors: dict[str, str], places: dict[str, tuple[int, int]]
) -> Iterator[str]:
    for link in frame.links:
        if link.namespace != HOST and link.key in places and link.peer in places:
            yield _wire(places[link.peer], places[link.key], colors[link.namespace], "2.2")
    for space in frame.namespaces:
        for port in space.ports:
            here, there = places.get(_published(space.name, port)), places.get(space.name)
            if here and there:
                yield _wire(here, there, colors[space.name], '1.4" stroke-dasharray="5 4')


def _wire(here: tuple[int, int], there: tuple[int, int], color: str, width: str) -> str:
    (x1, y1), (x2, y2), bend = here, there, _BETWEEN // 2
    return (
        f'<path d="M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}" fill="none" '
        f'stroke="{color}" stroke-width="{width}"/>'
    )


def _text(text: str) -> str:
    cut = text if len(text) <= _MOST_CHARS else f"{text[: _MOST_CHARS - 1]}…"
    return escape(cut)
