"""``--user`` and the container's own /etc/passwd and /etc/group, which are hostile input."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence

import msgspec

from wardian.errors import CommandFailed

MAX_FILE_BYTES = 1 << 20
MAX_ID = (1 << 31) - 1
_ID = re.compile(r"0|[1-9][0-9]{0,9}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}\$?")


class User(msgspec.Struct, frozen=True):
    """Who a process runs as: ids inside the container."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def lookup(user: str, *, root: str = "", more: Sequence[str] = ()) -> User:
    """Resolve docker's ``--user`` words by the files below ``root``.

    ``more`` are groups to have besides, by name or number (docker's ``--group-add``).
    Raises CommandFailed for words that are not ``uid``, ``uid:gid``, ``name`` or ``name:group``.
    """
    name, colon, group = user.partition(":")
    if colon and not group:
        raise _refused(user, "the group after ':' is missing")
    uid, gid, home, login = _find_user(name, user, root)
    groups: tuple[int, ...] = ()
    if group:
        gid = _find_group(group, user, root)
    elif login:
        groups = tuple(
            int(fields[2])
            for fields in _rows(root + "/etc/group", 4)
            if login in fields[3].split(",") and _ID.fullmatch(fields[2])
        )
    added = tuple(_find_group(word, word, root) for word in more)
    return User(uid, gid, tuple(dict.fromkeys((*groups[:256], *added))), home)


def _find_user(name: str, user: str, root: str) -> tuple[int, int, str, str]:
    wanted = _number(name, user)
    if wanted is None and not _NAME.fullmatch(name):
        raise _refused(user, "not a user name or number")
    for fields in _rows(root + "/etc/passwd", 7):
        if not (_ID.fullmatch(fields[2]) and _ID.fullmatch(fields[3])):
            continue
        if fields[0] == name or (wanted is not None and int(fields[2]) == wanted):
            return int(fields[2]), int(fields[3]), fields[5] or "/", fields[0]
    if wanted is None:
        raise _refused(user, f"no user {name} in the container's /etc/passwd")
    return wanted, 0, "/root" if wanted == 0 else "/", ""


def _find_group(group: str, user: str, root: str) -> int:
    wanted = _number(group, user)
    if wanted is not None:
        return wanted
    if not _NAME.fullmatch(group):
        raise _refused(user, "not a group name or number")
    for fields in _rows(root + "/etc/group", 4):
        if fields[0] == group and _ID.fullmatch(fields[2]):
            return int(fields[2])
    raise _refused(user, f"no group {group} in the container's /etc/group")


def _number(word: str, user: str) -> int | None:
    if not _ID.fullmatch(word):
        return None
    if int(word) > MAX_ID:
        raise _refused(user, f"ids go up to {MAX_ID}")
    return int(word)


def _rows(path: str, columns: int) -> list[list[str]]:
    """The file's lines that have this many fields; nothing if it is not a plain, small file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return []
        text = os.read(fd, MAX_FILE_BYTES).decode(errors="replace")
    except OSError:
        return []
    finally:
        os.close(fd)
    return [row for row in (line.split(":") for line in text.splitlines()) if len(row) == columns]


def _refused(user: str, why: str) -> CommandFailed:
    return CommandFailed(
        f"unable to find user {user[:40]!r}: {why}",
        exit_code=126,
        hint="give uid, uid:gid, name or name:group",
    )
