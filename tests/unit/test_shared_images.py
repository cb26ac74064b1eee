"""Images that a machine's users share: used like one's own, written by nobody."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wardian.errors import FailedPrecondition, NotFound
from wardian.images.base import ensure_scratch
from wardian.images.shared import SHARED
from wardian.images.store import ImageStore

NAME = "wardian/scratch"


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageStore:
    """Root's, with one image."""
    monkeypatch.delenv(SHARED, raising=False)
    root = tmp_path / "shared"
    root.mkdir(mode=0o700)
    store = ImageStore(root)
    ensure_scratch(store)
    monkeypatch.setenv(SHARED, str(root))
    return store


@pytest.fixture
def own(tmp_path: Path, shared: ImageStore) -> ImageStore:
    """A user's, with nothing in it."""
    del shared
    return ImageStore(tmp_path / "own")


def files(store: ImageStore) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in store.root.rglob("*")}


def test_shared_image_is_found_and_nothing_is_made(own: ImageStore, shared: ImageStore) -> None:
    before = files(own), files(shared)
    image = ensure_scratch(own)
    assert image.is_shared
    assert [one.reference for one in own.list()] == [NAME]
    assert [path.parent for path in image.layer_directories] == [shared.layers]
    assert own.manifest(image).layers
    assert (files(own), files(shared)) == before


def test_image_on_a_shared_one_has_the_shared_layers(own: ImageStore, shared: ImageStore) -> None:
    before = files(shared)
    with own.ingest() as ingest:
        layers = ingest.layers_of(own.get(NAME))
        made = ingest.commit_image("wardian/mine", {"os": "linux", "architecture": "amd64"}, layers)
    assert not made.is_shared
    assert made.layer_directories == shared.get(NAME).layer_directories
    assert list(own.check()) == []
    own.tag(NAME, "also")
    assert [one.is_shared for one in own.list()] == [False, False, True]
    assert files(shared) == before


def test_own_image_hides_a_shared_one_until_it_is_removed(
    own: ImageStore, shared: ImageStore
) -> None:
    own.tag(NAME, NAME)
    assert not own.get(NAME).is_shared
    assert len(own.list()) == 1
    own.remove(NAME)
    assert own.get(NAME).is_shared
    with pytest.raises(FailedPrecondition, match="shared by all users of this machine"):
        own.remove(NAME)
    own.prune(keep_layers=set())
    assert shared.get(NAME) == ensure_scratch(shared)


def test_place_that_others_could_write_is_not_trusted(own: ImageStore, shared: ImageStore) -> None:
    shared.root.chmod(0o777)
    with pytest.raises(NotFound):
        ImageStore(own.root).get(NAME)
    shared.root.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(shared.root, 1, 1)
        with pytest.raises(NotFound):
            ImageStore(own.root).get(NAME)
