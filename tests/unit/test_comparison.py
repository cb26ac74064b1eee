"""Two images compared, and dive's efficiency on stacks that can be reckoned by hand."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.archives import archive
from wardian.images.comparison import Comparison, Setting
from wardian.images.store import Image, ImageStore
from wardian.storage.flattened import Flattened, flatten

CONFIG: dict[str, Any] = {"architecture": "amd64", "os": "linux"}
BASE = archive("a/", ("a/one", b"1" * 100), ("a/two", b"2" * 50), "a/also => a/one", ("top", b"t"))


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "state")


def make(store: ImageStore, name: str, *layers: bytes, **config: Any) -> Image:
    with store.ingest() as ingest:
        made = [ingest.unpack(ingest.add_blob(iter([layer]))) for layer in layers]
        return ingest.commit_image(f"docker.io/a/{name}:1", {**CONFIG, **config}, made)


def stack(store: ImageStore, *layers: bytes) -> Flattened:
    return flatten(make(store, "stack", *layers).layer_directories[::-1])


def files(old: Image, new: Image) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(one.kind.value, one.path, one.what) for one in Comparison(old, new).files()]


def test_single_layer_is_wholly_efficient(store: ImageStore) -> None:
    found = stack(store, BASE)
    assert (found.efficiency, found.wasted) == (1.0, [])
    assert [(use.size_bytes, use.hidden_bytes) for use in found.layers] == [(151, 0)]


def test_replaced_file_is_counted_twice_and_its_least_once(store: ImageStore) -> None:
    found = stack(store, BASE, archive("a/", ("a/two", b"3" * 150)))
    # 151 bytes are needed at least (100 + 50 + 1), 301 are there.
    assert found.efficiency == 151 / 301
    assert [(one.path, one.count, one.total_bytes) for one in found.wasted] == [("a/two", 2, 200)]
    assert [(use.size_bytes, use.hidden_bytes) for use in found.layers] == [(151, 50), (150, 0)]


def test_deleted_file_has_the_least_size_of_none(store: ImageStore) -> None:
    found = stack(store, BASE, archive("a/", "a/.wh.two"))
    assert found.efficiency == 101 / 151
    assert [(use.size_bytes, use.hidden_bytes) for use in found.layers] == [(151, 50), (0, 0)]


def test_deleted_directory_counts_what_was_in_it(store: ImageStore) -> None:
    found = stack(store, BASE, archive(".wh.a"))
    # dive: the whiteout weighs the 150 bytes that it deletes; a/one, a/two and top are there once.
    assert found.efficiency == 1.0
    assert [use.hidden_bytes for use in found.layers] == [150, 0]
    assert sum(one.total_bytes for one in found.paths.values()) == 301


@pytest.mark.parametrize("order", [("a/.wh..wh..opq", "a/new"), ("a/new", "a/.wh..wh..opq")])
def test_opaque_directory_hides_what_is_below_whatever_the_order(
    store: ImageStore, order: tuple[str, str]
) -> None:
    found = stack(store, BASE, archive("a/", *((name, b"n" * ("new" in name)) for name in order)))
    assert found.root.children is not None
    assert set(found.root.children) == {"a", "top"}
    assert set(found.root.children["a"].children or {}) == {"new"}
    assert [use.hidden_bytes for use in found.layers] == [150, 0]


def test_same_files_in_other_layers_are_no_difference(store: ImageStore) -> None:
    """A snapshot of the whole, and the same in two steps."""
    flat = make(store, "flat", archive("a/", ("a/one", b"1"), ("a/two", b"2")))
    steps = make(store, "steps", archive("a/", ("a/one", b"x")), archive("a/", ("a/two", b"2")))
    last = make(store, "last", archive("a/", ("a/one", b"1")), archive("a/", ("a/two", b"2")))
    assert files(flat, steps) == [("modified", "a/one", ("content",))]
    assert files(flat, last) == []
    assert files(flat, flat) == []


def test_every_kind_of_difference_is_told(store: ImageStore) -> None:
    old = make(store, "old", archive("d/", "d/l -> x", ("d/f", b"1"), ("d/g", b"1"), ("t", b"")))
    new = make(store, "new", archive("d/", "d/l -> y", ("d/f", b"22"), ("d/n", b"1"), "t/"))
    assert files(old, new) == [
        ("modified", "d/f", ("content",)),
        ("deleted", "d/g", ()),
        ("modified", "d/l", ("content",)),
        ("added", "d/n", ()),
        ("modified", "t", ("type",)),
    ]


def test_modes_and_attributes_differ(store: ImageStore) -> None:
    old = make(store, "old", archive(("f", b"1"), ("g", b"1")))
    runnable, marked = tarfile.TarInfo("f"), tarfile.TarInfo("g")
    runnable.mode, runnable.size, marked.size = 0o755, 1, 1
    marked.pax_headers = {"SCHILY.xattr.user.colour": "green"}
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info in (runnable, marked):
            tar.addfile(info, io.BytesIO(b"1"))
    new = make(store, "new", data.getvalue())
    assert files(old, new) == [("modified", "f", ("mode",)), ("modified", "g", ("attributes",))]


def test_settings_and_history_after_the_shared_beginning(store: ImageStore) -> None:
    steps = [{"created_by": "FROM x"}, {"created_by": "RUN a"}]
    old = make(store, "old", BASE, config={"Env": ["A=1"], "Cmd": ["x"]}, history=steps)
    changed = [steps[0], {"created_by": "RUN b"}]
    new = make(store, "new", BASE, config={"Env": ["A=2"], "Cmd": ["x"]}, history=changed)
    comparison = Comparison(old, new)
    assert comparison.settings() == [Setting("config.Env", ["A=1"], ["A=2"])]
    history = comparison.history()
    assert (history.shared, history.old, history.new) == (1, ("RUN a",), ("RUN b",))
    assert comparison.shared_layers == 1
