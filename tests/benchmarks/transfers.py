"""Pushing and pulling an image of one big layer, beside skopeo, and the memory that this takes.

The registry is Debian's docker-registry on the loopback; WARDIAN_BENCH_MIB is the layer's size.
"""

from __future__ import annotations

import itertools
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf  # for the eye: nothing asks for it
from pathlib import Path

from tests.benchmarks.images import SIZE_MIB, measured, memory_row, random_file, wardian
from tests.benchmarks.runtime import timed
from tests.benchmarks.table import Row, in_turn
from tests.registry.server import Server, docker_registry
from wardian.images.archive import import_rootfs
from wardian.images.store import ImageStore

ROUNDS = 3


def rows() -> Iterator[Row]:
    if not (shutil.which("docker-registry") and shutil.which("skopeo")):
        return
    with tempfile.TemporaryDirectory(prefix="wardian-bench-") as folder:
        scratch = Path(folder)
        with docker_registry(scratch / "registry") as server:
            yield from _Transfers(scratch, server).rows()


class _Transfers:
    def __init__(self, scratch: Path, server: Server) -> None:
        self._scratch = scratch
        self._server = server
        self._numbers = itertools.count()
        self._root = scratch / "state"
        self._layout = f"oci:{scratch}/layout:big"
        self._most_kib = [0]

    def rows(self) -> Iterator[Row]:
        self._make()
        what = f"push {SIZE_MIB} MiB"
        yield Row(what, "skopeo", *in_turn(ROUNDS, self._push, self._push_theirs), "ms", inf)
        yield memory_row(f"memory: {what}", max(self._most_kib))
        self._most_kib = [0]
        yield from self._unchanged()
        what = f"pull {SIZE_MIB} MiB"
        yield Row(what, "skopeo, umoci", *in_turn(ROUNDS, self._pull, self._pull_theirs), "ms", 1.0)
        yield memory_row(f"memory: {what}", max(self._most_kib))

    def _make(self) -> None:
        """The same image for both, its layer as it is packed here."""
        big, packed = self._scratch / "big", self._scratch / "big.tar"
        random_file(big, SIZE_MIB)
        with tarfile.open(packed, "w") as tar:
            tar.add(big, "big")
        with open(packed, "rb") as stream:
            import_rootfs(ImageStore(self._root), stream, self._name("first"))
        packed.unlink()
        archive = self._scratch / "big-image.tar"
        save = ["save", "--format", "oci-archive", "-o", str(archive), self._name("first")]
        timed([*wardian(self._root), *save])
        timed(["skopeo", "copy", "-q", f"oci-archive:{archive}", self._layout])

    def _name(self, path: str) -> str:
        return f"{self._server.name}/bench/{path}:1"

    def _measured(self, root: Path, *words: str) -> float:
        spent_ms, kib = measured([*wardian(root), *words])
        self._most_kib.append(kib)
        return spent_ms

    def _push(self) -> float:
        """To a registry that has nothing: whatever it has could be mounted."""
        with self._empty() as server:
            name = f"{server.name}/ours:1"
            timed([*wardian(self._root), "tag", self._name("first"), name])
            return self._measured(self._root, "push", "-q", name)

    def _push_theirs(self) -> float:
        with self._empty() as server:
            name = f"docker://{server.name}/theirs:1"
            return timed(["skopeo", "copy", "-q", "--dest-tls-verify=false", self._layout, name])

    @contextmanager
    def _empty(self) -> Iterator[Server]:
        place = self._scratch / f"registry{next(self._numbers)}"
        with docker_registry(place) as server:
            yield server
        shutil.rmtree(place)

    def _unchanged(self) -> Iterator[Row]:
        name = self._name("unchanged")
        timed([*wardian(self._root), "tag", self._name("first"), name])
        moved = [self._uploads(name) for _ in range(2)]
        yield Row("uploads begun by an unchanged push", "its first", moved[1], moved[0], "", 0.0)

    def _uploads(self, name: str) -> int:
        before = len(self._server.requests())
        timed([*wardian(self._root), "push", "-q", name])
        sent = self._server.requests()[before:]
        return sum(line.startswith(("POST", "PATCH")) for line in sent)

    def _pull(self) -> float:
        root = self._scratch / f"pulled{next(self._numbers)}"
        spent_ms = self._measured(root, "pull", "-q", self._name("unchanged"))
        shutil.rmtree(root)
        return spent_ms

    def _pull_theirs(self) -> float:
        number = next(self._numbers)
        layout, bundle = (self._scratch / f"{word}{number}" for word in ("layout", "bundle"))
        name = f"docker://{self._name('unchanged')}"
        spent_ms = timed(
            ["skopeo", "copy", "-q", "--src-tls-verify=false", name, f"oci:{layout}:big"]
        )
        spent_ms += timed(["umoci", "unpack", "--image", f"{layout}:big", str(bundle)])
        shutil.rmtree(layout)
        shutil.rmtree(bundle)
        return spent_ms
