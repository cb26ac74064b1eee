"""Limits of the groups above: the least is in force, wherever it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from wardian.cgroups.ancestry import Ancestry

NONE = "9223372036854771712\n"


def group(directory: Path, **files: str) -> Path:
    """A group's directory, with these files."""
    directory.mkdir(parents=True)
    for name, text in {"cgroup.procs": "", **files}.items():
        (directory / name).write_text(text)
    return directory


@pytest.fixture
def v2(tmp_path: Path) -> Path:
    top = group(tmp_path / "cgroup")
    group(top / "user", **{"memory.max": "67108864\n", "pids.max": "max\n"})
    files = {"memory.max": "134217728\n", "pids.max": "50\n", "cpu.max": "50000 100000\n"}
    return group(top / "user/box", **files)


def test_limit_of_a_group_above_is_in_force_if_it_is_less(v2: Path) -> None:
    found = Ancestry.of({"unified": v2})
    assert [level.path for level in found.levels] == ["/", "/user", "/user/box"]
    assert [level.limits for level in found.levels] == [
        {},
        {"memory": 64 << 20, "pids": None},
        {"memory": 128 << 20, "pids": 50, "cpu": 0.5},
    ]
    assert found.in_force == {"memory": 1, "cpu": 2, "pids": 2}
    assert found.levels[1].files["memory"] == str(v2.parent / "memory.max")


def test_of_equal_limits_the_group_s_own_is_in_force(v2: Path) -> None:
    (v2 / "memory.max").write_text("67108864\n")
    assert Ancestry.of({"unified": v2}).in_force["memory"] == 2


@pytest.fixture
def v1(tmp_path: Path) -> dict[str, Path]:
    """Memory is limited in a group that the processors' hierarchy does not have."""
    memory, cpu = group(tmp_path / "memory"), group(tmp_path / "cpu")
    (memory / "memory.limit_in_bytes").write_text(NONE)
    group(memory / "pod", **{"memory.limit_in_bytes": "67108864\n"})
    files = {"memory.limit_in_bytes": NONE, "memory.stat": "hierarchical_memory_limit 67108864\n"}
    box = group(memory / "pod/box", **files)
    quota = {"cpu.cfs_quota_us": "150000\n", "cpu.cfs_period_us": "100000\n"}
    return {"memory": box, "cpu": group(cpu / "box", **quota), "unified": tmp_path / "unified/box"}


def test_each_hierarchy_of_v1_has_its_own_way_down(v1: dict[str, Path]) -> None:
    found = Ancestry.of(v1)
    assert [(level.path, level.limits) for level in found.levels] == [
        ("/", {"memory": None}),
        ("/pod", {"memory": 64 << 20}),
        ("/box", {"cpu": 1.5}),
        ("/pod/box", {"memory": None}),
    ]
    assert found.in_force == {"memory": 1, "cpu": 2}
    assert found.hidden_memory_bytes is None


def test_limit_above_what_is_seen_from_here_is_told_by_its_size(v1: dict[str, Path]) -> None:
    (v1["memory"] / "memory.stat").write_text("hierarchical_memory_limit 33554432\n")
    assert Ancestry.of(v1).hidden_memory_bytes == 32 << 20


def test_a_group_that_is_gone_has_no_limits(tmp_path: Path) -> None:
    found = Ancestry.of({"unified": tmp_path / "gone/box"})
    assert (found.in_force, [level.limits for level in found.levels]) == ({}, [{}])
    assert Ancestry.of({}).levels == ()
