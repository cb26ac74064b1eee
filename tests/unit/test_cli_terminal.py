from __future__ import annotations

import pytest

from wardian.cli.foreground import DetachKeys


def typed(*pieces: bytes) -> tuple[bytes, bool]:
    """What is passed on of several pieces, and whether the keys were found."""
    keys = DetachKeys()
    passed = b""
    for piece in pieces:
        some, detached = keys.scan(piece)
        passed += some
        if detached:
            return passed, True
    return passed, False


@pytest.mark.parametrize(
    ("pieces", "passed", "detached"),
    [
        ((b"ls\n",), b"ls\n", False),
        ((b"ls\x10\x11rest",), b"ls", True),
        ((b"a\x10", b"\x11"), b"a", True),
        ((b"\x10", b"x"), b"\x10x", False),
        ((b"\x10\x10\x11",), b"\x10", True),
        ((b"\x11\x10",), b"\x11", False),
    ],
)
def test_detach_keys_are_found_and_nothing_else_is_lost(
    *, pieces: tuple[bytes, ...], passed: bytes, detached: bool
) -> None:
    assert typed(*pieces) == (passed, detached)
