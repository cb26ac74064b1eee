"""Images: loading a big one, building cold and cached, and the memory that this takes.

WARDIAN_BENCH_MIB and WARDIAN_BENCH_FILES set the size of the big image (128 and 6,000); FEATURES
asks for 1024 and 50000, which takes some minutes.
"""

from __future__ import annotations

import io
import itertools
import os
import random
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.benchmarks.runtime import busybox_tree, timed
from tests.benchmarks.table import Row, in_turn
from wardian.images.archive import import_rootfs, save
from wardian.images.store import ImageStore
from wardian.runtime.client import Client

ROUNDS = 3
SIZE_MIB = int(os.environ.get("WARDIAN_BENCH_MIB", "128"))
FILES = int(os.environ.get("WARDIAN_BENCH_FILES", "6000"))
ALLOWED_MIB = 150
BASE = "localhost/busybox"
DOCKERFILE = f"""\
FROM {BASE}
WORKDIR /app
COPY . /app
RUN mkdir -p /out && for i in 1 2 3 4 5 6 7 8; do cp -r /app /out/$i; done
RUN rm -r /out/8 && echo done > /out/done
ENV A=1
CMD cat /out/done
"""


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="wardian-bench-") as folder:
        scratch = Path(folder)
        scratch.chmod(0o755)
        os.environ["WARDIAN_KEEPER_IDLE_S"] = "0.2"
        yield from _loads(scratch)
        yield from _builds(scratch)


# --- loading ---------------------------------------------------------------------------------


def _loads(scratch: Path) -> Iterator[Row]:
    archive = big_image(scratch)
    numbers = itertools.count()
    most_kib = [0]

    def ours() -> float:
        root = scratch / f"load{next(numbers)}"
        spent_ms, peak_kib = measured([*wardian(root), "load", "-q", "-i", str(archive), "big"])
        most_kib.append(peak_kib)
        shutil.rmtree(root)
        return spent_ms

    def theirs() -> float:
        layout = scratch / f"oci{next(numbers)}"
        bundle = scratch / f"bundle{next(numbers)}"
        copied_ms = timed(["skopeo", "copy", "-q", f"oci-archive:{archive}", f"oci:{layout}:big"])
        unpacked_ms = timed(["umoci", "unpack", "--image", f"{layout}:big", str(bundle)])
        shutil.rmtree(layout)
        shutil.rmtree(bundle)
        return copied_ms + unpacked_ms

    what = f"load {SIZE_MIB} MiB, {FILES:,} files"
    if shutil.which("skopeo") and shutil.which("umoci"):
        mine, their = in_turn(ROUNDS, ours, theirs)
        yield Row(what, "skopeo, umoci", mine, their, "ms", 1.0)
    else:
        ours()
    yield Row("memory of a load", "allowed", max(most_kib) / 1024, ALLOWED_MIB, "MiB", 1.0)


def big_image(scratch: Path) -> Path:
    """An archive of an image of one compressed layer; half of each file can be compressed."""
    chance = random.Random(7)  # noqa: S311  # the same bytes every time
    size = SIZE_MIB * (1 << 20) // FILES
    tree = scratch / "big.tar"
    with tarfile.open(tree, "w") as tar:
        for number in range(FILES):
            info = tarfile.TarInfo(f"srv/{number // 100}/{number}")
            info.size = size
            half = chance.randbytes(size // 2)
            tar.addfile(info, io.BytesIO(half + bytes(size - len(half))))
    subprocess.run(["gzip", "-1", str(tree)], check=True)
    packed = tree.with_name("big.tar.gz")
    store = ImageStore(scratch / "store")
    with store.ingest() as ingest, open(packed, "rb") as file:
        layer = ingest.unpack(ingest.add_blob(iter(lambda: file.read(1 << 20), b"")))
        config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]}}
        ingest.commit_image("docker.io/library/big:big", config, [layer])
    archive = scratch / "big-image.tar"
    with open(archive, "wb") as output:
        save(store, ["big:big"], output, for_docker=False)
    shutil.rmtree(scratch / "store")
    packed.unlink()
    return archive


# --- building --------------------------------------------------------------------------------


def _builds(scratch: Path) -> Iterator[Row]:
    context = scratch / "context"
    context.mkdir()
    chance = random.Random(7)  # noqa: S311  # the same bytes every time
    for number in range(200):
        (context / f"file{number}").write_bytes(chance.randbytes(4000))
    (context / "Dockerfile").write_text(DOCKERFILE)
    root = scratch / "build"
    base = scratch / "base.tar"
    _make_base(scratch, root, base)
    most_kib = [0]

    def ours(*flags: str) -> float:
        build = [*wardian(root), "build", "--progress=quiet", "--network=host"]  # as theirs
        command = [*build, *flags, "-t", "made", str(context)]
        spent_ms, peak_kib = measured(command)
        most_kib.append(peak_kib)
        return spent_ms

    if shutil.which("buildah"):
        program = [
            *("buildah", "--root", str(scratch / "buildah"), "--runroot", str(scratch / "run")),
            *("--storage-driver", "overlay"),
        ]
        timed([*program, "pull", "-q", f"docker-archive:{base}"])
        build = [*program, "build", "-q", "--isolation", "chroot", "--network", "host", "--layers"]

        def theirs(*flags: str) -> float:
            return timed([*build, *flags, "-t", "made", str(context)])

        with Client.connect(root):  # a keeper is there, as where containers are in use
            mine, their = in_turn(ROUNDS, lambda: ours("--no-cache"), lambda: theirs("--no-cache"))
            yield Row("build, cold", "buildah", mine, their, "ms", 0.7)
            mine, their = in_turn(ROUNDS, ours, theirs)
            yield Row("build, cached throughout", "buildah", mine, their, "ms", 0.1)
        timed([*program, "rmi", "-a", "-f"])
    else:
        ours("--no-cache")
    yield Row("memory of a build", "allowed", max(most_kib) / 1024, ALLOWED_MIB, "MiB", 1.0)


def _make_base(scratch: Path, root: Path, archive: Path) -> None:
    """The same busybox for both."""
    tree = busybox_tree(scratch / "tree")
    packed = scratch / "tree.tar"
    with tarfile.open(packed, "w") as tar:
        tar.add(tree, ".")
    store = ImageStore(root)
    with open(packed, "rb") as stream:
        import_rootfs(store, stream, BASE)
    with open(archive, "wb") as output:
        save(store, [BASE], output)


# --- whole processes -------------------------------------------------------------------------


def wardian(root: Path) -> list[str]:
    return [sys.executable, "-m", "wardian.cli", "--root", str(root)]


def measured(command: Sequence[str]) -> tuple[float, int]:
    """Milliseconds, and the most that the process itself had in memory, in KiB."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    assert isinstance(usage, resource.struct_rusage)
    return (time.perf_counter() - began) * 1e3, usage.ru_maxrss
