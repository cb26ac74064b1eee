"""Namespaces of the host's, of another container's, by path; clocks of a container's own."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.linux.conftest import shell, wait_until
from tests.linux.program import IMAGE, Wardian, out, refused
from wardian.errors import FailedPrecondition, InvalidInput, SetupError
from wardian.linux import namespaces
from wardian.runtime.client import Client
from wardian.runtime.sharing import Sharing
from wardian.runtime.spec import ContainerSpec, UserNamespace

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="joins namespaces of the host's")
ALL = ("pid", "ipc", "uts", "network", "cgroup")


def of(host_pid: int, kind: str) -> int:
    return namespaces.Namespace.of(host_pid, kind).inode


def pid(wardian: Wardian, name: str) -> int:
    return int(out(wardian("inspect", "-f", "{{.State.Pid}}", name)))


@pytest.fixture
def lender(wardian: Wardian) -> Iterator[str]:
    out(wardian("run", "-d", "--name", "lender", "-h", "greenhouse", IMAGE, "sleep", "1000"))
    yield "lender"
    wardian("rm", "-f", "lender")


def test_container_joins_every_namespace_of_another(wardian: Wardian, lender: str) -> None:
    whose = f"container:{lender}"
    flags = [f"--{flag}={whose}" for flag in ("pid", "ipc", "uts", "cgroupns", "network")]
    done = wardian("run", "-d", "--name", "guest", *flags, IMAGE, "sleep", "2000")
    assert (done.returncode, done.stderr.count("its /dev/shm is its own")) == (0, 1)
    first, second = pid(wardian, lender), pid(wardian, "guest")
    for kind in ("pid", "ipc", "uts", "net", "cgroup", "user"):
        assert of(first, kind) == of(second, kind), kind
    assert of(first, "mnt") != of(second, "mnt")
    seen = out(wardian("exec", "guest", "ps", "-o", "args"))
    assert "sleep 1000" in seen
    assert "sleep 2000" in seen
    assert out(wardian("exec", "guest", "hostname")) == "greenhouse\n"
    (mine, theirs) = json.loads(out(wardian("inspect", "guest", lender)))
    modes = mine["HostConfig"]
    for mode in ("PidMode", "IpcMode", "UTSMode", "CgroupnsMode", "NetworkMode"):
        assert modes[mode] == f"container:{theirs['Id']}"
    (borrower,) = theirs["Wardian"]["LendsTo"]
    assert borrower["Name"] == "guest"
    assert sorted(borrower["Namespaces"]) == sorted(ALL)
    out(wardian("stop", "-t", "1", "guest"))
    assert "sleep 2000" not in out(wardian("exec", lender, "ps", "-o", "args"))
    assert "sleep 1000" in out(wardian("exec", lender, "ps", "-o", "args"))
    refused(wardian("run", "--rm", "--pid=container:nobody", IMAGE, "true"), 125)


def test_borrower_ends_without_leaving_a_process_to_its_lender(
    wardian: Wardian, lender: str
) -> None:
    """Not PID 1, so the kernel does not end what the main process leaves behind."""
    script = "setsid sleep 3000 & setsid sleep 3000 & exit 3"
    done = wardian("run", "--rm", f"--pid=container:{lender}", IMAGE, "sh", "-c", script)
    assert done.returncode == 3
    wait_until(lambda: "3000" not in out(wardian("exec", lender, "ps", "-o", "args")))


@needs_root
def test_sharing_of_the_host_s_pids_ends_with_its_own_processes_only(wardian: Wardian) -> None:
    """With kill(-1) its init would end this machine."""
    script = "setsid sleep 4000 & sleep 4000"
    flags = ("--pid=host", "--userns=host", "--ipc=host", "--uts=host", "--cgroupns=host")
    out(wardian("run", "-d", "--name", "wide", *flags, IMAGE, "sh", "-c", script))
    shm = Path("/dev/shm").stat()  # the host's, to be the container's
    seen = out(wardian("exec", "wide", "stat", "-c", "%i %d", "/dev/shm"))
    assert seen == f"{shm.st_ino} {shm.st_dev}\n"
    first = pid(wardian, "wide")
    for kind in ("pid", "ipc", "uts", "cgroup", "user"):
        assert of(first, kind) == of(os.getpid(), kind), kind
    assert out(wardian("exec", "wide", "hostname")) == f"{os.uname().nodename}\n"
    assert out(wardian("exec", "wide", "test", "-e", f"/proc/{os.getpid()}")) == ""
    out(wardian("stop", "-t", "1", "wide"))
    assert not Path(f"/proc/{first}").exists()


def test_host_s_pids_are_seen_and_not_reached_from_a_user_namespace(wardian: Wardian) -> None:
    script = f"test -e /proc/{os.getpid()} && kill -0 {os.getpid()}"
    done = wardian("run", "--rm", "--pid=host", IMAGE, "sh", "-c", script)
    assert done.returncode == 1
    assert "not permitted" in done.stderr


@needs_root
def test_network_namespace_is_joined_by_its_path(client: Client, spec: ContainerSpec) -> None:
    lender = client.run(spec)
    path = f"/proc/{lender.info.host_pid}/ns/net"
    for user_namespace in UserNamespace:
        one = replace(
            spec,
            name=f"by-path-{user_namespace.value}",
            sharing=Sharing(network=path),
            user_namespace=user_namespace,
        )
        guest = client.run(one)
        assert lender.info.host_pid and guest.info.host_pid
        assert of(lender.info.host_pid, "net") == of(guest.info.host_pid, "net")
    with pytest.raises(SetupError, match="/nowhere"):
        client.run(replace(spec, name="lost", sharing=Sharing(ipc="/nowhere")))
    with pytest.raises(InvalidInput, match="by path only without a user namespace"):
        client.run(replace(spec, name="lost", sharing=Sharing(pid=path)))


def test_lender_must_run(client: Client, spec: ContainerSpec) -> None:
    client.create(spec)
    guest = replace(spec, name="guest", sharing=Sharing(pid=f"container:{spec.name}"))
    with pytest.raises(FailedPrecondition, match="is not running"):
        client.run(guest)
    assert [info.name for info in client.list()] in (["box"], ["box", "guest"], ["guest", "box"])


@needs_root
def test_clocks_are_ahead_by_what_was_asked_for(client: Client, spec: ContainerSpec) -> None:
    box = client.run(replace(spec, sharing=Sharing(boottime_s=1_000_000, monotonic_s=2_000_000)))
    uptime = float(shell(box, "cat /proc/uptime")[1].split()[0])
    here = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert here + 999_000 < uptime < here + 1_001_000
    assert box.info.host_pid
    assert of(box.info.host_pid, "time") != of(os.getpid(), "time")


def test_words_that_are_none_are_one_line(wardian: Wardian) -> None:
    for flags, said in (
        (("--pid", "hots"), "--pid: not a namespace"),
        (("--uts=host", "-h", "rose"), "exclude each other"),
        (("--network=container:x", "-h", "rose"), "exclude each other"),
        (("--time", "noon"), "not a clock's offset"),
        (("--ipc", "container:"), "--ipc: not a namespace"),
    ):
        assert said in refused(wardian("run", "--rm", *flags, IMAGE, "true"), 125)
