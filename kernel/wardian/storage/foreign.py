"""Files of a user's subordinate ids (subuid(5)), which the user itself may not touch.

A rootless container with more than one id leaves files of those ids in its snapshot, and a layer
has them where its archive says so. Only in a user namespace that maps them is the user their root.
"""

from __future__ import annotations

import errno
import json
import os
import pwd
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

import msgspec

from wardian.errors import InvalidInput, KernelRefused, SetupError, WardianError
from wardian.linux.idmap import IdRange, subordinate_ranges, write_id_maps
from wardian.linux.namespaces import CLONE_NEWUSER, unshare
from wardian.storage import tree

T = TypeVar("T")


def own_ranges() -> tuple[list[IdRange], list[IdRange]]:
    """The maps (uids, gids) in which the caller is 0 and its subordinate ids follow."""
    login = str(os.geteuid())
    with suppress(KeyError):
        login = pwd.getpwuid(os.geteuid()).pw_name
    uids, gids = subordinate_ranges(login)
    return _stacked(os.geteuid(), uids), _stacked(os.getegid(), gids)


def _stacked(own: int, ranges: Sequence[tuple[int, int]]) -> list[IdRange]:
    stacked = [IdRange(0, own, 1)]
    for first, count in ranges:
        stacked.append(IdRange(stacked[-1].container_id + stacked[-1].count, first, count))
    return stacked


def remove(parent_fd: int, name: str) -> None:
    """`tree.remove`, of the caller's own files and of its subordinate ids'. Raises OSError."""
    try:
        tree.remove(parent_fd, name)
    except PermissionError:
        if os.geteuid() == 0:
            raise
        as_root_of_own_ids(partial(tree.remove, parent_fd, name))


def has_own_ids() -> bool:
    """Whether the caller is an ordinary user with subordinate ids."""
    if os.geteuid() == 0:
        return False
    uids, gids = own_ranges()
    return len(uids) > 1 and len(gids) > 1


def _never(_: object) -> bool:
    return False


def read(action: Callable[[], T], kind: type[T], is_refused: Callable[[T], bool] = _never) -> T:
    """Do what only reads; as root of the caller's subordinate ids if the caller may not.

    ``is_refused`` tells an answer that says so from others. What the other one returns is passed on
    as JSON, which can say names that are not UTF-8 (PEP 383).
    """
    try:
        found = action()
        if not (is_refused(found) and has_own_ids()):
            return found
    except (OSError, WardianError) as error:
        cause = error if isinstance(error, OSError | KernelRefused) else error.__cause__
        is_denied = getattr(cause, "errno", 0) == errno.EACCES
        if not (is_denied and has_own_ids()):
            raise
    said = as_root_of_own_ids(lambda: json.dumps(msgspec.to_builtins(action())).encode())
    return msgspec.convert(json.loads(said), kind)


def as_root_of_own_ids(action: Callable[[], bytes | None]) -> bytes:
    """Do something in a child that is root of the caller's subordinate ids; what it returned.

    Raises the OSError, InvalidInput or SetupError that the action raised, SetupError if there are
    no such ids.
    """
    uids, gids = own_ranges()
    if len(uids) == 1 or len(gids) == 1:
        raise SetupError(
            "files belong to ids that are not yours",
            hint="add your user to /etc/subuid and /etc/subgid, or remove them as root",
        )
    unshared, mapped, answer = (os.pipe2(os.O_CLOEXEC) for _ in range(3))
    child = os.fork()
    if child == 0:
        os.close(mapped[1])
        _act(action, unshared[1], mapped[0], answer[1])
    for fd in (unshared[1], mapped[0], answer[1]):
        os.close(fd)
    try:
        if os.read(unshared[0], 1):
            write_id_maps(child, uids, gids, deny_setgroups=False)
            os.write(mapped[1], b"x")
        with open(answer[0], "rb", closefd=False) as stream:
            said = stream.read()
    finally:
        for fd in (unshared[0], mapped[1], answer[0]):
            os.close(fd)
        os.waitpid(child, 0)
    return _understood(said)


def _understood(said: bytes) -> bytes:
    kind, _, rest = said.partition(b"\0")
    if kind == b"ok":
        return rest
    what, _, hint = rest.decode(errors="replace").partition("\0")
    if kind == b"invalid":
        raise InvalidInput(what, hint=hint)
    if kind == b"setup":
        raise SetupError(what, hint=hint)
    number = int(kind or b"%d" % errno.EPERM)
    raise OSError(number, os.strerror(number))


def _act(action: Callable[[], bytes | None], unshared: int, mapped: int, answer: int) -> None:
    """The child: says what came of it, and never returns."""
    try:
        unshare(CLONE_NEWUSER)
        os.write(unshared, b"x")
        if os.read(mapped, 1):
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
            with open(answer, "wb", closefd=False) as stream:
                stream.write(_said(action))
    except OSError as error:
        os.write(answer, b"%d" % (error.errno or errno.EIO))
    finally:
        os._exit(0)


def _said(action: Callable[[], bytes | None]) -> bytes:
    try:
        return b"ok\0" + (action() or b"")
    except WardianError as error:
        kind = b"invalid" if isinstance(error, InvalidInput) else b"setup"
        return b"\0".join((kind, error.what.encode(), error.hint.encode()))
