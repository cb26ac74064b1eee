"""Images: loading a big one, building cold and cached, and the memory that this takes.

WARDIAN_BENCH_MIB and WARDIAN_BENCH_FILES set the size of the big image (128 and 6,000); FEATURES
asks for 1024 and 50000, which takes some minutes.
"""

from __future__ import annotations

import io
import itertools
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.benchmarks.runtime import busybox_tree, timed
from tests.benchmarks.table import Row, in_turn
from tests.linux.conftest import keeper_pid
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
        spent_ms, kib = measured([*wardian(root), "load", "-q", "-i", str(archive), "big"])
        most_kib.append(kib)
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
    yield memory_row("memory of a load", max(most_kib))


def big_image(scratch: Path, *, with_program: bool = False) -> Path:
    """An archive of an image of one compressed layer; half of each file can be compressed.

    With a program it has /busybox.
    """
    chance = random.Random(7)  # noqa: S311  # the same bytes every time
    size = SIZE_MIB * (1 << 20) // FILES
    tree = scratch / "big.tar"
    with tarfile.open(tree, "w") as tar:
        if with_program:
            tar.add("/bin/busybox", "busybox")
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
        spent_ms, kib = measured(command)
        most_kib.append(kib)
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
    yield memory_row("memory of a build", max(most_kib))
    yield memory_row(f"the same, two layers of {SIZE_MIB} MiB", _big_build(scratch, root))


def _big_build(scratch: Path, root: Path) -> int:
    """The most that the command or the keeper has while it packs big layers, in KiB."""
    context = scratch / "big-context"
    context.mkdir()
    random_file(context / "big", SIZE_MIB)
    (context / "Dockerfile").write_text(f"FROM {BASE}\nCOPY big /\nRUN cat /big >/again\n")
    with Client.connect(root):
        _, command_kib = measured([*wardian(root), "build", "-q", "--network=none", str(context)])
        keeper = keeper_pid(root)
        assert keeper is not None
        return max(command_kib, peak_kib(keeper))


def memory_row(what: str, kib: int) -> Row:
    return Row(what, "allowed", kib / 1024, ALLOWED_MIB, "MiB", 1.0)


def random_file(path: Path, size_mib: int) -> None:
    """What no compression makes smaller."""
    chance = random.Random(7)  # noqa: S311  # the same bytes every time
    with open(path, "wb") as file:
        file.writelines(chance.randbytes(1 << 20) for _ in range(size_mib))


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

# A process begins with the peak of the one that it was forked from (getrusage(2)): this one's is
# smaller than that of whatever is measured.
_MEASURE = """
import os, sys, time
null = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
began = time.perf_counter()
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=null)
_, status, usage = os.wait4(pid, 0)
took_ms = (time.perf_counter() - began) * 1e3
print(took_ms, usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def wardian(root: Path) -> list[str]:
    return [sys.executable, "-m", "wardian.cli", "--root", str(root)]


def measured(command: Sequence[str]) -> tuple[float, int]:
    """Milliseconds, and the most that the process and its children had in memory, in KiB."""
    argv = [sys.executable, "-SIc", _MEASURE, *command]
    said = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return float(said[0]), int(said[1])


def peak_kib(host_pid: int) -> int:
    """The most that a process had in memory so far (proc(5), VmHWM)."""
    status = Path(f"/proc/{host_pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])
