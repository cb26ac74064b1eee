"""Images to files and back, in the ways that other programs write them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from pathlib import Path

import pytest

from tests.archives import archive
from wardian.errors import InvalidInput, NotFound
from wardian.images.archive import import_rootfs, load, save
from wardian.images.store import Image, ImageStore

LAYERS = (archive("etc/", ("etc/a", b"low"), ("etc/b", b"low")), archive("etc/", "etc/.wh.a"))
CONFIG = {
    "architecture": "amd64",
    "os": "linux",
    "config": {"Cmd": ["sh"], "Env": ["A=1"], "WorkingDir": "/srv", "User": "plant"},
    "history": [{"created_by": "RUN true"}],
}


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "one")


@pytest.fixture
def other(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "two")


@pytest.fixture
def image(store: ImageStore) -> Image:
    with store.ingest() as ingest:
        layers = [ingest.unpack(ingest.add_blob(iter([layer]))) for layer in LAYERS]
        return ingest.commit_image("docker.io/library/thing:1", CONFIG, layers)


def saved(store: ImageStore, *names: str) -> bytes:
    output = io.BytesIO()
    save(store, names, output)
    return output.getvalue()


def test_saved_image_is_loaded_with_its_digest(
    store: ImageStore, other: ImageStore, image: Image
) -> None:
    (loaded,) = load(other, io.BytesIO(saved(store, "thing:1")))
    assert (loaded.digest, loaded.reference) == (image.digest, "thing:1")
    assert loaded.config == image.config
    assert (loaded.command, loaded.workdir, loaded.user) == (("sh",), "/srv", "plant")
    assert list(other.check()) == []


@pytest.mark.usefixtures("image")
def test_saving_twice_gives_the_same_bytes(store: ImageStore) -> None:
    assert saved(store, "thing:1") == saved(store, "thing:1")


@pytest.mark.usefixtures("image")
def test_several_images_share_their_layers_in_one_archive(
    store: ImageStore, other: ImageStore
) -> None:
    with store.ingest() as ingest:
        layer = ingest.unpack(ingest.add_blob(iter([LAYERS[0]])))
        ingest.commit_image("docker.io/library/base:2", CONFIG, [layer])
    data = saved(store, "thing:1", "base:2")
    assert data.count(LAYERS[0]) == 1
    assert [image.reference for image in load(other, io.BytesIO(data))] == ["thing:1", "base:2"]


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.usefixtures("image")
def test_archive_may_be_compressed_as_a_whole(
    store: ImageStore, other: ImageStore, compress: type[bytes]
) -> None:
    (loaded,) = load(other, io.BytesIO(compress(saved(store, "thing:1"))))
    assert loaded.reference == "thing:1"


def docker_archive(*, style: str) -> bytes:
    """What ``docker save`` wrote before version 25, and what skopeo writes."""
    layers = [gzip.compress(layer, mtime=0) if style == "gzip" else layer for layer in LAYERS]
    diff_ids = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in LAYERS]
    config = json.dumps({**CONFIG, "rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()
    name = hashlib.sha256(config).hexdigest() + ".json"
    files: list[str | tuple[str, bytes]] = [(name, config)]
    names = []
    for number, layer in enumerate(layers):
        names.append(f"{number}/layer.tar")
        if style == "links":
            files += [(f"{number}.tar", layer), f"{number}/layer.tar -> ../{number}.tar"]
        else:
            files.append((names[-1], layer))
    tags = ["thing:1", "docker.io/library/thing:2"]
    manifest = [{"Config": name, "RepoTags": tags, "Layers": names}]
    return archive(*files, ("manifest.json", json.dumps(manifest).encode()))


@pytest.mark.parametrize("style", ["plain", "gzip", "links"])
def test_docker_s_archive_is_loaded_under_all_its_names(store: ImageStore, style: str) -> None:
    images = load(store, io.BytesIO(docker_archive(style=style)))
    assert [image.reference for image in images] == ["thing:1", "thing:2"]
    assert len({image.digest for image in images}) == 1
    assert images[0].env == {"A": "1"}
    assert (images[0].layer_directories[1] / "etc/a").read_bytes() == b"low"
    assert list(store.check()) == []


def test_given_name_is_the_only_one(store: ImageStore) -> None:
    (image,) = load(store, io.BytesIO(docker_archive(style="plain")), reference="mine:3")
    assert image.reference == "mine:3"
    assert [each.reference for each in store.list()] == ["mine:3"]


@pytest.mark.usefixtures("image")
def test_one_name_for_several_images_is_refused(store: ImageStore, other: ImageStore) -> None:
    load(store, io.BytesIO(docker_archive(style="gzip")), reference="second:1")
    with pytest.raises(InvalidInput, match="2 images"):
        load(other, io.BytesIO(saved(store, "thing:1", "second:1")), reference="mine:3")


def test_nameless_image_wants_a_name(store: ImageStore, other: ImageStore, image: Image) -> None:
    data = saved(store, "thing:1").replace(b"io.containerd.image.name", b"io.containerd.image.nome")
    with pytest.raises(InvalidInput, match="does not name its image"):
        load(other, io.BytesIO(data))
    (loaded,) = load(other, io.BytesIO(data), reference="named")
    assert loaded.digest == image.digest


def test_root_tree_becomes_an_image_of_one_layer(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    tree = archive("bin/", ("bin/sh", b"#!"), "dev/", "sh -> bin/sh")
    made = [
        import_rootfs(store, io.BytesIO(data), "tree:1", config={"Cmd": ["sh"]})
        for data in (tree, gzip.compress(tree))
    ]
    assert made[0].digest == made[1].digest
    assert made[0].config["created"] == "2023-11-14T22:13:20Z"
    assert made[0].command == ("sh",)
    assert (made[0].layer_directories[0] / "bin/sh").read_bytes() == b"#!"


def test_archive_of_something_else_says_what_takes_it(store: ImageStore) -> None:
    with pytest.raises(InvalidInput, match="holds no image") as raised:
        load(store, io.BytesIO(archive(("bin/sh", b"#!"))))
    assert "import" in raised.value.hint


def test_saving_what_is_not_there_writes_nothing(store: ImageStore) -> None:
    output = io.BytesIO()
    with pytest.raises(NotFound):
        save(store, ["nothing"], output)
    assert output.getvalue() == b""


def test_archive_cut_anywhere_is_refused_and_leaves_nothing(
    store: ImageStore, other: ImageStore, image: Image
) -> None:
    data = saved(store, image.reference)
    for size in range(0, len(data) - 2048, 1531):
        with pytest.raises(InvalidInput):
            load(other, io.BytesIO(data[:size]))
    assert other.list() == []
    assert list(other.layers.iterdir()) == []
