"""Networks: what one costs at a start, and how fast bytes pass, against podman in the same run.

All of it is in a network namespace of the run's own, with another one beyond it: nothing of the
host's is touched. The switch runs already, as it does from a network's second container on.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.runtime import SETTLE_S, TRUE, busybox_tree, quietly, timed
from tests.benchmarks.table import Row, in_turn
from wardian.linux import namespaces
from wardian.network.definition import Attachment, Port
from wardian.runtime import messages as m
from wardian.runtime.client import Client
from wardian.runtime.spec import ContainerSpec, ProcessSpec

ROUNDS, TRANSFERS = 20, 7
MOST_MS = 4.0
OURS, THEIRS = 8071, 8072
HERE, BEYOND = "198.51.100.1", "198.51.100.2"
MIB = 512
BRIDGE = (Attachment(network="bridge"),)
SINK = ("/bin/sh", "-c", "while true; do /bin/busybox nc -l -p 7 > /dev/null; done")
SEND = f"""
import socket, sys, time
block = bytes(1 << 20)
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as sock:
    began = time.perf_counter()
    for _ in range({MIB}):
        sock.sendall(block)
    sock.shutdown(socket.SHUT_WR)
    sock.recv(1)
    print((time.perf_counter() - began) * 1e3)
"""


def rows() -> Iterator[Row]:
    if os.geteuid() != 0:
        return
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wardian-bench-")))
        scratch.chmod(0o755)
        beyond = stack.enter_context(_street())
        layer = busybox_tree(scratch / "rootfs")
        os.environ |= {"WARDIAN_KEEPER_IDLE_S": "0.2", "WARDIAN_SWITCH_IDLE_S": "0.2"}
        client = stack.enter_context(Client.connect(scratch / "state"))
        port = Port(container_port=7, host_port=OURS)
        process = ProcessSpec(argv=SINK)
        sink = client.run(_spec("sink", layer, process, attachments=BRIDGE, ports=(port,)))
        stack.callback(sink.remove, force=True)
        peer = stack.enter_context(_podman(scratch, layer)) if shutil.which("podman") else None
        yield from _starts(client, layer, peer)
        if peer is not None:
            yield from _transfers(client, layer, peer, beyond)


def _spec(name: str, layer: Path, process: ProcessSpec, **more: Any) -> ContainerSpec:
    return ContainerSpec(name=name, image="busybox", lowers=(str(layer),), process=process, **more)


@contextmanager
def _street() -> Iterator[int]:
    """A network namespace for us and all that we start, and a process in one beyond it."""
    own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    namespaces.unshare(namespaces.CLONE_NEWNET)
    try:
        namespaces.bring_up_loopback()
        with subprocess.Popen(["unshare", "--net", "sleep", "infinity"]) as beyond:
            try:
                while os.readlink(f"/proc/{beyond.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
                    time.sleep(0.01)
                pair = ["ip", "link", "add", "street", "type", "veth", "peer", "name", "street"]
                quietly([*pair, "netns", str(beyond.pid)])
                there = ["nsenter", "-t", str(beyond.pid), "-n"]
                for prefix, address in (([], HERE), (there, BEYOND)):
                    quietly([*prefix, "ip", "addr", "add", f"{address}/24", "dev", "street"])
                    quietly([*prefix, "ip", "link", "set", "street", "up"])
                quietly(["ip", "route", "add", "default", "via", BEYOND])
                yield beyond.pid
            finally:
                beyond.kill()
    finally:
        namespaces.setns(own)
        os.close(own)


class Podman:
    """podman with a store of its own, and a container of its like ours."""

    def __init__(self, scratch: Path, layer: Path) -> None:
        self._layer = layer
        places = ["--root", f"{scratch}/p", "--runroot", f"{scratch}/r", "--tmpdir", f"{scratch}/t"]
        self._words = ["podman", *places, "--storage-driver", "vfs", "--cgroup-manager=cgroupfs"]

    def run(self, *flags: str, command: tuple[str, ...] = ("/bin/true",)) -> list[str]:
        """The command line; this host's hard limits may be no higher."""
        limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"]
        rootfs = ["--network", "podman", *flags, "--rootfs", str(self._layer)]
        return [*self._words, "run", *limits, *rootfs, *command]

    def inspect(self, name: str) -> dict[str, object]:
        """What it tells of a container."""
        said = subprocess.check_output([*self._words, "inspect", name])
        (found,) = json.loads(said)
        assert isinstance(found, dict)
        return found

    def remove_all(self) -> None:
        """Leave nothing."""
        quietly([*self._words, "rm", "--all", "--force", "--time", "0"])


@contextmanager
def _podman(scratch: Path, layer: Path) -> Iterator[Podman]:
    other = shutil.copytree(layer, scratch / "theirs", symlinks=True)
    podman = Podman(scratch, other)
    try:
        quietly(podman.run("-d", "--name", "sink", "-p", f"{THEIRS}:7", command=SINK))
        yield podman
    finally:
        podman.remove_all()
        for path in (scratch / "p/vfs", scratch / "p"):  # bound onto itself, and left so
            subprocess.run(["umount", str(path)], capture_output=True, check=False)


def _starts(client: Client, layer: Path, peer: Podman | None) -> Iterator[Row]:
    numbers = itertools.count()

    def start(*networks: Attachment) -> float:
        spec = _spec(f"n{next(numbers)}", layer, TRUE, attachments=networks)
        with open(os.devnull, "r+b") as null:
            began = time.perf_counter()
            fds = dict.fromkeys((0, 1, 2), null.fileno())
            container = client.run(spec, fds=fds)
            client.call("wait", m.WaitCall(container.id, m.MAIN_KEY), int)
            took = (time.perf_counter() - began) * 1e3
        container.remove(force=True)
        time.sleep(SETTLE_S)
        return took

    start(*BRIDGE)
    if peer is not None:
        ours, theirs = in_turn(ROUNDS, lambda: start(*BRIDGE), lambda: timed(peer.run("--rm")))
        yield Row("start in a bridge network, /bin/true", "podman run", ours, theirs, "ms", 0.08)
    connected, alone = in_turn(ROUNDS, lambda: start(*BRIDGE), start)
    yield Row("what the network adds", "at most", connected - alone, MOST_MS, "ms", 1.0)


def _transfers(client: Client, layer: Path, peer: Podman, beyond: int) -> Iterator[Row]:
    process = ProcessSpec(argv=("/bin/sleep", "infinity"))
    sender = client.run(_spec("sender", layer, process, attachments=BRIDGE))
    try:
        quietly(peer.run("-d", "--name", "sender", command=("/bin/sleep", "100000")))
        pids = sender.info.host_pid, _of_state(peer.inspect("sender"), "Pid")
        ours, theirs = client.container("sink").info.endpoints[0].ip, _address(peer.inspect("sink"))
        what = f"{MIB} MiB"
        yield Row(
            f"{what} from container to container",
            "podman",
            *in_turn(TRANSFERS, lambda: _send(pids[0], ours, 7), lambda: _send(pids[1], theirs, 7)),
            "ms",
            1 / 0.95,
        )
        yield Row(
            f"{what} through a published port",
            "podman",
            *in_turn(
                TRANSFERS, lambda: _send(beyond, HERE, OURS), lambda: _send(beyond, HERE, THEIRS)
            ),
            "ms",
            1 / 0.95,
        )
    finally:
        sender.remove(force=True)


def _send(host_pid: int | None, address: str, port: int) -> float:
    """In that process's network namespace: milliseconds until the other side has all."""
    there = ["nsenter", "-t", str(host_pid), "-n"]
    command = [*there, sys.executable, "-c", SEND, address, str(port)]
    for _ in range(100):  # nc listens anew after each connection
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return float(done.stdout)
        time.sleep(0.02)
    raise AssertionError(done.stderr)


def _of_state(found: dict[str, object], key: str) -> int:
    state = found["State"]
    assert isinstance(state, dict)
    return int(state[key])


def _address(found: dict[str, object]) -> str:
    settings = found["NetworkSettings"]
    assert isinstance(settings, dict)
    return str(settings["Networks"]["podman"]["IPAddress"])
