"""Probes of the state directory: whether it can carry layers, and whose files they are then."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import msgspec

from wardian.errors import KernelRefused, SetupError
from wardian.linux import mount as mnt
from wardian.linux import namespaces
from wardian.linux.idmap import write_id_maps
from wardian.linux.namespaces import CLONE_NEWNS, CLONE_NEWUSER
from wardian.runtime import fuse_server, ids
from wardian.runtime.ids import IdMaps
from wardian.runtime.probes.attempt import Result, attempt, in_namespaces, mount_scratch
from wardian.runtime.probes.host import file_system
from wardian.storage.fuse import PROGRAM

LOW_SPACE_BYTES = 512 << 20


@contextmanager
def scratch_below(root: Path) -> Iterator[Path]:
    """A directory of ours in the state directory, with a lower layer, an upper and a work.

    The state directory and its parents, where they had to be made, go with it.
    """
    made = []
    directory = root
    while not directory.exists():
        made.append(directory)
        directory = directory.parent
    root.mkdir(mode=0o711, parents=True, exist_ok=True)
    scratch = root / f".doctor-{os.getpid()}"
    try:
        for name in ("lower", "snapshot/upper", "snapshot/work"):
            (scratch / name).mkdir(parents=True)
        (scratch / "lower/file").write_text("lower")
        yield scratch
    finally:
        with suppress(OSError):  # overlayfs makes work/work, which its owner may not even list
            (scratch / "snapshot/work/work").chmod(0o700)
        shutil.rmtree(scratch, ignore_errors=True)
        for directory in made:
            with suppress(OSError):
                directory.rmdir()


class Place(msgspec.Struct, frozen=True):
    """What a file system offers the state directory."""

    free_bytes: int
    is_executable: bool
    """Whether programs may be executed there, as cells execute the toolbox's (mount(8), noexec)."""


def state_directory(root: Path) -> tuple[Result, Place]:
    """Whether it can be written, and what place there is."""

    def deed() -> str:
        with scratch_below(root):
            return ""

    result = attempt(deed)
    directory = root
    while not directory.exists():
        directory = directory.parent
    status = os.statvfs(directory)
    is_executable = not status.f_flag & os.ST_NOEXEC
    return result, Place(status.f_bavail * status.f_frsize, is_executable)


def state_overlay(scratch: Path) -> Result:
    """An upper layer on the state directory's file system, whose name is the detail."""

    def deed() -> str:
        os.chdir(scratch)
        os.mkdir("merged")
        mnt.mount(
            "overlay",
            "merged",
            "overlay",
            0,
            "lowerdir=lower,upperdir=snapshot/upper,workdir=snapshot/work,index=off,metacopy=off,"
            "userxattr",
        )
        Path("merged/file").write_text("upper")
        return file_system(scratch)

    return in_namespaces(CLONE_NEWNS, deed)


def fuse_overlay(scratch: Path) -> Result:
    """The same put together by fuse-overlayfs; its name is the detail."""

    def deed() -> str:
        parts = (str(scratch / "lower"), str(scratch / "snapshot"))
        fuse_server.hang_up(fuse_server.Layers((), parts, "upper", "work"))
        server = fuse_server.serve(1, "upper", "work")
        os.mkdir("merged")
        mnt.move_mount(server.mount_fd, "merged")
        try:
            Path("merged/file").write_text("upper")
        except OSError as error:
            raise server.why_ended() or error from error
        return PROGRAM

    return in_namespaces(CLONE_NEWNS, deed)


def id_maps() -> tuple[Result, int]:
    """The id maps that a container would get, written for real; how many ids they have."""
    maps = ids.choose(())
    count = sum(uids.count for uids in maps.uids)

    def deed() -> str:
        with _user_namespace(maps):
            return (
                f"{count} ids" if count > 1 else "one id: programs run as root there, or not at all"
            )

    return attempt(deed), count


@contextmanager
def _user_namespace(maps: IdMaps) -> Iterator[None]:
    """A child in a new user namespace that gets these maps, and ends with the block."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        try:
            namespaces.unshare(CLONE_NEWUSER)
            theirs.send(b"+")
            theirs.recv(1)
        except KernelRefused as error:
            theirs.send(bytes([error.errno]))
        finally:
            os._exit(0)
    theirs.close()
    try:
        answer = ours.recv(1)
        if answer != b"+":
            raise KernelRefused("unshare", answer[0] if answer else 0, "user namespace")
        write_id_maps(pid, maps.uids, maps.gids, deny_setgroups=maps.has_one_group)
        yield
    finally:
        ours.close()
        os.waitpid(pid, 0)


def id_mapped_layers(scratch: Path) -> Result:
    """The overlay as root's containers have it: a layer mapped to ids that exist nowhere else."""
    maps = ids.choose(())
    if not maps.shifts_layers or maps.first_host_id is None:
        return Result(works=True, detail="not needed: layers are the caller's own")
    first = maps.first_host_id

    def deed() -> str:
        for name in ("snapshot", "snapshot/upper", "snapshot/work"):
            os.chown(scratch / name, first, first)
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            _mount_mapped(theirs)
        theirs.close()
        try:
            _hand_over(ours, pid, maps, scratch)
            answer = ours.recv(1024).decode()
        finally:
            ours.close()
            os.waitpid(pid, 0)
        if answer != "0":
            raise SetupError(answer or "the child ended")
        return ""

    return attempt(deed)


def _hand_over(sock: socket.socket, host_pid: int, maps: IdMaps, scratch: Path) -> None:
    if sock.recv(1) != b"+":
        raise SetupError("cannot make a user namespace")
    write_id_maps(host_pid, maps.uids, maps.gids, deny_setgroups=False)
    userns_fd = os.open(f"/proc/{host_pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    lower = mnt.open_tree(str(scratch / "lower"), mnt.OPEN_TREE_CLONE | mnt.OPEN_TREE_CLOEXEC)
    mnt.mount_setattr(lower, attr_set=mnt.MOUNT_ATTR_IDMAP, userns_fd=userns_fd)
    snapshot = mnt.open_tree(str(scratch / "snapshot"), mnt.OPEN_TREE_CLONE | mnt.OPEN_TREE_CLOEXEC)
    socket.send_fds(sock, [b"m"], [lower, snapshot])


def _mount_mapped(sock: socket.socket) -> NoReturn:
    """In the child: mount what is handed over, and say whose the layer's file is."""
    try:
        namespaces.unshare(CLONE_NEWUSER | CLONE_NEWNS)
        sock.send(b"+")
        _, fds, _, _ = socket.recv_fds(sock, 16, 2)
        if fds:
            sock.send(_owner_in_overlay(fds).encode())
    except (OSError, KernelRefused) as error:
        with suppress(OSError):
            sock.send(str(error).encode())
    finally:
        os._exit(0)


def _owner_in_overlay(fds: list[int]) -> str:
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    mnt.make_rprivate()
    mount_scratch()
    for number, fd in enumerate(fds):
        os.mkdir(str(number))
        mnt.move_mount(fd, str(number))
    os.mkdir("merged")
    options = "lowerdir=0,upperdir=1/upper,workdir=1/work,index=off,metacopy=off,userxattr"
    mnt.mount("overlay", "merged", "overlay", 0, options)
    return str(os.stat("merged/file").st_uid)
