"""``-p``: ``[[IP:][HOSTPORT]:]PORT[/PROTOCOL]``, with ranges, as docker reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from wardian.errors import InvalidInput
from wardian.network.definition import Port, Protocol

MAX_PORTS = 1024  # a rule and a socket each; docker warns of as many


def parse(word: str) -> tuple[Port, ...]:
    """The ports that one word publishes. Raises InvalidInput."""
    address, slash, kind = word.partition("/")
    protocol = _protocol(kind, word) if slash else Protocol.TCP
    host_ip, host, container = _parts(address, word)
    first, last = _range(container, word)
    if not host:
        return tuple(
            Port(container_port=port, protocol=protocol, host_ip=host_ip)
            for port in range(first, last + 1)
        )
    host_first, host_last = _range(host, word, least=0)
    if host_last - host_first == last - first:
        return tuple(
            Port(container_port=port, protocol=protocol, host_ip=host_ip, host_port=host_port)
            for port, host_port in zip(
                range(first, last + 1), range(host_first, host_last + 1), strict=True
            )
        )
    if first != last:
        raise InvalidInput(
            f"the ranges of {word[:60]!r} are not equally long", hint="like -p 8000-8003:80-83"
        )
    return (
        Port(
            container_port=first,
            protocol=protocol,
            host_ip=host_ip,
            host_port=host_first,
            host_port_end=host_last,
        ),
    )


def parse_exposed(words: Sequence[str]) -> Iterator[Port]:
    """``--expose`` and an image's ExposedPorts: ports of the container alone."""
    for word in words:
        port, slash, kind = word.partition("/")
        first, last = _range(port, word)
        protocol = _protocol(kind, word) if slash else Protocol.TCP
        yield from (Port(container_port=one, protocol=protocol) for one in range(first, last + 1))


def check(ports: Sequence[Port]) -> tuple[Port, ...]:
    """The ports without repetition; InvalidInput for too many."""
    if len(ports) > MAX_PORTS:
        raise InvalidInput(
            f"{len(ports)} published ports are too many", hint=f"publish at most {MAX_PORTS}"
        )
    return tuple(dict.fromkeys(ports))


def _parts(address: str, word: str) -> tuple[str, str, str]:
    """Host address, host port(s), container port(s)."""
    host_ip = ""
    if address.startswith("["):  # an IPv6 address
        host_ip, bracket, address = address[1:].partition("]:")
        if not bracket or address.count(":") != 1:
            raise _wrong(word)
    elif address.count(":") == 2:
        host_ip, _, address = address.partition(":")
    host, _, container = address.rpartition(":")
    if ":" in host:
        raise _wrong(word)
    if host_ip:
        try:
            host_ip = str(ip_address(host_ip))
        except ValueError:
            raise InvalidInput(f"not an address of the host: {host_ip[:60]!r}") from None
    return host_ip, host, container


def _range(word: str, whole: str, least: int = 1) -> tuple[int, int]:
    first, dash, last = word.partition("-")
    try:
        low = _number(first)
        high = _number(last) if dash else low
    except ValueError:
        raise _wrong(whole) from None
    if not least <= low <= high <= 65535:
        raise InvalidInput(
            f"not a port or a range of ports: {word[:40]!r}", hint="ports are 1 to 65535"
        )
    return low, high


def _number(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= 5):
        raise ValueError(word)
    return int(word)


def _protocol(word: str, whole: str) -> Protocol:
    try:
        return Protocol(word.lower())
    except ValueError:
        raise InvalidInput(
            f"unknown protocol {word[:20]!r} in {whole[:60]!r}", hint="use tcp or udp"
        ) from None


def _wrong(word: str) -> InvalidInput:
    return InvalidInput(
        f"not a port to publish: {word[:80]!r}", hint="write [[IP:]HOSTPORT:]PORT[/tcp|udp]"
    )
