"""Two containers and a stranger, by our own sockets and busybox: what any host must give.

`tests/vm` runs this on cgroup v2 and an older kernel, emulated: there a command takes seconds.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import dns.message
import pytest
from msgspec.structs import replace

from tests.linux.conftest import shell, wait_until
from wardian.linux import namespaces
from wardian.network.definition import Attachment, NetworkRequest, Port, Protocol
from wardian.runtime import messages as m
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.spec import ContainerSpec, ProcessSpec

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="bridge networks need root; run as root"),
    pytest.mark.xdist_group("networks"),  # who looks at the host's links wants no other's there
]
HOST_PORT = 8076
SLEEP = "exec sleep 100000"
SERVE = "mkdir /page; echo fern > /page/leaf; exec httpd -f -p 80 -h /page"
ASK = "GET /leaf HTTP/1.0\r\n\r\n"


@contextmanager
def inside(container: Container) -> Iterator[None]:
    """Sockets that are opened meanwhile belong to the container's network namespace."""
    fds = [
        os.open(f"/proc/{one}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        for one in (container.info.host_pid, "thread-self")
    ]
    try:
        namespaces.setns(fds[0], namespaces.CLONE_NEWNET)
        yield
    finally:
        namespaces.setns(fds[1], namespaces.CLONE_NEWNET)
        for fd in fds:
            os.close(fd)


def get(container: Container, host: str, patience_s: int = 20) -> str:
    """The page, asked for in a container; nothing if there is none."""
    said = shell(container, f"printf {ASK!r} | timeout {patience_s} nc {host} 80 2> /dev/null")[1]
    return said.rpartition("\n\n")[2]


def get_from_host(host: str) -> str:
    """The page, by way of the published port."""
    with socket.create_connection((host, HOST_PORT), timeout=10) as connection:
        connection.sendall(ASK.encode())
        with connection.makefile() as answer:
            return answer.read().rpartition("\n\n")[2]


def udp(version: int) -> socket.socket:
    """A socket for datagrams of that IP version."""
    found = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    found.settimeout(10)
    return found


def comes_back(asker: socket.socket, server: socket.socket, place: tuple[str, int]) -> bool:
    """Whether a datagram to a place reaches the server, and its answer the asker."""
    asker.sendto(b"fern", place)
    word, sender = server.recvfrom(64)
    server.sendto(word + b" leaf", sender)
    return asker.recv(64) == b"fern leaf"


def named(asker: socket.socket, name: str, kind: str, server: str) -> list[str]:
    """What the resolver of a network says to this socket."""
    asker.sendto(dns.message.make_query(name, kind).to_wire(), (server, 53))
    answer = dns.message.from_wire(asker.recv(4096))
    return [record.address for rrset in answer.answer for record in rrset]


def links() -> set[str]:
    """Those of the host."""
    return {name for _, name in socket.if_nameindex()}


def test_two_containers_talk_and_are_reached_and_a_stranger_hears_nothing(
    client: Client, spec: ContainerSpec
) -> None:

    def run(name: str, network: str, command: str, *ports: Port) -> Container:
        process = ProcessSpec(argv=("/bin/sh", "-c", command))
        attachments = (Attachment(network=network),)
        fields = {"name": name, "hostname": name, "attachments": attachments, "ports": ports}
        with open(os.devnull, "r+b") as null:
            fds = dict.fromkeys((0, 1, 2), null.fileno())
            return client.run(replace(spec, process=process, **fields), fds=fds)

    for request in (NetworkRequest(name="lab", ipv6=True), NetworkRequest(name="other")):
        client.call("create_network", m.CreateNetworkCall(request), m.NetworkInfo)
    tcp = Port(container_port=80, host_port=HOST_PORT)
    datagrams = Port(container_port=7, host_port=HOST_PORT, protocol=Protocol.UDP)
    web = run("web", "lab", SERVE, tcp, datagrams)
    asker, stranger = run("asker", "lab", SLEEP), run("stranger", "other", SLEEP)
    (place,) = web.info.endpoints

    # TCP: by name, by both addresses, through the published port, not from another network.
    wait_until(lambda: get(asker, "web") == "fern\n")
    assert get(asker, place.ip6) == "fern\n"
    for host in ("127.0.0.1", place.gateway, place.gateway6):
        assert get_from_host(host) == "fern\n", host
    for there in (place.ip, place.gateway):
        assert "fern" not in get(stranger, there, patience_s=1), there

    # UDP: the same.
    with ExitStack() as stack:
        with inside(web):
            servers = {version: stack.enter_context(udp(version)) for version in (4, 6)}
            servers[4].bind((place.ip, 7))
            servers[6].bind((place.ip6, 7))
        with inside(asker):
            askers = {version: stack.enter_context(udp(version)) for version in (4, 6)}
        with inside(stranger):
            foreign = stack.enter_context(udp(4))
        assert named(askers[4], "web", "A", place.gateway) == [place.ip]
        assert named(askers[6], "web", "AAAA", place.gateway6) == [place.ip6]
        assert named(foreign, "web", "A", stranger.info.endpoints[0].gateway) == []
        for version, address in ((4, place.ip), (6, place.ip6)):
            assert comes_back(askers[version], servers[version], (address, 7))
        here = stack.enter_context(udp(4))
        for address in ("127.0.0.1", place.gateway):
            assert comes_back(here, servers[4], (address, HOST_PORT)), address
        foreign.sendto(b"weed", (place.ip, 7))
        assert comes_back(askers[4], servers[4], (place.ip, 7)), "what is heard next is not weed"

    ends = [one for box in (web, asker, stranger) for one in box.info.endpoints]
    ours = {name for end in ends for name in (end.veth, end.bridge)}
    assert ours <= links()
    for container in (web, asker, stranger):
        container.remove(force=True)
    wait_until(lambda: not ours & links())
