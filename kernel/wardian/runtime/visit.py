"""Doing something in a running container's file system, as its root, with our own code.

A child of the caller joins the container's user and mount namespace. From there on every path is
the container's, its symlinks too, and the host's files are out of reach. The container's files are
hostile in turn: the child can import nothing any more (CVE-2019-14271), has no descriptor but
those that it is given, and of root's capabilities only those that files need.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass

from wardian.errors import FailedPrecondition, SetupError, WardianError
from wardian.linux import capabilities, process
from wardian.linux.capabilities import Capability
from wardian.linux.mount import (
    MNT_DETACH,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
    move_mount,
    open_tree,
    pivot_root,
    umount2,
)
from wardian.linux.namespaces import CLONE_NEWNS, setns, unshare

_FILES = frozenset(
    {
        Capability.CHOWN,
        Capability.DAC_OVERRIDE,
        Capability.FOWNER,
        Capability.FSETID,
        Capability.SETFCAP,
    }
)
_LONGEST_ANSWER = 1 << 16


@dataclass(slots=True)
class Visit:
    """An action that is being done inside; `result` waits for it."""

    _child: int
    _answer: int

    def result(self) -> bytes:
        """What the action returned.

        Raises what it raised: FailedPrecondition for an OSError, else the same in words.
        """
        with open(self._answer, "rb") as file:
            answer = file.read(_LONGEST_ANSWER)
        os.waitpid(self._child, 0)
        kind, _, text = answer.partition(b"\0")
        if kind == b"ok":
            return text
        what, _, hint = text.decode(errors="replace").partition("\0")
        if kind == b"refused":
            raise FailedPrecondition(what, hint=hint)
        raise SetupError(what or "the container ended meanwhile", hint=hint)

    def abandon(self) -> None:
        """Wait for its end, whatever it says; for one that cannot go on by itself."""
        with suppress(WardianError):
            self.result()


def visit(
    host_pid: int,
    action: Callable[[], bytes],
    *,
    fds: Collection[int] = (),
    without_mounts: bool = False,
) -> Visit:
    """Begin an action inside the container whose init this is; it may use these descriptors.

    ``without_mounts`` shows it the root file system alone: its layers and nothing that is mounted
    over them, be it /proc or a volume.
    """
    namespaces = [f"/proc/{host_pid}/ns/{kind}" for kind in ("user", "mnt")]
    answer_r, answer_w = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        os.close(answer_r)
        enter = _leave_mounts if without_mounts else _stay
        _act(namespaces, enter, action, answer_w, fds)
    os.close(answer_w)
    return Visit(child, answer_r)


def _act(
    namespaces: list[str],
    enter: Callable[[], None],
    action: Callable[[], bytes],
    answer: int,
    fds: Collection[int],
) -> None:
    """The child: never returns."""
    try:
        said = _said(namespaces, enter, action, answer, fds)
        while said:
            said = said[os.write(answer, said) :]
    finally:
        os._exit(0)


def _said(
    namespaces: list[str],
    enter: Callable[[], None],
    action: Callable[[], bytes],
    answer: int,
    fds: Collection[int],
) -> bytes:
    try:
        process.keep_only(answer, *fds)
        _join(namespaces)
        enter()
        _give_up_privileges()
        return b"ok\0" + action()
    except OSError as error:
        where = f"{error.filename!a}: " if error.filename else ""
        return f"refused\0{where}{error.strerror}".encode()
    except WardianError as error:
        return f"refused\0{error.what}\0{error.hint}".encode()
    except Exception as error:  # noqa: BLE001  # whatever it is, the caller says it
        return f"mistake\0{type(error).__name__}: {error}".encode()


def _join(namespaces: list[str]) -> None:
    own = os.stat("/proc/self/ns/user")
    user, mounts = (os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in namespaces)
    for finders in (sys.meta_path, sys.path_hooks, sys.path):
        finders.clear()
    if not os.path.samestat(own, os.fstat(user)):
        setns(user)
    setns(mounts)
    process.become_root()


def _stay() -> None:
    """Look at the container as its processes see it."""


def _leave_mounts() -> None:
    """Make a copy of the root mount, which has no other on it, our root (open_tree(2)).

    In a mount namespace of our own that has nothing else: a name that anything is mounted on can
    otherwise not be unlinked (EBUSY), though that mount is not seen.
    """
    unshare(CLONE_NEWNS)
    root = open_tree("/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)
    move_mount(root, "/")
    os.fchdir(root)
    os.close(root)
    pivot_root(".", ".")
    umount2(".", MNT_DETACH)
    os.chdir("/")


def _give_up_privileges() -> None:
    process.set_no_new_privs()
    capabilities.set_capabilities(effective=_FILES, permitted=_FILES, inheritable=frozenset())
