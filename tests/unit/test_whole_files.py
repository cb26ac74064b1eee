from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from wardian.linux.whole import write_whole


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("is_only_writer", [True, False])
def test_file_is_its_owners_alone_and_replaced_whole(
    tmp_path: Path, *, is_only_writer: bool
) -> None:
    path = tmp_path / "record"
    for data in (b"one", b"two"):
        write_whole(path, data, is_only_writer=is_only_writer, outlasts_power=True)
        assert path.read_bytes() == data
    assert mode_of(path) == 0o600
    write_whole(path, b"three", mode=0o644)
    assert mode_of(path) == 0o644
    assert os.listdir(tmp_path) == ["record"]


def test_what_a_killed_only_writer_has_left_is_replaced_by_the_next(tmp_path: Path) -> None:
    (tmp_path / ".record.new").write_bytes(b"half of something much longer")
    write_whole(tmp_path / "record", b"whole", is_only_writer=True)
    assert os.listdir(tmp_path) == ["record"]
    assert (tmp_path / "record").read_bytes() == b"whole"


def test_failure_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "record"
    write_whole(path, b"old")

    def refuse(fd: int) -> None:
        assert os.fstat(fd).st_size == len(b"new")
        raise PermissionError

    with pytest.raises(PermissionError):
        write_whole(path, b"new", prepare=refuse)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["record"]
