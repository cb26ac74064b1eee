"""Starting containers and running programs in them, against runc, crun and bubblewrap."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks import memory
from tests.benchmarks.table import Row, in_turn
from wardian.runtime import messages as m
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.spec import ContainerSpec, ProcessSpec

ROUNDS = 30
MANY, FEW = 500, 20
SETTLE_S = 0.03  # as long as a peer takes in between, so that both meet the machine at rest
TRUE = ProcessSpec(argv=("/bin/true",))


@contextmanager
def laboratory() -> Iterator[tuple[Client, Path, Path]]:
    """A keeper's client, a busybox layer, and a folder for what else is made."""
    with tempfile.TemporaryDirectory(prefix="wardian-bench-") as folder:
        scratch = Path(folder)
        scratch.chmod(0o755)
        layer = busybox_tree(scratch / "rootfs")
        os.environ["WARDIAN_KEEPER_IDLE_S"] = "0.2"
        with Client.connect(scratch / "state") as client:
            yield client, layer, scratch


def rows() -> Iterator[Row]:
    with laboratory() as (client, layer, scratch):
        yield from _starts(client, layer, scratch)
        yield from _execs(client, layer, scratch)
        yield from memory.rows(client, layer, scratch)
        yield from _many(client, layer)


def _starts(client: Client, layer: Path, scratch: Path) -> Iterator[Row]:
    numbers = itertools.count()

    def usual() -> float:
        return start_true(client, f"b{next(numbers)}", layer)

    def first_of_its_image() -> float:
        """Layers that the keeper has not seen: no prepared sandbox has its root on them."""
        number = next(numbers)
        other = scratch / f"other{number}"
        shutil.copytree(layer, other, symlinks=True)
        return start_true(client, f"b{number}", other)

    what = "create, start, /bin/true"
    usual()
    if runc := shutil.which("runc"):
        once = bundle(scratch / "bundle", layer)
        ours, theirs = in_turn(ROUNDS, usual, lambda: _oci_run(runc, once, scratch))
        yield Row(what, "runc run", ours, theirs, "ms", 0.12)
        ours, theirs = in_turn(ROUNDS, first_of_its_image, lambda: _oci_run(runc, once, scratch))
        yield Row("the same, an image's first", "runc run", ours, theirs, "ms", 0.3)
        if os.geteuid() == 0:
            oci = os.path.join(os.path.dirname(sys.executable), "wardian-oci")
            ours, theirs = in_turn(
                ROUNDS,
                lambda: _oci_run(oci, once, scratch),
                lambda: _oci_run(runc, once, scratch),
            )
            yield Row("wardian-oci run, a process", "runc run", ours, theirs, "ms", 1.5)
    if bwrap := shutil.which("bwrap"):
        argv: list[str | Path] = [
            bwrap,
            "--unshare-all",
            "--bind",
            str(layer),
            "/",
            "--proc",
            "/proc",
        ]
        ours, theirs = in_turn(ROUNDS, usual, lambda: timed([*argv, "--dev", "/dev", "/bin/true"]))
        yield Row(what, "bwrap", ours, theirs, "ms", 0.75)


def start_true(client: Client, name: str, layer: Path, *, settle_s: float = SETTLE_S) -> float:
    """From the request until /bin/true has ended; removal is off the hot path, as runc's."""
    spec = ContainerSpec(name=name, image="busybox", lowers=(str(layer),), process=TRUE)
    with open(os.devnull, "r+b") as null:
        began = time.perf_counter()
        container = client.run(spec, fds=dict.fromkeys((0, 1, 2), null.fileno()))
        client.call("wait", m.WaitCall(container.id, m.MAIN_KEY), int)
        took = (time.perf_counter() - began) * 1e3
    container.remove(force=True)
    time.sleep(settle_s)
    return took


def _many(client: Client, layer: Path) -> Iterator[Row]:
    """Containers that stay: whether the next one waits for hundreds of others."""
    names = [f"many{number}" for number in range(MANY)]
    took = []
    try:
        for name in names:
            spec = ContainerSpec(name=name, image="busybox", lowers=(str(layer),))
            began = time.perf_counter()
            client.run(spec)
            took.append((time.perf_counter() - began) * 1e3)
            time.sleep(SETTLE_S)
        last, first = (statistics.median(part) for part in (took[-FEW:], took[:FEW]))
        yield Row(f"start of the {MANY}th container", "the first", last, first, "ms", 1.2)
    finally:
        for name in names[: len(took)]:
            client.container(name).remove(force=True)


def _execs(client: Client, layer: Path, scratch: Path) -> Iterator[Row]:
    runc = shutil.which("runc")
    if runc is None:
        return
    container = client.run(ContainerSpec(name="exec", image="busybox", lowers=(str(layer),)))
    long = bundle(scratch / "long", layer, ["/bin/sleep", "1000"])
    root = ["--root", str(scratch / "runc")]
    quietly([runc, *root, "run", "-d", "-b", long, "peer"])
    try:
        ours, theirs = in_turn(
            ROUNDS,
            lambda: exec_true(container),
            lambda: timed([runc, *root, "exec", "peer", "/bin/true"]),
        )
    finally:
        quietly([runc, *root, "delete", "-f", "peer"])
        container.remove(force=True)
    yield Row("exec /bin/true", "runc exec", ours, theirs, "ms", 0.1)


def exec_true(container: Container) -> float:
    began = time.perf_counter()
    with container.spawn(TRUE) as process:
        process.wait()
    return (time.perf_counter() - began) * 1e3


def quietly(argv: Sequence[str | Path]) -> None:
    null = subprocess.DEVNULL
    subprocess.run(argv, check=True, stdin=null, stdout=null, stderr=null)


def timed(argv: Sequence[str | Path]) -> float:
    began = time.perf_counter()
    quietly(argv)
    return (time.perf_counter() - began) * 1e3


def _oci_run(runtime: str, bundle: Path, scratch: Path) -> float:
    return timed(
        [
            runtime,
            "--root",
            str(scratch / os.path.basename(runtime)),
            "run",
            "-b",
            str(bundle),
            "peer-run",
        ]
    )


def busybox_tree(layer: Path) -> Path:
    (layer / "bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", layer / "bin/busybox")
    for applet in ("sh", "true", "sleep"):
        (layer / "bin" / applet).symlink_to("busybox")
    for name in ("proc", "dev", "sys", "tmp", "etc"):
        (layer / name).mkdir()
    return layer


def bundle(folder: Path, layer: Path, argv: list[str] | None = None) -> Path:
    """An OCI bundle with runc's own default config, no terminal, no new rlimits."""
    folder.mkdir()
    subprocess.run(["runc", "spec"], cwd=folder, check=True)
    config = json.loads((folder / "config.json").read_text())
    config["process"] |= {"terminal": False, "args": argv or ["/bin/true"], "rlimits": []}
    config["root"] = {"path": str(layer), "readonly": False}
    (folder / "config.json").write_text(json.dumps(config))
    return folder
