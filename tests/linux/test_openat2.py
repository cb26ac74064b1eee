"""Paths that somebody hostile wrote, opened below a directory."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from wardian.errors import KernelRefused
from wardian.linux.openat2 import (
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
    openat2,
)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    """A root tree whose links lead out of it, and a file outside that they mean."""
    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/name").write_text("inside")
    (tmp_path / "name").write_text("outside")
    (tree / "absolute").symlink_to("/etc/name")
    (tree / "above").symlink_to("../../../../../etc/name")
    (tree / "magic").symlink_to("/proc/self/root/etc/name")
    fd = os.open(tree, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    yield fd
    os.close(fd)


def text(fd: int) -> str:
    with open(fd) as file:
        return file.read()


@pytest.mark.parametrize("path", ["etc/name", "/etc/name", "../../etc/name", "absolute", "above"])
def test_links_and_dots_stay_in_the_root(root: int, path: str) -> None:
    assert text(openat2(root, path, os.O_RDONLY, resolve=RESOLVE_IN_ROOT)) == "inside"


@pytest.mark.parametrize(
    ("path", "resolve", "number"),
    [
        ("absolute", RESOLVE_BENEATH, errno.EXDEV),
        ("above", RESOLVE_BENEATH, errno.EXDEV),
        ("../name", RESOLVE_BENEATH, errno.EXDEV),
        ("../name", RESOLVE_IN_ROOT, errno.ENOENT),
        ("magic", RESOLVE_IN_ROOT, errno.ENOENT),
        ("absolute", RESOLVE_NO_SYMLINKS, errno.ELOOP),
        ("absolute", RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS, errno.ELOOP),
        ("nothing", RESOLVE_IN_ROOT, errno.ENOENT),
    ],
)
def test_way_out_is_refused(root: int, path: str, resolve: int, number: int) -> None:
    with pytest.raises(KernelRefused) as refused:
        openat2(root, path, os.O_RDONLY, resolve=resolve)
    assert (refused.value.call, refused.value.errno) == ("openat2", number)


def test_magic_links_and_other_file_systems_are_refused_where_asked() -> None:
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    top = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with pytest.raises(KernelRefused) as magic:
            openat2(proc, "self/exe", os.O_RDONLY, resolve=RESOLVE_NO_MAGICLINKS)
        assert magic.value.errno == errno.ELOOP
        with pytest.raises(KernelRefused) as other:
            openat2(top, "proc/self/status", os.O_RDONLY, resolve=RESOLVE_NO_XDEV)
        assert other.value.errno == errno.EXDEV
    finally:
        os.close(proc)
        os.close(top)


def test_new_file_has_the_mode_that_was_asked_for(root: int, tmp_path: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    os.close(openat2(root, "/etc/new", flags, mode=0o600, resolve=RESOLVE_IN_ROOT))
    assert (tmp_path / "tree/etc/new").stat().st_mode & 0o777 == 0o600
