"""Docker's words for limits, and what cannot be one."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardian.cgroups.limits import Limits, parse_size
from wardian.errors import InvalidInput


@pytest.mark.parametrize(
    ("word", "size_bytes"),
    [
        ("6291456", 6 << 20),
        ("6291456b", 6 << 20),
        ("512k", 512 << 10),
        ("512m", 512 << 20),
        ("512M", 512 << 20),
        ("512MB", 512 << 20),
        ("512MiB", 512 << 20),
        ("1.5g", 3 << 29),
        ("2t", 2 << 40),
        (" 64m ", 64 << 20),
    ],
)
def test_sizes_are_read_as_docker_reads_them(word: str, size_bytes: int) -> None:
    assert parse_size(word) == size_bytes


@pytest.mark.parametrize(
    "word",
    ["", "m", "-5m", "5 m", "5mm", "0x10", "1e9", "five", "5,5m", "½g", "\u0665m", "1" * 5000],
)
def test_what_is_no_size_is_refused(word: str) -> None:
    with pytest.raises(InvalidInput, match="not a size"):
        parse_size(word)


@given(st.text(max_size=40))
def test_any_text_is_a_size_or_refused(word: str) -> None:
    with suppress(InvalidInput):
        assert parse_size(word) >= 0


def test_words_become_limits() -> None:
    limits = Limits.parse(
        memory="64m",
        memory_swap="128m",
        memory_reservation="32m",
        cpus="1.5",
        cpu_shares="512",
        cpuset_cpus="0-2,4",
        pids="100",
    )
    assert limits == Limits(
        memory_bytes=64 << 20,
        memory_swap_bytes=128 << 20,
        memory_reservation_bytes=32 << 20,
        cpus=1.5,
        cpu_shares=512,
        cpuset_cpus="0-2,4",
        pids=100,
    )


@pytest.mark.parametrize("word", ["", "0", "-1"])
def test_dockers_words_for_unlimited_are_no_limit(word: str) -> None:
    assert Limits.parse(memory=word, cpus=word, pids=word, cpu_shares=word) == Limits()


@pytest.mark.parametrize(
    "words",
    [
        {"memory": "5m"},
        {"memory": "1"},
        {"memory": "64m", "memory_swap": "32m"},
        {"memory_swap": "64m"},
        {"cpus": "0.001"},
        {"cpus": "-2"},
        {"cpus": "nan"},
        {"cpus": "inf"},
        {"cpus": "two"},
        {"cpus": "1e7"},
        {"cpu_shares": "1"},
        {"cpu_shares": "262145"},
        {"cpu_shares": "1.5"},
        {"pids": "-3"},
        {"pids": "1.5"},
        {"pids": "many"},
        {"pids": "99999999999"},
        {"cpuset_cpus": "0-"},
        {"cpuset_cpus": "a"},
        {"cpuset_cpus": "0;1"},
        {"cpuset_cpus": "0\n1"},
        {"cpuset_cpus": "0\n"},
        {"memory": "99999999p"},
    ],
    ids=str,
)
def test_impossible_limits_are_refused_with_a_reason(words: dict[str, str]) -> None:
    with pytest.raises(InvalidInput) as refused:
        Limits.parse(**words)
    assert "\n" not in refused.value.what


@pytest.mark.parametrize(
    "values",
    [
        {"memory_bytes": 1},
        {"memory_bytes": -1},
        {"memory_bytes": 1 << 63},
        {"cpus": float("nan")},
        {"cpus": float("inf")},
        {"cpus": -1.0},
        {"pids": 0},
        {"memory_reservation_bytes": -1},
        {"cpuset_cpus": "0\n1"},
    ],
    ids=str,
)
def test_values_from_a_file_or_a_socket_are_checked_too(values: dict[str, int]) -> None:
    with pytest.raises(InvalidInput):
        Limits(**values)  # type: ignore[arg-type]  # one test for fields of several types
