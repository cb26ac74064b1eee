"""``--user`` and the container's own passwd and group, all of it hostile."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardian.errors import CommandFailed
from wardian.runtime.user import User, lookup

USERS = """\
root:x:0:0:root:/root:/bin/sh
plant:x:1000:1000::/home/plant:/bin/sh
moss:x:1001:100:::/bin/sh
broken:x:abc:100::/:/bin/sh
short:x:1
huge:x:99999999999:1::/:/bin/sh
"""
GROUPS = """\
root:x:0:
plant:x:1000:
water:x:2000:plant,moss
sun:x:2001:plant
bad:x:minus:plant
"""


@pytest.fixture
def root(tmp_path: Path) -> str:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(USERS)
    (tmp_path / "etc/group").write_text(GROUPS)
    return str(tmp_path)


@pytest.fixture
def within_a_second() -> Iterator[None]:
    """SIGALRM ends a reading that hangs."""

    def too_late(*_: object) -> None:
        raise AssertionError("no answer within a second")

    before = signal.signal(signal.SIGALRM, too_late)
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("word", "user"),
    [
        ("0", User(0, 0, (), "/root")),
        ("0:0", User(0, 0, (), "/root")),
        ("root", User(0, 0, (), "/root")),
        ("1000", User(1000, 1000, (2000, 2001), "/home/plant")),
        ("plant", User(1000, 1000, (2000, 2001), "/home/plant")),
        ("plant:water", User(1000, 2000, (), "/home/plant")),
        ("plant:7", User(1000, 7, (), "/home/plant")),
        ("1234", User(1234, 0, (), "/")),
        ("1234:5", User(1234, 5, (), "/")),
        ("moss", User(1001, 100, (2000,), "/")),
        ("2147483647", User(2147483647, 0, (), "/")),
    ],
)
def test_words_mean_what_they_mean_to_docker(root: str, word: str, user: User) -> None:
    assert lookup(word, root=root) == user


@pytest.mark.parametrize(
    "word",
    [
        *("", ":", "0x0", "00", "1000:", "-1", "+1", "4294967295", "4294967296", "2147483648"),
        *("root:nosuch", "nosuch", "root:", ":0", "1:2:3", "1 ", " 1", "1\n", "root\n", "r:-1"),
        *("root:4294967295", "root:0x0", "/root", "..", "broken", "huge", "short", "9" * 4000),
        *("\u0661", "root\0", "root:wa ter", "a" * 65),
    ],
)
def test_words_that_are_no_user_are_refused(root: str, word: str) -> None:
    """CVE-2026-30892: none of them may become root."""
    with pytest.raises(CommandFailed, match="unable to find user") as refused:
        lookup(word, root=root)
    assert refused.value.exit_code == 126
    assert len(refused.value.what) < 200


@given(st.text(max_size=30))
def test_any_word_is_a_user_or_refused(word: str) -> None:
    try:
        user = lookup(word, root="/nonexistent")
    except CommandFailed:
        return
    assert word.partition(":")[0] == str(user.uid)


def fifo(path: Path) -> None:
    os.mkfifo(path)


def sparse(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(2 << 30)


def memory(path: Path) -> None:
    path.symlink_to("/proc/self/mem")


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def directory(path: Path) -> None:
    path.mkdir()


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def of_the_host(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def one_long_line(path: Path) -> None:
    path.write_bytes(b"x" * (3 << 20))


def bytes_that_are_no_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00:::::::\n" * 1000)


def many_groups(path: Path) -> None:
    path.write_text("".join(f"g{n}:x:{n}:plant\n" for n in range(40000)))


@pytest.mark.usefixtures("within_a_second")
@pytest.mark.parametrize("name", ["passwd", "group"])
@pytest.mark.parametrize(
    "attack",
    [
        *(fifo, sparse, memory, endless, directory, loop, of_the_host),
        *(one_long_line, bytes_that_are_no_text, many_groups),
    ],
)
def test_hostile_file_is_answered_within_a_second(
    root: str, name: str, attack: Callable[[Path], None]
) -> None:
    path = Path(root, "etc", name)
    path.unlink()
    attack(path)
    assert lookup("0:0", root=root) == User(0, 0, (), "/root")
    if name == "passwd":
        with pytest.raises(CommandFailed):
            lookup("plant", root=root)
    else:
        assert len(lookup("plant", root=root).groups) <= 256
        with pytest.raises(CommandFailed):
            lookup("plant:water", root=root)
