"""Which image of an index is taken for a platform."""

from __future__ import annotations

import pytest

from wardian.errors import InvalidInput
from wardian.images.manifest import MANIFEST_TYPE, Descriptor, Index, Platform
from wardian.images.platform import parse_platform, select


def chosen(wanted: str, *offered: str) -> str:
    """Which of the platforms; "" is an entry that names none."""
    entries = [
        Descriptor(
            mediaType=MANIFEST_TYPE,
            digest=f"sha256:{number:064x}",
            size=1,
            platform=_platform(word) if word else None,
        )
        for number, word in enumerate(offered)
    ]
    index = Index(schemaVersion=2, manifests=entries)
    return offered[int(select(index, parse_platform(wanted)).digest[7:], 16)]


def _platform(word: str) -> Platform:
    system, machine, variant = (*word.split("/"), "", "")[:3]
    return Platform(machine, system, variant)


@pytest.mark.parametrize(
    ("wanted", "offered", "expected"),
    [
        ("amd64", ["unknown/unknown", "windows/amd64", "linux/amd64"], "linux/amd64"),
        ("x86_64", ["", "linux/arm64", "linux/amd64"], "linux/amd64"),
        ("linux/amd64", ["", "linux/arm64"], ""),
        ("linux/amd64", ["linux/amd64/v3", "linux/amd64"], "linux/amd64"),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"], "linux/amd64/v2"),
        ("linux/arm64/v8", ["linux/arm/v7", "linux/arm64"], "linux/arm64"),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v7", "linux/arm/v6"], "linux/arm/v7"),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6"], "linux/arm/v6"),
        ("linux/arm64/v8.1", ["linux/arm64/v8", "linux/arm64/v8.2"], "linux/arm64/v8"),
    ],
)
def test_of_an_index_what_runs_here_best_is_taken(
    wanted: str, offered: list[str], expected: str
) -> None:
    assert chosen(wanted, *offered) == expected


@pytest.mark.parametrize(
    ("wanted", "offered"),
    [
        ("linux/arm/v6", "linux/arm/v7"),
        ("linux/arm64", "linux/arm"),
        ("linux/386", "linux/amd64"),
        ("linux/riscv64/rva22", "linux/riscv64/v1"),
    ],
)
def test_what_does_not_run_here_is_not_taken(wanted: str, offered: str) -> None:
    with pytest.raises(InvalidInput, match="the image is not there for") as caught:
        chosen(wanted, offered, "unknown/unknown")
    assert caught.value.hint == f"it is for: {offered}"
