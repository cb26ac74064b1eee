"""The command line: how long its help and a list of many containers take, beside docker's kin."""

from __future__ import annotations

import math
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.benchmarks.runtime import busybox_tree, timed
from tests.benchmarks.table import Row, in_turn
from wardian.runtime.client import Client
from wardian.runtime.spec import ContainerSpec

ROUNDS = 15
MANY = 200
HELP_AT_MOST_MS = 150.0
PS_AT_MOST_MS = 250.0
WARDIAN = os.path.join(os.path.dirname(sys.executable), "wardian")


def rows() -> Iterator[Row]:
    yield from _compared("--help", "wardian --help", HELP_AT_MOST_MS, ("docker", "podman"))
    os.environ["WARDIAN_KEEPER_IDLE_S"] = "0.2"
    with tempfile.TemporaryDirectory(prefix="wardian-bench-") as folder:
        scratch = Path(folder)
        scratch.chmod(0o755)
        layer = busybox_tree(scratch / "rootfs")
        os.environ["WARDIAN_ROOT"] = str(scratch / "state")
        try:
            with Client.connect(scratch / "state") as client:
                yield from _many(client, layer)
        finally:
            del os.environ["WARDIAN_ROOT"]


def _many(client: Client, layer: Path) -> Iterator[Row]:
    names = [f"many{number}" for number in range(MANY)]
    try:
        for name in names:
            client.run(ContainerSpec(name=name, image="busybox", lowers=(str(layer),)))
        what = f"wardian ps, {MANY} containers"
        yield from _compared("ps", what, PS_AT_MOST_MS, ("podman",))  # docker's needs a daemon
    finally:
        for info in client.list():
            client.container(info.id).remove(force=True)


def _compared(command: str, what: str, at_most_ms: float, peers: Sequence[str]) -> Iterator[Row]:
    """Against what is allowed, and for the eye against the peers, which have no containers."""
    ours = statistics.median(timed([WARDIAN, command]) for _ in range(ROUNDS))
    yield Row(what, "at most", ours, at_most_ms, "ms", 1.0)
    for peer in peers:
        if path := shutil.which(peer):
            argv = [path, command]
            yield Row(what, f"{peer} {command}", *_in_turn(command, argv), "ms", math.inf)


def _in_turn(command: str, argv: list[str]) -> tuple[float, float]:
    return in_turn(ROUNDS, lambda: timed([WARDIAN, command]), lambda: timed(argv))
