"""The same on a host with cgroup v2 alone, against crun: in the machine that tests/vm boots."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks.runtime import bundle, busybox_tree, exec_true, quietly, start_true, timed
from tests.benchmarks.table import Row, in_turn
from wardian.runtime.client import Client
from wardian.runtime.spec import ContainerSpec

ROUNDS = 15
TIMEOUT_S = 240.0


def rows() -> Iterator[Row]:
    """Boot the machine and read there what `measure` gives."""
    from tests.vm import machine
    from tests.vm.debian_kernel import DebianKernel, Unavailable

    here = Path(__file__).parents[1]
    try:
        machine.require()
        kernel = DebianKernel.fetched(here.parent / "build" / "vm")
        with tempfile.TemporaryDirectory(prefix="wardian-bench-") as folder:
            work = Path(folder)
            said = machine.run(kernel, work, here / "vm" / "guest_bench", [], TIMEOUT_S)
            console = (work / "console.log").read_text(errors="replace")
    except Unavailable as reason:
        print(f"  not measured: {reason}")
        return
    found = [line for line in said.splitlines() if line.startswith("{")]
    if not found:
        print(f"  not measured: the guest said nothing\n{console[-2000:]}")
    for line in found:
        yield Row(**json.loads(line))


def measure() -> Iterator[Row]:
    """In the guest. All of it is emulated, ours and the peer's alike: only ratios count."""
    crun = shutil.which("crun")
    if crun is None:
        return
    with tempfile.TemporaryDirectory(prefix="wardian-bench-") as folder:
        scratch = Path(folder)
        scratch.chmod(0o755)
        layer = busybox_tree(scratch / "rootfs")
        root = ["--root", str(scratch / "crun")]
        once = bundle(scratch / "once", layer)
        long = bundle(scratch / "long", layer, ["/bin/sleep", "1000"])
        numbers = itertools.count()
        with Client.connect(scratch / "state") as client:
            start_true(client, "first", layer)
            ours, theirs = in_turn(
                ROUNDS,
                lambda: start_true(client, f"b{next(numbers)}", layer, settle_s=0.6),
                lambda: timed([crun, *root, "run", "-b", once, "once"]),
            )
            yield Row("cgroup v2: create, start, /bin/true", "crun run", ours, theirs, "ms", 0.5)
            box = client.run(ContainerSpec(name="exec", image="busybox", lowers=(str(layer),)))
            quietly([crun, *root, "run", "-d", "-b", long, "long"])
            time.sleep(1)
            ours, theirs = in_turn(
                ROUNDS,
                lambda: exec_true(box),
                lambda: timed([crun, *root, "exec", "long", "/bin/true"]),
            )
            yield Row("cgroup v2: exec /bin/true", "crun exec", ours, theirs, "ms", 0.4)
            quietly([crun, *root, "delete", "-f", "long"])
            box.remove(force=True)


if __name__ == "__main__":
    os.environ["WARDIAN_KEEPER_IDLE_S"] = "0.2"
    for row in measure():
        print(json.dumps(asdict(row)), flush=True)
    sys.exit(0)
