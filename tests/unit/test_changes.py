"""docker's diff, read from directories laid out as overlayfs leaves them."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from wardian.errors import FailedPrecondition, SetupError
from wardian.storage import whiteout
from wardian.storage.changes import ChangeKind, changes
from wardian.storage.snapshotter import Snapshot

A, M, D = ChangeKind.ADDED, ChangeKind.MODIFIED, ChangeKind.DELETED


def make(directory: Path, files: dict[str, str | None]) -> Path:
    """Files with contents; None makes a directory, and "#deleted" and "#opaque" are marks."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir(exist_ok=True)
        elif content == "#deleted":
            fd = os.open(path.parent, os.O_RDONLY)
            whiteout.make_whiteout(fd, path.name)
            os.close(fd)
        elif content == "#opaque":
            path.mkdir(exist_ok=True)
            fd = os.open(path, os.O_RDONLY)
            whiteout.make_opaque(fd)
            os.close(fd)
        else:
            path.write_text(content)
    return directory


def diff(upper: Path, *lowers: Path) -> dict[str, ChangeKind]:
    snapshot = Snapshot("key", upper, upper.parent / "work")
    return {change.path: change.kind for change in changes(snapshot, lowers)}


def test_changes_are_added_modified_or_deleted(tmp_path: Path) -> None:
    lower = make(tmp_path / "0", {"etc/passwd": "a", "etc/group": "b", "bin/ls": "c"})
    upper = make(tmp_path / "u", {"etc/passwd": "x", "etc/group": "#deleted", "new/file": "n"})
    assert diff(upper, lower) == {
        "etc": M,
        "etc/passwd": M,
        "etc/group": D,
        "new": A,
        "new/file": A,
    }


def test_directories_come_before_what_is_in_them(tmp_path: Path) -> None:
    upper = make(tmp_path / "u", {"b/a": "1", "a/b/c": "2", "b.txt": "3"})
    snapshot = Snapshot("key", upper, upper)
    paths = [change.path for change in changes(snapshot, [])]
    assert all(os.path.dirname(path) in ["", *paths[:at]] for at, path in enumerate(paths))
    assert len(paths) == 6


def test_size_is_that_of_the_upper_file(tmp_path: Path) -> None:
    lower = make(tmp_path / "0", {"file": "a longer text"})
    upper = make(tmp_path / "u", {"file": "short"})
    (change,) = changes(Snapshot("key", upper, upper), [lower])
    assert change.size_bytes == 5


def test_deletion_of_what_a_middle_layer_deleted_is_no_change(tmp_path: Path) -> None:
    low = make(tmp_path / "0", {"file": "a"})
    middle = make(tmp_path / "1", {"file": "#deleted"})
    assert diff(make(tmp_path / "u1", {"file": "#deleted"}), middle, low) == {}
    assert diff(make(tmp_path / "u2", {"file": "new"}), middle, low) == {"file": A}


def test_opaque_directory_deletes_what_it_does_not_bring(tmp_path: Path) -> None:
    lower = make(
        tmp_path / "0", {"d/gone": "1", "d/kept": "2", "d/sub/deep": "3", "d/sub/new": "4"}
    )
    upper = make(tmp_path / "u", {"d": "#opaque", "d/kept": "x", "d/sub/new": "y"})
    assert diff(upper, lower) == {
        "d": M,
        "d/gone": D,
        "d/kept": M,
        "d/sub": M,
        "d/sub/deep": D,
        "d/sub/new": M,
    }


def test_opaque_directory_of_a_middle_layer_hides_those_below(tmp_path: Path) -> None:
    low = make(tmp_path / "0", {"d/old": "1"})
    middle = make(tmp_path / "1", {"d": "#opaque", "d/file": "2"})
    upper = make(tmp_path / "u", {"d/old": "x", "d/file": "#deleted"})
    assert diff(upper, middle, low) == {"d": M, "d/old": A, "d/file": D}


def test_file_over_a_directory_and_directory_over_a_file(tmp_path: Path) -> None:
    lower = make(tmp_path / "0", {"one/file": "1", "two": "2"})
    upper = make(tmp_path / "u", {"one": "now a file", "two/file": "now a directory"})
    assert diff(upper, lower) == {"one": M, "two": M, "two/file": A}


def test_whiteouts_as_attributes_are_deletions(tmp_path: Path) -> None:
    """Linux 6.7's form, in which an overlay can be stored on an overlay."""
    lower = make(tmp_path / "0", {"d/gone": "1", "d/emptied": "2"})
    upper = make(tmp_path / "u", {"d/gone": "", "d/emptied": ""})
    os.setxattr(upper / "d", "user.overlay.opaque", b"x")
    os.setxattr(upper / "d/gone", "user.overlay.whiteout", b"")
    assert diff(upper, lower) == {"d": M, "d/gone": D, "d/emptied": M}


@pytest.mark.parametrize("mark", ["trusted.overlay.opaque", "user.overlay.opaque"])
def test_both_spellings_of_opaque_are_known(tmp_path: Path, mark: str) -> None:
    if mark.startswith("trusted.") and os.geteuid() != 0:
        pytest.skip("only root can set trusted.* attributes; run the tests as root")
    lower = make(tmp_path / "0", {"d/gone": "1"})
    upper = make(tmp_path / "u", {"d": None})
    os.setxattr(upper / "d", mark, b"y")
    assert diff(upper, lower) == {"d": M, "d/gone": D}


def test_symlinks_are_not_followed(tmp_path: Path) -> None:
    secret = make(tmp_path / "secret", {"file": "1"})
    lower = make(tmp_path / "0", {"real/file": "1"})
    (lower / "dir").symlink_to(secret)
    upper = make(tmp_path / "u", {"dir/file": "x"})
    (upper / "loop").symlink_to("loop")
    (upper / "out").symlink_to(secret)
    (upper / "real").symlink_to("/")
    assert diff(upper, lower) == {"dir": M, "dir/file": A, "loop": A, "out": A, "real": M}


def test_names_may_be_anything(tmp_path: Path) -> None:
    upper = make(tmp_path / "u", {"new\nline": "1", "-rf": "2", " ": "3"})
    os.close(os.open(os.fsencode(upper) + b"/\xff\xfe", os.O_CREAT))
    os.mkfifo(upper / "fifo")
    found = diff(upper)
    assert set(found) == {"new\nline", "-rf", " ", "\udcff\udcfe", "fifo"}


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """Directories nested far deeper than a path can name and than there are descriptors."""
    from wardian.storage import tree

    top = tmp_path / "deep"
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for number in range(3000):
        os.mkdir("dirname", dir_fd=fd)
        child = os.open("dirname", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = child
        if number == 1500:
            os.close(os.open("file", os.O_CREAT, dir_fd=fd))
    os.close(fd)
    yield top
    parent = os.open(tmp_path, os.O_RDONLY)
    tree.remove(parent, "deep")
    os.close(parent)
    assert not top.exists()


def test_deep_tree_is_listed_with_few_descriptors(deep: Path, tmp_path: Path) -> None:
    lowers = [make(tmp_path / str(number), {"dirname/x": "1"}) for number in range(20)]
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))  # what other tests have left open
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 100, before[1]))
    try:
        found = diff(deep, *lowers)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert len(found) == 3001
    assert found["dirname"] is M
    assert "/".join(["dirname"] * 1501 + ["file"]) in found


def test_tree_deeper_than_any_reason_is_an_error(tmp_path: Path) -> None:
    from wardian.storage import tree

    (tmp_path / "u").mkdir()
    fd = os.open(tmp_path / "u", os.O_RDONLY)
    for _ in range(400):
        os.mkdir("x" * 200, dir_fd=fd)
        child = os.open("x" * 200, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = child
    os.close(fd)
    with pytest.raises(FailedPrecondition, match="nested too deeply"):
        diff(tmp_path / "u")
    parent = os.open(tmp_path, os.O_RDONLY)
    tree.remove(parent, "u")
    os.close(parent)
    assert not (tmp_path / "u").exists()


def test_missing_layers_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot be read"):
        diff(tmp_path / "nothing")
