"""Which files plain cells may reach: everything but what is hidden, level by level."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from wardian.bare.directory import SHARED_MEMORY, Directory
from wardian.bare.reach import Reach, beneath
from wardian.linux.clock import boot_id, since_boot_s


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for folder in ("bin", "home/fern/keys", "home/moss", "var/lib", "var/run/secrets"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "var" / "link").symlink_to(tmp_path / "home" / "fern")
    return tmp_path


def shown(tree: Path, *hidden: str) -> set[str]:
    found = beneath(str(tree), [str(tree / one) for one in hidden])
    return {os.path.relpath(path, tree) for path in found}


def test_without_a_secret_the_top_covers_all(tree: Path) -> None:
    assert shown(tree) == {"."}


def test_neighbours_of_what_is_hidden_are_allowed_and_no_parent_is(tree: Path) -> None:
    assert shown(tree, "home/fern", "var/run/secrets") == {"bin", "home/moss", "var/lib"}


def test_hidden_top_shows_nothing(tree: Path) -> None:
    assert shown(tree, ".") == set()


def test_links_are_not_followed_to_what_is_hidden(tree: Path) -> None:
    assert "var/link" not in shown(tree, "home/fern/keys", "var/lib")


def test_state_directory_and_jupyters_files_are_hidden_from_cells(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "state", "lesson")
    where = {"JUPYTER_RUNTIME_DIR": str(tmp_path / "run")}
    reach = Reach.of_cells(directory, where)
    real = tmp_path.resolve()
    assert {str(real / "state"), str(real / "run"), os.path.expanduser("~")} <= set(reach.hidden)
    assert {str(directory.home), str(directory.temporary)} <= set(reach.writable)
    assert str(directory.path) not in reach.writable
    assert sys.prefix in reach.readable


def test_shared_memory_is_not_writable_where_the_state_directory_is_in_it(tmp_path: Path) -> None:
    inside = Directory(Path(SHARED_MEMORY, "wardian-1000"), "lesson")
    assert SHARED_MEMORY not in Reach.of_cells(inside).writable
    assert SHARED_MEMORY in Reach.of_cells(Directory(tmp_path, "lesson")).writable


def test_path_that_would_open_a_hidden_directory_is_not_read(tmp_path: Path) -> None:
    reach = Reach.of_cells(Directory(tmp_path / "state", "lesson"), {"PYTHONPATH": str(tmp_path)})
    assert str(tmp_path) not in reach.readable


def test_transient_directories_go_when_they_are_abandoned_and_others_stay(tmp_path: Path) -> None:
    for name, is_transient, age_s, boot in (
        ("old", True, 4000, boot_id()),
        ("young", True, 0, boot_id()),
        ("elsewhere", True, 4000, "another"),
        ("kept", False, 4000, boot_id()),
    ):
        directory = Directory(tmp_path, name)
        directory.make(is_transient=is_transient)
        lock = directory.path / "lock"
        lock.write_text(f"{boot} {since_boot_s() - age_s}")
        os.utime(lock, (0, 0))  # the time of day when it was written says nothing
    Directory(tmp_path, "new").make(is_transient=True)
    assert sorted(os.listdir(tmp_path / "plain")) == ["elsewhere", "kept", "new", "young"]
