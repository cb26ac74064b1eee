"""Published ports in user space: for the host's loopback, which the kernel does not reroute.

The listening socket also reserves the port, so that two containers (or a program of the host's)
never have the same one.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from ipaddress import ip_address
from typing import cast

import msgspec
from msgspec.structs import replace

from wardian.errors import AlreadyExists, SetupError
from wardian.network.definition import Endpoint, Port, Protocol
from wardian.network.ground import Ground

_BACKLOG = 128
_CHUNK_BYTES = 1 << 16
_UDP_IDLE_S = 90.0
_MAX_UDP_FLOWS = 1024
_ATTEMPTS = 64


class _Target(msgspec.Struct, frozen=True):
    """A port of a container, and the ground from which it can be reached."""

    ground: Ground
    ip: str
    port: int

    @property
    def address(self) -> tuple[str, int]:
        """What connect(2) takes."""
        return self.ip, self.port

    def open_socket(self, kind: int) -> socket.socket:
        """A socket to connect."""
        return self.ground.open_socket(_family(self.ip), kind)


Opener = Callable[[int, int], socket.socket]  # of a socket that does not block


def open_on_host(family: int, kind: int) -> socket.socket:
    """A socket of the host, where ports are published as a rule."""
    return socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)


class Proxy:
    """One published port of one container."""

    def __init__(self, port: Port, sockets: list[socket.socket]) -> None:
        self.port = port
        self._sockets = sockets
        self._servers: list[asyncio.Server | asyncio.DatagramTransport] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    def reserve(cls, port: Port, open_socket: Opener = open_on_host) -> Proxy:
        """Bind the port, or one that is free of those it may be. Raises AlreadyExists."""
        last = max(port.host_port, port.host_port_end)
        choices = range(port.host_port, last + 1) if port.host_port else [0] * _ATTEMPTS
        for number in choices:
            try:
                chosen = replace(port, host_port=number, host_port_end=0)
                return cls._bind(chosen, open_socket)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise _cannot_bind(port, error) from error
        where = f"{port.host_ip or 'port '}{':' if port.host_ip else ''}{port.host_port}"
        end = f"-{last}" if last != port.host_port else ""
        raise AlreadyExists(
            f"cannot publish port {port.name}: {where}{end} is in use on the host",
            hint="choose another host port, or leave it out to get one that is free",
        )

    @classmethod
    def _bind(cls, port: Port, open_socket: Opener) -> Proxy:
        sockets: list[socket.socket] = []
        try:
            for host in [port.host_ip] if port.host_ip else _every_address():
                sockets.append(_socket(host, port, open_socket))
                port = replace(port, host_port=sockets[0].getsockname()[1])
        except OSError:
            for one in sockets:
                one.close()
            raise
        return cls(port, sockets)

    def serve(self, endpoint: Endpoint, ground: Ground) -> None:
        """Lead what comes to the container, from now on; it is reached from there."""
        target = _Target(ground, endpoint.ip or endpoint.ip6, self.port.container_port)
        for one in self._sockets:
            if self.port.protocol is Protocol.TCP:
                self._start(self._serve_tcp(one, target))
            else:
                self._start(self._serve_udp(one, target))

    def close(self) -> None:
        """Give the port back; what flows through it ends."""
        for task in self._tasks:
            task.cancel()
        for server in self._servers:
            server.close()
        for one in self._sockets:
            one.close()

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_tcp(self, listener: socket.socket, target: _Target) -> None:
        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task is not None:
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            with suppress(OSError, asyncio.CancelledError):
                await _join(reader, writer, target)
            writer.close()

        self._servers.append(await asyncio.start_server(accepted, sock=listener))

    async def _serve_udp(self, sock: socket.socket, target: _Target) -> None:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Flows(target), sock=sock
        )
        self._servers.append(transport)


class _Flows(asyncio.DatagramProtocol):
    """The host's side of a UDP port: a socket of its own for each client."""

    def __init__(self, target: _Target) -> None:
        self._target = target
        self._flows: dict[tuple[str, int], _Flow] = {}
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        flow = self._flows.get(addr)
        if flow is None:
            if len(self._flows) >= _MAX_UDP_FLOWS:
                return
            flow = self._flows[addr] = _Flow(self, addr)
            flow.open(self._target)
        flow.send(data)

    def forget(self, client: tuple[str, int]) -> None:
        """A flow has been silent for long."""
        self._flows.pop(client, None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's interface
        for flow in list(self._flows.values()):
            flow.close()


class _Flow(asyncio.DatagramProtocol):
    """The container's side of one client's datagrams."""

    def __init__(self, flows: _Flows, client: tuple[str, int]) -> None:
        self._flows = flows
        self._client = client
        self._transport: asyncio.DatagramTransport | None = None
        self._early: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(_UDP_IDLE_S, self.close)
        self._opening: asyncio.Task[object] | None = None

    def open(self, target: _Target) -> None:
        """Make the socket."""
        with suppress(OSError):  # there is no way to it now
            sock = target.open_socket(socket.SOCK_DGRAM)
            sock.connect(target.address)
            self._opening = self._loop.create_task(
                self._loop.create_datagram_endpoint(lambda: self, sock=sock)
            )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        for data in self._early:
            self._transport.sendto(data)
        self._early.clear()

    def send(self, data: bytes) -> None:
        """From the client to the container."""
        self._timer.cancel()
        self._timer = self._loop.call_later(_UDP_IDLE_S, self.close)
        if self._transport is not None:
            self._transport.sendto(data)
        elif len(self._early) < 16:
            self._early.append(data)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:  # noqa: ARG002
        if self._flows.transport is not None:
            self._flows.transport.sendto(data, self._client)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there (yet)."""

    def close(self) -> None:
        """End the flow."""
        self._timer.cancel()
        self._flows.forget(self._client)
        if self._opening is not None:
            self._opening.cancel()
        if self._transport is not None:
            self._transport.close()


async def _join(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: _Target
) -> None:
    """Both directions of one connection, each until its own end."""
    sock = target.open_socket(socket.SOCK_STREAM)
    try:
        await asyncio.get_running_loop().sock_connect(sock, target.address)
    except BaseException:
        sock.close()
        raise
    to_reader, to_writer = await asyncio.open_connection(sock=sock)
    try:
        await asyncio.gather(_pump(reader, to_writer), _pump(to_reader, writer))
    finally:
        to_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


def _every_address() -> Iterator[str]:
    yield "0.0.0.0"  # noqa: S104  # what `-p` without an address means, as docker's
    if socket.has_ipv6 and _has_ipv6():
        yield "::"


def _has_ipv6() -> bool:
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError:
        return False
    return True


def _socket(host: str, port: Port, open_socket: Opener) -> socket.socket:
    family = _family(host)
    kind = socket.SOCK_STREAM if port.protocol is Protocol.TCP else socket.SOCK_DGRAM
    sock = open_socket(family, kind)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port.host_port))
        if kind == socket.SOCK_STREAM:
            sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6


def _cannot_bind(port: Port, error: OSError) -> SetupError:
    hint = "is that an address of this host?"
    if error.errno == errno.EACCES:
        hint = "choose a higher port; as root: sysctl -w net.ipv4.ip_unprivileged_port_start=0"
    return SetupError(
        f"cannot publish port {port.name} at {port.host_ip or 'the host'}:{port.host_port}:"
        f" {error.strerror}",
        hint=hint,
    )
