"""The names of a network: a small DNS server on the gateway, which forwards what it knows not.

Questions come from containers and are hostile: dnspython reads them, nothing of them is believed
but who asks, and that the bridge's rules have made sure of.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import cast

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.reversename
import dns.rrset
import msgspec

from wardian.network.definition import Dns
from wardian.network.ground import Ground

_TTL_S = 600  # docker's
_TIMEOUT_S = 5.0
_MAX_WAITING = 256
_TCP_IDLE_S = 10.0
_MAX_UDP_BYTES = 1232  # DNS flag day 2020
RESOLV_CONF = Path("/etc/resolv.conf")


class Names(msgspec.Struct, frozen=True):
    """What one asker may know: addresses by name, names by address, and whom to ask for more.

    Names are in lower case, without the last dot. No servers: it has no way out.
    """

    addresses: dict[str, tuple[str, ...]]
    names: dict[str, str]
    servers: tuple[str, ...]


Lookup = Callable[[str], Names | None]


class Resolver(asyncio.DatagramProtocol):
    """Serves one address; ``lookup`` gives what the asker at an address may know."""

    def __init__(self, ground: Ground, lookup: Lookup) -> None:
        self._ground = ground
        self._lookup = lookup
        self._transport: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, address: str) -> None:
        """Listen on port 53 of an address of ours. Raises OSError."""
        family = socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6
        udp = self._ground.open_socket(family, socket.SOCK_DGRAM)
        tcp = self._ground.open_socket(family, socket.SOCK_STREAM)
        try:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            for sock in (udp, tcp):
                sock.bind((address, 53))
            tcp.listen(64)
        except OSError:
            udp.close()
            tcp.close()
            raise
        self._begin(self._serve(udp, tcp))

    def close(self) -> None:
        """Answer no more."""
        for task in list(self._tasks):
            task.cancel()
        if self._transport is not None:
            self._transport.close()
        if self._server is not None:
            self._server.close()

    async def _serve(self, udp: socket.socket, tcp: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, sock=udp)
        self._server = await asyncio.start_server(self._accepted, sock=tcp)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if len(self._tasks) < _MAX_WAITING:
            self._begin(self._reply(data, addr))

    async def _reply(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = await self.answer(data, addr[0], _MAX_UDP_BYTES)
        if answer and self._transport is not None:
            self._transport.sendto(answer, addr)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asker = writer.get_extra_info("peername")[0]
        with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            if len(self._tasks) < _MAX_WAITING:
                async with asyncio.timeout(_TCP_IDLE_S):
                    (length,) = struct.unpack("!H", await reader.readexactly(2))
                    answer = await self.answer(await reader.readexactly(length), asker, 65535)
                    writer.write(struct.pack("!H", len(answer)) + answer)
                    await writer.drain()
        writer.close()

    async def answer(self, data: bytes, asker: str, most_bytes: int) -> bytes:
        """The answer to one question; nothing where there is none to give."""
        try:
            question = dns.message.from_wire(data, ignore_trailing=True)
            if question.flags & dns.flags.QR or len(question.question) != 1:
                return b""
            known = self._lookup(asker.partition("%")[0])
            if known is None:
                return b""
            reply = answer_from(question, known) or await _forward(question, known)
            return bytes(reply.to_wire(max_size=most_bytes))
        except dns.exception.TooBig:
            return _truncated(question)
        except (dns.exception.DNSException, ValueError, OSError):
            return b""


def answer_from(question: dns.message.Message, known: Names) -> dns.message.Message | None:
    """The answer from the names of the network; None if it is not about one of them."""
    asked = question.question[0]
    name = asked.name.to_text(omit_final_dot=True).lower()
    reply = dns.message.make_response(question, recursion_available=True)
    if asked.rdtype == dns.rdatatype.PTR:
        with suppress(dns.exception.DNSException):
            if found := known.names.get(dns.reversename.to_address(asked.name)):
                reply.answer.append(
                    dns.rrset.from_text(asked.name, _TTL_S, "IN", "PTR", f"{found}.")
                )
                return reply
        return None
    addresses = known.addresses.get(name)
    if addresses is None:
        return None
    version = {dns.rdatatype.A: 4, dns.rdatatype.AAAA: 6}.get(asked.rdtype)
    fitting = [one for one in addresses if ip_address(one).version == version]
    if fitting:  # a name without an address of this kind has an empty answer, not NXDOMAIN
        kind = "A" if version == 4 else "AAAA"
        reply.answer.append(dns.rrset.from_text(asked.name, _TTL_S, "IN", kind, *fitting))
    return reply


async def _forward(question: dns.message.Message, known: Names) -> dns.message.Message:
    own_id = question.id
    for server in known.servers:
        with suppress(dns.exception.DNSException, OSError, EOFError):
            reply, _ = await dns.asyncquery.udp_with_fallback(question, server, timeout=_TIMEOUT_S)
            reply.id = own_id
            return reply
    reply = dns.message.make_response(question, recursion_available=bool(known.servers))
    reply.set_rcode(dns.rcode.SERVFAIL if known.servers else dns.rcode.REFUSED)
    return reply


def _truncated(question: dns.message.Message) -> bytes:
    reply = dns.message.make_response(question, recursion_available=True)
    reply.flags |= dns.flags.TC
    return bytes(reply.to_wire())


def host_servers(text: str | None = None) -> tuple[str, ...]:
    """The host's own name servers: resolv.conf(5); a local stub is one that the host can ask."""
    return tuple(_words(text, "nameserver"))


def resolv_conf(servers: Sequence[str], dns_words: Dns, text: str | None = None) -> str:
    """The container's resolv.conf: these servers, the search list and options as asked or ours."""
    search = dns_words.search or tuple(_words(text, "search"))
    options = dns_words.options or tuple(_words(text, "options"))
    lines = [f"nameserver {server}" for server in servers]
    if search and search != (".",):
        lines.append("search " + " ".join(search))
    if options:
        lines.append("options " + " ".join(options))
    return "".join(f"{line}\n" for line in lines)


def _words(text: str | None, key: str) -> list[str]:
    if text is None:
        try:
            text = RESOLV_CONF.read_text(errors="replace")
        except OSError:
            return []
    found = [line.split()[1:] for line in text.splitlines() if line.split()[:1] == [key]]
    if key == "nameserver":
        return [words[0] for words in found if words]
    return found[-1] if found else []
