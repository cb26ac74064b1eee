"""The content store: names, what several processes and sudden deaths do to it, and cleaning."""

from __future__ import annotations

import io
import os
import signal
from pathlib import Path

import pytest

from tests.archives import archive
from wardian.errors import InvalidInput, NotFound, SetupError
from wardian.images.ingest import Ingest
from wardian.images.manifest import Descriptor
from wardian.images.store import Image, ImageStore

CONFIG = {"architecture": "amd64", "os": "linux", "config": {"Env": ["A=1", "B=2=3"]}}


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "state")


def add(store: ImageStore, name: str, *layers: bytes) -> Image:
    with store.ingest() as ingest:
        return add_to(ingest, name, *layers)


def add_to(ingest: Ingest, name: str, *layers: bytes) -> Image:
    blobs = [ingest.add_blob(iter([layer])) for layer in layers]
    return ingest.commit_image(name, CONFIG, [ingest.unpack(blob) for blob in blobs])


def one(content: bytes) -> bytes:
    return archive(("file", content))


def blobs(store: ImageStore) -> int:
    return len(os.listdir(store.blob("sha256:x").parent))


def test_image_is_found_by_any_of_its_names_and_its_digest(store: ImageStore) -> None:
    image = add(store, "docker.io/library/debian:12", one(b"1"))
    assert image.reference == "debian:12"
    for name in ("debian:12", "docker.io/library/debian:12", image.digest):
        assert store.get(name) == image
    assert (image.layer_directories[0] / "file").read_bytes() == b"1"


def test_settings_of_an_image_are_told(store: ImageStore) -> None:
    image = add(store, "docker.io/a/b:latest", one(b"1"))
    assert image.env == {"A": "1", "B": "2=3"}
    assert (image.command, image.workdir, image.user, image.labels) == ((), "/", "0:0", {})


def test_layers_are_uppermost_first_and_shared(store: ImageStore) -> None:
    first = add(store, "docker.io/a/one:latest", one(b"low"), one(b"high"))
    second = add(store, "docker.io/a/two:latest", one(b"low"))
    assert [(d / "file").read_bytes() for d in first.layer_directories] == [b"high", b"low"]
    assert second.layer_directories[0] == first.layer_directories[1]


def test_same_layer_twice_is_one_directory(store: ImageStore) -> None:
    image = add(store, "docker.io/a/b:latest", one(b"x"), one(b"x"))
    assert len(set(image.layer_directories)) == 1
    assert len(image.layer_directories) == 2


def test_layer_with_an_opaque_root_hides_those_below(store: ImageStore) -> None:
    """Overlayfs takes no notice of the mark on the topmost directory."""
    hiding = archive(".wh..wh..opq", ("new", b""))
    image = add(store, "docker.io/a/b:latest", one(b"old"), hiding, one(b"top"))
    assert len(image.diff_ids) == 3
    assert [os.listdir(d) for d in image.layer_directories] == [["file"], ["new"]]


def test_unknown_image_says_which_there_are(store: ImageStore) -> None:
    add(store, "docker.io/library/debian:12", one(b"1"))
    with pytest.raises(NotFound, match="no such image: nothing") as raised:
        store.get("nothing")
    assert "debian:12" in raised.value.hint


def test_name_moves_to_a_new_image(store: ImageStore) -> None:
    add(store, "docker.io/a/b:latest", one(b"1"))
    second = add(store, "docker.io/a/b:latest", one(b"2"))
    assert store.list() == [second]


def test_removed_image_leaves_its_blobs_to_prune(store: ImageStore) -> None:
    image = add(store, "docker.io/a/b:latest", one(b"1"))
    kept = add(store, "docker.io/a/c:latest", one(b"2"))
    store.remove("a/b")
    assert image.layer_directories[0].exists()
    assert store.prune(keep_layers=set()) > 0
    assert not image.layer_directories[0].exists()
    assert (blobs(store), store.list(), list(store.check())) == (3, [kept], [])
    with pytest.raises(NotFound):
        store.remove("a/b")


def test_prune_keeps_layers_that_containers_use(store: ImageStore) -> None:
    image = add(store, "docker.io/a/b:latest", one(b"1"))
    store.remove("a/b")
    store.prune(keep_layers={image.layer_directories[0]})
    assert image.layer_directories[0].exists()


def test_prune_takes_nothing_from_who_is_adding(store: ImageStore) -> None:
    old = add(store, "docker.io/a/old:latest", one(b"shared"))
    with store.ingest() as ingest:
        blob = ingest.add_blob(iter([one(b"new")]))
        layers = [ingest.unpack(blob), ingest.unpack(old_layer(store, old), old.diff_ids[0])]
        store.remove("a/old")
        store.prune(keep_layers=set())
        image = ingest.commit_image("docker.io/a/new:latest", CONFIG, layers)
    assert [(d / "file").read_bytes() for d in image.layer_directories] == [b"shared", b"new"]
    assert list(store.check()) == []


def old_layer(store: ImageStore, image: Image) -> Descriptor:
    return store.manifest(image).layers[0]


def test_nothing_stays_of_an_ingest_that_fails(store: ImageStore) -> None:
    with pytest.raises(InvalidInput), store.ingest() as ingest:
        ingest.unpack(ingest.add_blob(iter([one(b"1")[:600]])))
    assert os.listdir(store.layers) == []
    assert blobs(store) == 0


def test_processes_add_at_the_same_time(store: ImageStore) -> None:
    children = []
    for number in range(4):
        if (child := os.fork()) == 0:
            try:
                for turn in range(8):
                    add(store, f"docker.io/p{number}/t{turn}:latest", one(b"%d" % turn))
                    store.prune(keep_layers=set())
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert len(store.list()) == 32
    assert list(store.check()) == []
    assert len(os.listdir(store.layers)) == 8


def test_killed_process_leaves_the_store_whole(store: ImageStore) -> None:
    """Killed at twenty different moments; each time the store is whole and goes on working."""
    for turn in range(20):
        read_end, write_end = os.pipe()
        if (child := os.fork()) == 0:
            try:
                for number in range(1000):
                    add(store, f"docker.io/a/n{number}:latest", one(b"%d %d" % (turn, number)))
                    os.write(write_end, b".")
            finally:
                os._exit(1)
        os.close(write_end)
        os.read(read_end, 1)  # it has begun
        os.read(read_end, turn % 3 + 1)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(read_end)
        assert list(store.check()) == []
    add(store, "docker.io/a/last:latest", one(b"last"))
    store.prune(keep_layers=set())
    assert not [name for name in os.listdir(store.layers) if name.startswith(".")]
    assert list(store.check()) == []


def test_damage_is_noticed_and_the_others_are_listed(store: ImageStore) -> None:
    good = add(store, "docker.io/a/good:latest", one(b"1"))
    bad = add(store, "docker.io/a/bad:latest", one(b"2"))
    path = store.blob(bad.digest)
    path.write_bytes(path.read_bytes().replace(b"2", b"3", 1))
    with pytest.raises(InvalidInput, match="damaged"):
        store.get("a/bad")
    assert store.list() == [good]
    assert any("a/bad" in problem for problem in store.check())
    store.remove("a/bad")
    store.prune(keep_layers=set())
    assert list(store.check()) == []


def test_missing_blob_is_noticed(store: ImageStore) -> None:
    image = add(store, "docker.io/a/b:latest", one(b"1"))
    store.blob(image.diff_ids[0]).unlink()
    assert [problem for problem in store.check() if "is missing" in problem]
    store.blob(store.manifest(image).config.digest).unlink()
    with pytest.raises(NotFound, match="missing in the store"):
        store.get("a/b")


def test_place_that_cannot_be_written_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="cannot write the image store") as raised:
        ImageStore(tmp_path / "file")
    assert "WARDIAN_ROOT" in raised.value.hint
    assert str(tmp_path) not in str(raised.value)


def test_images_are_no_other_user_s_business(store: ImageStore, tmp_path: Path) -> None:
    """A setuid program of an image must not be reachable on the host."""
    for directory in (store.layers, tmp_path / "state/content"):
        assert directory.stat().st_mode & 0o077 == 0


def test_layer_of_wrong_size_is_refused(store: ImageStore) -> None:
    import msgspec

    with store.ingest() as ingest:
        layer = ingest.unpack(ingest.add_blob(iter([one(b"1")])))
        wrong = msgspec.structs.replace(layer.blob, size=layer.blob.size + 1)
        with pytest.raises(InvalidInput, match="another size"):
            ingest.commit_image("docker.io/a/b:latest", CONFIG, [type(layer)(wrong, layer.diff_id)])
    assert store.list() == []


def test_blob_is_hashed_while_it_is_written(store: ImageStore) -> None:
    import hashlib

    data = os.urandom(3 << 20)
    with store.ingest() as ingest:
        blob = ingest.add_blob(iter(io.BytesIO(data).readline, b""))
        assert blob.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
        assert blob.size == len(data)
