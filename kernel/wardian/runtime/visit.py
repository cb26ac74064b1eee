"""Doing something in a running container's file system, as its root, with our own code.

A child of the caller joins the container's user and mount namespace. From there on every path is
the container's, its symlinks too, and the host's files are out of reach. The container's files are
hostile in turn: the child can import nothing any more (CVE-2019-14271), has no descriptor but
those that it is given, and of root's capabilities only those that files need.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from wardian.errors import FailedPrecondition, SetupError, WardianError
from wardian.linux import capabilities, process
from wardian.linux.capabilities import Capability
from wardian.linux.idmap import write_id_maps
from wardian.linux.mount import (
    MNT_DETACH,
    MS_BIND,
    MS_RDONLY,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
    make_rprivate,
    mount,
    move_mount,
    open_tree,
    pivot_root,
    umount2,
)
from wardian.linux.namespaces import CLONE_NEWNS, CLONE_NEWUSER, setns, unshare
from wardian.storage.driver import Driver
from wardian.storage.foreign import own_ranges
from wardian.storage.snapshotter import Snapshot

if TYPE_CHECKING:
    from wardian.runtime.container import Container

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


class Visit(msgspec.Struct):
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
    container: Container,
    action: Callable[[], bytes],
    *,
    fds: Collection[int] = (),
    without_mounts: bool = False,
) -> Visit:
    """Begin an action inside a container that runs; it may use these descriptors.

    ``without_mounts`` shows it the root file system alone: its layers and nothing that is mounted
    over them, be it /proc or a volume.
    """
    namespaces = container.enter()

    def settle() -> None:
        _join(*namespaces)
        if without_mounts:
            _leave_mounts()

    answer_r, answer_w = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        _act(settle, action, answer_w, (*fds, *namespaces))
    for fd in (answer_w, *namespaces):
        os.close(fd)
    return Visit(child, answer_r)


def visit_own(
    action: Callable[[], bytes],
    *,
    fds: Collection[int] = (),
    lowers: Sequence[str] = (),
    place: str = "",
    snapshot: Snapshot | None = None,
) -> Visit:
    """Begin an action as root of the caller's own ids and of nothing else.

    For an ordinary user's files of subordinate ids, and images that no container shows. With a
    ``place``, a directory that there is, the root is put together over it: an image's of the
    ``lowers``. It can be written if there is a ``snapshot``; all drivers but overlay need one.
    """
    uids, gids = own_ranges()
    if len(uids) == 1 or len(gids) == 1:
        uids, gids = uids[:1], gids[:1]
    unshared, mapped = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)

    if place and snapshot is not None:  # the child can import nothing
        if snapshot.driver is Driver.NATIVE:
            import wardian.storage.native
        elif snapshot.driver is Driver.FUSE:
            import wardian.runtime.fuse_server  # noqa: F401

    def settle() -> None:
        _become_root_of_own_ids(unshared[1], mapped[0])
        if place:
            _show_image(lowers, place, snapshot)

    answer_r, answer_w = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        _act(settle, action, answer_w, (*fds, unshared[1], mapped[0]))
    for fd in (answer_w, unshared[1], mapped[0]):
        os.close(fd)
    try:
        if os.read(unshared[0], 1):
            write_id_maps(child, uids, gids, deny_setgroups=len(uids) == 1)
            os.write(mapped[1], b"x")
    finally:
        os.close(unshared[0])
        os.close(mapped[1])
    return Visit(child, answer_r)


def _act(
    settle: Callable[[], None], action: Callable[[], bytes], answer: int, fds: Collection[int]
) -> None:
    """The child: never returns."""
    try:
        said = _said(settle, action, answer, fds)
        while said:
            said = said[os.write(answer, said) :]
    finally:
        os._exit(0)


def _said(
    settle: Callable[[], None], action: Callable[[], bytes], answer: int, fds: Collection[int]
) -> bytes:
    try:
        process.keep_only(answer, *fds)
        settle()
        _give_up_privileges()
        return b"ok\0" + action()
    except OSError as error:
        where = f"{error.filename!a}: " if error.filename else ""
        return f"refused\0{where}{error.strerror}".encode()
    except WardianError as error:
        return f"refused\0{error.what}\0{error.hint}".encode()
    except Exception as error:  # noqa: BLE001  # whatever it is, the caller says it
        return f"mistake\0{type(error).__name__}: {error}".encode()


def _join(user: int, mounts: int) -> None:
    own = os.stat("/proc/self/ns/user")
    _import_nothing_more()
    if not os.path.samestat(own, os.fstat(user)):
        setns(user)
    setns(mounts)
    os.close(user)
    os.close(mounts)
    process.become_root()


def _import_nothing_more() -> None:
    for finders in (sys.meta_path, sys.path_hooks, sys.path):
        finders.clear()


def _become_root_of_own_ids(unshared: int, mapped: int) -> None:
    _import_nothing_more()
    unshare(CLONE_NEWUSER)
    os.write(unshared, b"x")
    if not os.read(mapped, 1):
        raise SetupError("your ids cannot be mapped", hint="check /etc/subuid and /etc/subgid")
    process.become_root()
    unshare(CLONE_NEWNS)
    make_rprivate()


def _show_image(lowers: Sequence[str], place: str, snapshot: Snapshot | None) -> None:
    """Make an image's layers, stacked, our root. Short names: all options must fit into a page."""
    if snapshot is not None and snapshot.driver is not Driver.OVERLAY:
        (_show_copy if snapshot.driver is Driver.NATIVE else _show_served)(lowers, place, snapshot)
        return
    sources = [*lowers, str(snapshot.upper.parent)] if snapshot else lowers
    layers = [os.open(source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for source in sources]
    mount("tmpfs", place, "tmpfs", 0, "mode=700,size=1m")
    os.chdir(place)
    for number, layer in enumerate(layers):
        os.mkdir(str(number))
        mount(f"/proc/self/fd/{layer}", str(number), None, MS_BIND)
    os.mkdir("empty")  # overlayfs wants two
    os.mkdir("image")
    count = len(lowers)
    options = "lowerdir=" + ":".join([*map(str, range(count)), "empty"])
    if snapshot:
        upper, work = snapshot.upper.name, snapshot.work.name
        options += f",upperdir={count}/{upper},workdir={count}/{work},index=off,metacopy=off"
    flags = 0 if snapshot else MS_RDONLY
    mount("overlay", "image", "overlay", flags, f"{options},userxattr")
    os.chdir("image")
    os.chroot(".")


def _show_served(lowers: Sequence[str], place: str, snapshot: Snapshot) -> None:
    from wardian.runtime import fuse_server

    home, upper, work = snapshot.upper.parent, snapshot.upper.name, snapshot.work.name
    paths = (*lowers, str(home))
    fuse_server.hang_up(fuse_server.Layers((), paths, upper, work), place)
    server = fuse_server.serve(len(lowers), upper, work)
    os.mkdir("image")
    move_mount(server.mount_fd, "image")
    server.close()
    os.chdir("image")
    os.chroot(".")


def _show_copy(lowers: Sequence[str], _place: str, snapshot: Snapshot) -> None:
    from wardian.storage import native
    from wardian.storage.packing import IdShift

    native.fill(snapshot, [Path(lower) for lower in lowers], IdShift())
    os.chdir(snapshot.upper)
    os.chroot(".")


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
