"""Each container has namespaces of its own, and shares only what it was told to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.linux.conftest import shell
from wardian.linux.namespaces import KINDS, Namespace
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.spec import ContainerSpec, Network, ProcessSpec, UserNamespace

OWN = tuple(kind for kind in KINDS if kind != "time")


def namespaces(host_pid: int | None) -> dict[str, Namespace]:
    assert host_pid is not None
    return {kind: Namespace.of(host_pid, kind) for kind in OWN}


def namespaces_in(box: Container) -> dict[str, Namespace]:
    """Those of a process of the container: init's are for root alone to see."""
    with box.spawn(ProcessSpec(argv=("sleep", "1000"))) as process:
        try:
            return namespaces(process.host_pid)
        finally:
            process.signal(9)


def test_container_shares_no_namespace_with_the_host(box: Container) -> None:
    ours, theirs = namespaces(os.getpid()), namespaces_in(box)
    assert [kind for kind in OWN if ours[kind] == theirs[kind]] == []


def test_containers_share_no_namespace_with_each_other(client: Client, spec: ContainerSpec) -> None:
    one, two = (namespaces_in(client.run(replace(spec, name=n))) for n in ("a", "b"))
    assert not set(one.values()) & set(two.values())


def test_processes_of_a_container_share_them_all(box: Container) -> None:
    one, two = namespaces_in(box), namespaces_in(box)
    assert one == two
    if os.geteuid() == 0:
        assert one == namespaces(box.info.host_pid)


def test_process_has_a_number_inside_and_one_outside(box: Container) -> None:
    with box.spawn(ProcessSpec(argv=("sleep", "1000"))) as process:
        status = Path(f"/proc/{process.host_pid}/status").read_text()
        numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()
        assert (int(numbers[-2]), int(numbers[-1])) == (process.host_pid, process.container_pid)
        process.signal(9)


def test_ids_are_a_range_of_the_containers_own(client: Client, spec: ContainerSpec) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives containers ranges of their own; run the tests as root")
    one, two = (client.run(replace(spec, name=name)) for name in ("a", "b"))
    maps = [
        shell(box, "cat /proc/self/uid_map /proc/self/gid_map")[1].split() for box in (one, two)
    ]
    firsts = [box.info.first_host_id for box in (one, two)]
    assert maps == [["0", str(first), "65536"] * 2 for first in firsts]
    assert firsts[0] != firsts[1]


def test_network_is_loopback_alone_and_it_is_up(box: Container) -> None:
    assert shell(box, "ls /sys/class/net") == (0, "lo\n")
    assert "127.0.0.1" in shell(box, "ip addr show lo")[1]
    assert shell(box, "ping -c1 -W2 127.0.0.1", user="0:0")[0] == 0
    assert shell(box, "ping -c1 -W1 192.0.2.1")[0] != 0


def test_service_of_the_hosts_loopback_is_not_reached(box: Container) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert shell(box, f"nc -w1 127.0.0.1 {port} </dev/null")[0] != 0
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_hosts_network_is_shared_when_that_is_asked_for(
    client: Client, spec: ContainerSpec
) -> None:
    box = client.run(replace(spec, network=Network.HOST))
    ours, theirs = namespaces(os.getpid()), namespaces_in(box)
    assert [kind for kind in OWN if ours[kind] == theirs[kind]] == ["net"]
    assert shell(box, "ls /sys/class/net")[1].split() == sorted(os.listdir("/sys/class/net"))
    assert shell(box, "mount -o remount,rw /sys")[0] != 0


def test_hosts_ids_are_shared_when_that_is_asked_for(client: Client, spec: ContainerSpec) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can do without a user namespace; run the tests as root")
    box = client.run(replace(spec, user_namespace=UserNamespace.HOST))
    ours, theirs = namespaces(os.getpid()), namespaces(box.info.host_pid)
    assert [kind for kind in OWN if ours[kind] == theirs[kind]] == ["user"]
    assert shell(box, "touch /new; stat -c %u /new") == (0, "0\n")
    assert (Path(box.info.upper) / "new").stat().st_uid == 0
