"""The switch's table in a network namespace of its own, when others are quicker."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.linux.child import in_child, running
from wardian.errors import SetupError
from wardian.linux.namespaces import CLONE_NEWNET, bring_up_loopback
from wardian.linux.netlink import Netlink
from wardian.network.definition import Attachment, NetworkRequest
from wardian.network.ground import HostGround
from wardian.network.messages import Attach
from wardian.network.patches import Patches

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="networks need root; run as root")


class Crowded(HostGround):
    """A host where somebody is quicker: ``meanwhile`` is called before a pair is made, once."""

    def __init__(self, root: Path, meanwhile: Callable[[], object]) -> None:
        super().__init__(root)
        self._meanwhile = [meanwhile]

    def inside(self, namespace_fd: int) -> Netlink:
        while self._meanwhile:
            self._meanwhile.pop()()
        return super().inside(namespace_fd)


def ip(*words: str, there: int | None = None) -> None:
    """ip(8), here or in the network namespace of that process."""
    enter = ["nsenter", "-t", str(there), "-n"] if there else []
    subprocess.run([*enter, "ip", *words], check=True)


def link_names() -> list[str]:
    """Every link here, but those that a kernel makes in each namespace."""
    names = [name for _, name in socket.if_nameindex()]
    return sorted(name for name in names if name.startswith(("veth", "other")))


async def attach(root: Path, host_pid: int, meanwhile: Callable[[], object]) -> str:
    """Connect a container called web to network lab; which veth it got."""
    patches = Patches(root, Crowded(root, meanwhile), lambda _: None)
    patches.create_network(NetworkRequest(name="lab", internal=True))
    order = Attach(
        container_id="1" * 64,
        name="web",
        hostname="web",
        attachments=(Attachment(network="lab"),),
    )
    fds = os.pidfd_open(host_pid), os.open(f"/proc/{host_pid}/ns/net", os.O_RDONLY)
    return patches.attach(order, fds).endpoints[0].veth


def test_a_link_of_its_name_that_came_meanwhile_stays_and_another_name_is_taken(
    tmp_path: Path,
) -> None:
    def deed() -> tuple[str, list[str]]:
        bring_up_loopback()
        with running(flags=CLONE_NEWNET) as host_pid:
            other = ("link", "add", "veth-web", "type", "veth", "peer", "name", "other")
            return asyncio.run(attach(tmp_path, host_pid, lambda: ip(*other))), link_names()

    assert in_child(deed, CLONE_NEWNET) == ["veth-web1", ["other", "veth-web", "veth-web1"]]


def test_what_cannot_be_configured_leaves_no_link(tmp_path: Path) -> None:
    def deed() -> tuple[str, list[str]]:
        bring_up_loopback()
        with running(flags=CLONE_NEWNET) as host_pid:
            eth0 = ("link", "add", "eth0", "type", "bridge")
            with pytest.raises(SetupError) as raised:
                asyncio.run(attach(tmp_path, host_pid, lambda: ip(*eth0, there=host_pid)))
            return raised.value.what, link_names()

    what, names = in_child(deed, CLONE_NEWNET)
    assert what.startswith("cannot connect web to network lab: ")
    assert names == []
