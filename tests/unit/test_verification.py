"""What is noticed of a store that was damaged, and what of that is mended."""

from __future__ import annotations

import gzip
import os
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.archives import archive
from wardian.images.index import named
from wardian.images.manifest import MANIFEST_TYPE, encode
from wardian.images.store import Image, ImageStore
from wardian.images.verification import Part, Problem, Verification

LAYERS = (
    archive("etc/", ("etc/a", b"low"), "etc/hard => etc/a", "etc/soft -> a"),
    archive("etc/", "etc/.wh.a", ("etc/.wh..wh..opq", b"")),
)
CONFIG = {"architecture": "amd64", "os": "linux"}


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "state")


@pytest.fixture
def image(store: ImageStore) -> Image:
    """An image whose layers are compressed, so that diff_ids are not their digests."""
    with store.ingest() as ingest:
        blobs = [ingest.add_blob(iter([gzip.compress(layer)])) for layer in LAYERS]
        layers = [ingest.unpack(blob) for blob in blobs]
        return ingest.commit_image("docker.io/a/b:1", CONFIG, layers)


def problems(store: ImageStore) -> list[Problem]:
    return list(Verification(store, deep=True).problems())


def lowest(image: Image) -> Path:
    return image.layer_directories[-1]


def change_file(_: ImageStore, image: Image) -> None:
    """The same size and time: only the content tells."""
    path = lowest(image) / "etc/a"
    before = path.stat()
    path.write_bytes(b"LOW")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def add_file(_: ImageStore, image: Image) -> None:
    (lowest(image) / "etc/new").touch()


def change_mode(_: ImageStore, image: Image) -> None:
    (lowest(image) / "etc/a").chmod(0o777)


def part_hard_link(_: ImageStore, image: Image) -> None:
    path = lowest(image) / "etc/hard"
    before = path.stat()
    path.unlink()
    path.write_bytes(b"low")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def drop_layer(store: ImageStore, image: Image) -> None:
    store.discard(store.bury(lowest(image).name))


@pytest.mark.parametrize("harm", [change_file, add_file, change_mode, part_hard_link, drop_layer])
def test_changed_layer_is_noticed_and_unpacked_again(
    store: ImageStore, image: Image, harm: Callable[[ImageStore, Image], None]
) -> None:
    assert problems(store) == []
    harm(store, image)
    verification = Verification(store, deep=True)
    (problem,) = verification.problems()
    assert (problem.part, problem.subject) == (Part.LAYER, image.diff_ids[0])
    assert verification.mend(problem, in_use=())
    assert problems(store) == []
    assert (lowest(image) / "etc/a").read_bytes() == b"low"
    assert not [name for name in os.listdir(store.layers) if name.startswith(".")]


def test_layer_that_a_container_uses_is_not_replaced(store: ImageStore, image: Image) -> None:
    change_file(store, image)
    verification = Verification(store, deep=True)
    (problem,) = verification.problems()
    assert not verification.mend(problem, in_use={lowest(image)})
    assert (lowest(image) / "etc/a").read_bytes() == b"LOW"


def test_damaged_blob_is_removed_and_comes_with_the_next_image(
    store: ImageStore, image: Image
) -> None:
    blob = store.manifest(image).layers[0]
    content = store.blob(blob.digest).read_bytes()
    store.blob(blob.digest).write_bytes(b"?" + content[1:])
    verification = Verification(store, deep=True)
    (problem,) = verification.problems()
    assert str(problem) == f"blob {blob.digest} is damaged"
    assert verification.mend(problem, in_use=())
    (left,) = problems(store)
    assert left.what == f"lacks its layer {blob.digest}: the blob is missing"
    assert not verification.mend(left, in_use=())
    with store.ingest() as ingest:
        layer = ingest.unpack(ingest.add_blob(iter([content])), image.diff_ids[0])
        ingest.commit_image("docker.io/a/other:1", CONFIG, [layer])
    assert problems(store) == []


def test_image_that_says_another_diff_id_is_noticed(store: ImageStore, image: Image) -> None:
    """As only a file system could make it: the documents are whole, and do not fit."""
    manifest = store.manifest(image)
    forged = msgspec.structs.replace(manifest, layers=list(reversed(manifest.layers)))
    data = encode(forged)
    with store.ingest() as ingest:
        entry = ingest.add_document(data, MANIFEST_TYPE)
        os.replace(ingest.path(entry.digest), store.blob(entry.digest))
    with store.names.locked():
        store.names.write([named(entry, "docker.io/a/forged:1")])
    what = [str(problem) for problem in problems(store)]
    assert len(what) == 2
    assert all("a/forged:1 has another diff_id than its layer" in each for each in what)


@pytest.mark.usefixtures("image")
def test_index_that_cannot_be_read_is_one_problem(store: ImageStore) -> None:
    (store.layers.parent / "content/index.json").write_text("{")
    (problem,) = problems(store)
    assert problem.part is Part.NAMES


def test_strange_file_among_the_blobs_is_noticed(store: ImageStore) -> None:
    store.blob("stray").touch()
    (problem,) = problems(store)
    assert (problem.subject, problem.what) == ("'stray'", "is not named by a digest")


def test_killed_while_checking_or_mending_leaves_the_store_whole(
    store: ImageStore, image: Image
) -> None:
    for turn in range(12):
        change_file(store, image)
        read_end, write_end = os.pipe()
        if (child := os.fork()) == 0:
            try:
                while True:
                    verification = Verification(store, deep=True)
                    for problem in verification.problems():
                        verification.mend(problem, in_use=())
                    os.write(write_end, b".")
                    change_file(store, image)
            finally:
                os._exit(1)
        os.close(write_end)
        os.read(read_end, turn % 3 + 1)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(read_end)
        verification = Verification(store, deep=True)
        assert all(verification.mend(each, in_use=()) for each in verification.problems())
        assert problems(store) == []
    store.prune(keep_layers=set())
    assert not [name for name in os.listdir(store.layers) if name.startswith(".")]
