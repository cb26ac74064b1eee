"""Images that lie about what they are: each is refused, and the store stays as it was."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.archives import archive
from wardian.errors import InvalidInput
from wardian.images.archive import load
from wardian.images.manifest import CONFIG_TYPE, INDEX_TYPE, LAYER_TYPE, MANIFEST_TYPE, architecture
from wardian.images.store import ImageStore

Files = dict[str, bytes]
NAME = {"io.containerd.image.name": "docker.io/a/b:latest"}


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Layout:
    """An OCI layout in the making, each part of which a test can forge."""

    def __init__(self) -> None:
        self.files: Files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
        self.layer = archive(("file", b"content"))
        self.config: dict[str, Any] = {
            "architecture": architecture(),
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [digest(self.layer)]},
        }
        self.manifest: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {},
            "layers": [self.blob(self.layer, LAYER_TYPE)],
        }

    def blob(self, data: bytes, media_type: str) -> dict[str, Any]:
        self.files[f"blobs/sha256/{digest(data).partition(':')[2]}"] = data
        return {"mediaType": media_type, "digest": digest(data), "size": len(data)}

    def document(self, value: object, media_type: str) -> dict[str, Any]:
        return self.blob(json.dumps(value).encode(), media_type)

    def finish(self, *entries: dict[str, Any]) -> bytes:
        """The archive; without ``entries`` its index has the manifest alone."""
        if not entries:
            self.manifest["config"] = self.document(self.config, CONFIG_TYPE)
            entries = (self.document(self.manifest, MANIFEST_TYPE),)
        manifests = [{**entry, "annotations": NAME} for entry in entries]
        self.files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": manifests}).encode()
        return archive(*self.files.items())


@pytest.fixture
def layout() -> Layout:
    return Layout()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ImageStore]:
    store = ImageStore(tmp_path / "state")
    (tmp_path / "victim").write_text("untouched")
    yield store
    assert sorted(os.listdir(tmp_path)) == ["state", "victim"]
    assert (tmp_path / "victim").read_text() == "untouched"


def assert_refused(store: ImageStore, data: bytes) -> None:
    with pytest.raises(InvalidInput) as raised:
        load(store, io.BytesIO(data))
    assert str(store.layers) not in str(raised.value)
    assert store.list() == []
    assert os.listdir(store.layers) == []
    assert list(store.check()) == []


def test_honest_image_is_taken(store: ImageStore, layout: Layout) -> None:
    (image,) = load(store, io.BytesIO(layout.finish()))
    assert (image.layer_directories[0] / "file").read_bytes() == b"content"
    assert list(store.check()) == []


def test_one_flipped_byte_in_any_file_is_noticed(store: ImageStore, layout: Layout) -> None:
    layout.finish()
    whole = dict(layout.files)
    blobs = [name for name in whole if name.startswith("blobs/")]
    assert len(blobs) == 3
    for name in blobs:
        for at in range(0, len(whole[name]), 61):
            altered = bytearray(whole[name])
            altered[at] ^= 1
            assert_refused(store, archive(*{**whole, name: bytes(altered)}.items()))


def test_missing_blob_is_noticed(store: ImageStore, layout: Layout) -> None:
    layout.finish()
    for name in [name for name in layout.files if name.startswith("blobs/")]:
        left = {other: data for other, data in layout.files.items() if other != name}
        assert_refused(store, archive(*left.items()))


TRAVERSALS = [
    *("sha256:../../x", "sha256:" + "../" * 21 + "x", "../victim"),
    *("sha256:", "", "md5:" + "a" * 32),
]


@pytest.mark.parametrize("wrong", TRAVERSALS)
@pytest.mark.parametrize("place", ["index", "config", "layer", "diff_id"])
def test_digest_that_is_a_path_is_refused(
    store: ImageStore, layout: Layout, place: str, wrong: str
) -> None:
    if place == "diff_id":
        layout.config["rootfs"]["diff_ids"] = [wrong]
    if place == "layer":
        layout.manifest["layers"][0]["digest"] = wrong
    layout.manifest["config"] = layout.document(layout.config, CONFIG_TYPE)
    if place == "config":
        layout.manifest["config"]["digest"] = wrong
    entry = layout.document(layout.manifest, MANIFEST_TYPE)
    if place == "index":
        entry["digest"] = wrong
    assert_refused(store, layout.finish(entry))


def test_layer_that_unpacks_to_something_else_is_refused(store: ImageStore, layout: Layout) -> None:
    layout.config["rootfs"]["diff_ids"] = [digest(b"something else")]
    assert_refused(store, layout.finish())


def test_layer_that_claims_to_be_one_that_is_here_is_refused(
    store: ImageStore, layout: Layout
) -> None:
    """Its blob would else travel under the name of a layer that somebody has verified."""
    import gzip

    load(store, io.BytesIO(layout.finish()))
    forged = Layout()
    evil = gzip.compress(archive(("file", b"evil")))
    forged.manifest["layers"] = [forged.blob(evil, f"{LAYER_TYPE}+gzip")]
    with pytest.raises(InvalidInput, match="not what its digest says"):
        load(store, io.BytesIO(forged.finish()), reference="evil")
    assert len(store.list()) == 1


def test_manifest_that_is_an_index_too_is_refused(store: ImageStore, layout: Layout) -> None:
    layout.manifest["manifests"] = []
    assert_refused(store, layout.finish())


@pytest.mark.parametrize("said", [INDEX_TYPE, "application/x-tar", 3, None])
def test_manifest_that_says_it_is_another_thing_is_refused(
    store: ImageStore, layout: Layout, said: object
) -> None:
    layout.manifest["mediaType"] = said
    assert_refused(store, layout.finish())


@pytest.mark.parametrize("field", ["size"])
@pytest.mark.parametrize("wrong", [0, -1, 1 << 70, "12", 3.5, None])
def test_size_that_is_not_the_blob_s_is_refused(
    store: ImageStore, layout: Layout, field: str, wrong: object
) -> None:
    layout.manifest["layers"][0][field] = wrong
    assert_refused(store, layout.finish())


def test_different_numbers_of_layers_are_refused(store: ImageStore, layout: Layout) -> None:
    layout.manifest["layers"] *= 2
    assert_refused(store, layout.finish())


def test_too_many_layers_are_refused(store: ImageStore, layout: Layout) -> None:
    layout.manifest["layers"] *= 501
    layout.config["rootfs"]["diff_ids"] *= 501
    assert_refused(store, layout.finish())


@pytest.mark.parametrize("depth", [4, 50])
def test_indexes_of_indexes_do_not_go_on_for_ever(
    store: ImageStore, layout: Layout, depth: int
) -> None:
    """An index cannot hold its own digest, but it can be very deep."""
    layout.manifest["config"] = layout.document(layout.config, CONFIG_TYPE)
    entry = layout.document(layout.manifest, MANIFEST_TYPE)
    for _ in range(depth):
        index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry]}
        entry = layout.document(index, INDEX_TYPE)
    assert_refused(store, layout.finish(entry))


def test_index_whose_only_entry_is_of_its_own_name_is_refused(
    store: ImageStore, layout: Layout
) -> None:
    entry = {"mediaType": INDEX_TYPE, "digest": "sha256:" + "0" * 64, "size": 3}
    index = {"schemaVersion": 2, "manifests": [entry]}
    layout.files[f"blobs/sha256/{'0' * 64}"] = json.dumps(index).encode()
    assert_refused(store, layout.finish(entry))


def test_index_for_other_machines_says_for_which(store: ImageStore, layout: Layout) -> None:
    layout.manifest["config"] = layout.document(layout.config, CONFIG_TYPE)
    entry = layout.document(layout.manifest, MANIFEST_TYPE)
    entry["platform"] = {"os": "linux", "architecture": "pdp11"}
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry]}
    with pytest.raises(InvalidInput, match="not there for linux") as raised:
        load(store, io.BytesIO(layout.finish(layout.document(index, INDEX_TYPE))))
    assert "pdp11" in raised.value.hint


CONFIGS: dict[str, object] = {
    "no object": [],
    "no rootfs": {"os": "linux"},
    "Env of numbers": {"config": {"Env": [1]}},
    "Cmd as text": {"config": {"Cmd": "sh"}},
    "labels in a list": {"config": {"Labels": ["a"]}},
    "another root": {"rootfs": {"type": "chunks", "diff_ids": []}},
}


@pytest.mark.parametrize("wrong", CONFIGS)
def test_malformed_configuration_is_refused(store: ImageStore, layout: Layout, wrong: str) -> None:
    value = CONFIGS[wrong]
    if isinstance(value, dict) and wrong != "no rootfs":
        value = {**layout.config, **value}
    layout.manifest["config"] = layout.document(value, CONFIG_TYPE)
    assert_refused(store, layout.finish(layout.document(layout.manifest, MANIFEST_TYPE)))


INDEXES = [b"", b"null", b"{", b"[" * 100_000, b"\xff", b'{"schemaVersion": 1}']


@pytest.mark.parametrize("text", INDEXES)
def test_malformed_index_is_refused(store: ImageStore, text: bytes) -> None:
    assert_refused(store, archive(("index.json", text), ("oci-layout", b"{}")))


def test_description_of_any_size_is_not_read_into_memory(store: ImageStore, layout: Layout) -> None:
    layout.finish()
    layout.files["index.json"] = b" " * (5 << 20)
    assert_refused(store, archive(*layout.files.items()))


@pytest.mark.parametrize("path", ["../victim", "/../victim", "blobs/sha256/../../../../victim"])
def test_files_of_an_archive_never_become_files_of_their_names(
    store: ImageStore, layout: Layout, path: str
) -> None:
    layout.finish()
    load(store, io.BytesIO(archive((path, b"evil"), *layout.files.items())))


def test_archive_of_links_that_go_round_is_refused(store: ImageStore) -> None:
    saved = json.dumps([{"Config": "a", "RepoTags": ["x:1"], "Layers": []}]).encode()
    assert_refused(store, archive("a -> b", "b -> a", ("manifest.json", saved)))
    assert_refused(store, archive("a -> ../../../victim", ("manifest.json", saved)))


def test_sparse_file_is_no_blob(store: ImageStore) -> None:
    """A petabyte that takes no room in the archive."""
    info = tarfile.TarInfo("index.json")
    info.pax_headers = {"GNU.sparse.size": str(1 << 50), "GNU.sparse.map": ""}
    assert_refused(store, archive(info))
