"""The process that serves a container's files with the driver fuse-overlayfs.

It lives outside the container, which neither sees nor signals it, but in the container's user
namespace: whoever takes it over by what it is asked has the container's ids, no network and no file
of the host but programs. Its mount is nowhere but in the container's mount namespace, so the kernel
ends it with the container, whatever becomes of the keeper: nobody need clean up after it.

    keeper ── fork ──→ helper: joins the user namespace, hangs the layers up, mounts; ends
                        └── fork ──→ server: fuse-overlayfs, adopted by this machine's init
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import msgspec

from wardian.errors import KernelRefused, SetupError
from wardian.linux import capabilities, fuse, namespaces, process
from wardian.linux import mount as mnt
from wardian.linux.capabilities import Capability
from wardian.linux.fuse import DEVICE
from wardian.storage.fuse import PATH, PROGRAM, program

_SYSTEM = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "gnu", "nix", "opt")
_STAGING = "/proc/bus"  # exists on every host; what is mounted there is seen by the helper alone
_FILES = frozenset(
    {
        Capability.CHOWN,
        Capability.DAC_OVERRIDE,
        Capability.DAC_READ_SEARCH,
        Capability.FOWNER,
        Capability.FSETID,
        Capability.MKNOD,
        Capability.SETFCAP,
    }
)
_LONGEST_WORDS = 1 << 12
_NOTE = "server"
_ISOLATED = namespaces.CLONE_NEWNS | namespaces.CLONE_NEWNET | namespaces.CLONE_NEWIPC


class Server(msgspec.Struct):
    """One that was started: its detached mount, its process, what it says on stderr."""

    host_pid: int
    mount_fd: int
    pidfd: int
    words_fd: int

    def why_ended(self) -> SetupError | None:
        """Why it has ended, if it has."""
        with suppress(BlockingIOError):
            os.set_blocking(self.words_fd, False)
            if words := os.read(self.words_fd, _LONGEST_WORDS):
                *_, last = words.decode(errors="replace").strip().splitlines() or [""]
                return SetupError(f"the container's files cannot be served: {last[:200]!a}")
            return SetupError("fuse-overlayfs ended while the container was set up")
        return None

    def close(self) -> None:
        """Let go of all three; it lives as long as somebody has the mount."""
        for fd in (self.mount_fd, self.pidfd, self.words_fd):
            if fd >= 0:
                os.close(fd)
        self.mount_fd = self.pidfd = self.words_fd = -1


def note(home: Path, server: Server) -> None:
    """Remember in a container's directory which process serves it, for the next keeper."""
    (home / _NOTE).write_text(f"{server.host_pid} {process.start_ticks(server.host_pid)}")


def noted(home: Path) -> int | None:
    """A pidfd of that process; None if nobody serves the container that way.

    Raises ProcessLookupError if it has ended.
    """
    try:
        host_pid, ticks = map(int, (home / _NOTE).read_text().split())
    except FileNotFoundError:
        return None
    except ValueError:
        raise ProcessLookupError from None
    pidfd = os.pidfd_open(host_pid)
    if process.start_ticks(host_pid) != ticks:
        os.close(pidfd)
        raise ProcessLookupError
    return pidfd


class Layers(msgspec.Struct, frozen=True):
    """What is to be put together: detached mounts, else (``paths``) directories to be mounted.

    Uppermost first, the snapshot last, in which ``upper`` and ``work`` lie.
    """

    trees: Sequence[int]
    paths: Sequence[str]
    upper: str
    work: str


def start(layers: Layers, userns_fd: int | None) -> Server:
    """Start one in this user namespace, with our own if it is None. Raises SetupError."""
    program()  # says what is missing, before anything is done
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        _help(theirs, layers, userns_fd)
    theirs.close()
    try:
        words, fds, _, _ = socket.recv_fds(ours, 1 << 12, 3)
    finally:
        ours.close()
        os.waitpid(child, 0)
    if len(fds) != 3:
        what = words.decode(errors="replace") or "the helper ended"
        raise SetupError(
            f"fuse-overlayfs cannot be started: {what}",
            hint="`wardian doctor` tells what this host allows",
        )
    return Server(int(words), *fds)


def _help(answer: socket.socket, layers: Layers, userns_fd: int | None) -> NoReturn:
    """In the helper: never returns."""
    try:
        kept = [fd for fd in (*layers.trees, userns_fd) if fd is not None]
        process.keep_only(answer.fileno(), *kept)
        server = _serve(layers, userns_fd)
        said = str(server.host_pid).encode()
        socket.send_fds(answer, [said], [server.mount_fd, server.pidfd, server.words_fd])
    except (OSError, KernelRefused, SetupError) as error:
        with suppress(OSError):
            answer.send(str(error).encode()[:1000])
    finally:
        os._exit(0)


def _serve(layers: Layers, userns_fd: int | None) -> Server:
    device = _open_device() if userns_fd is not None and os.geteuid() == 0 else DEVICE
    if userns_fd is not None:
        namespaces.setns(userns_fd)
        process.become_root()
    namespaces.unshare(namespaces.CLONE_NEWNS)
    mnt.make_rprivate()
    connection = fuse.connect(device)
    hang_up(layers)
    return serve(len(layers.paths) - 1, layers.upper, layers.work, connection)


def hang_up(layers: Layers, place: str = _STAGING) -> None:
    """Mount them at ``0``, ``1`` … of a tmpfs, the working directory from then on."""
    trees = layers.trees or [
        mnt.open_tree(path, mnt.OPEN_TREE_CLONE | mnt.OPEN_TREE_CLOEXEC) for path in layers.paths
    ]
    mnt.mount("tmpfs", place, "tmpfs", 0, "mode=755,size=1m")
    os.chdir(place)
    for number, tree in enumerate(trees):
        os.mkdir(str(number))
        mnt.move_mount(tree, str(number))
        if number < len(trees) - 1:
            mnt.mount_setattr(tree, attr_set=mnt.MOUNT_ATTR_RDONLY)


def _open_device() -> str:
    """A way to the device for the container's root, where only the host's may open it.

    In a mount namespace of our own; it is reached by a descriptor afterwards.
    """
    if os.stat(DEVICE).st_mode & 0o006 == 0o006:
        return DEVICE
    namespaces.unshare(namespaces.CLONE_NEWNS)
    mnt.make_rprivate()
    mnt.mount("tmpfs", _STAGING, "tmpfs", 0, "mode=755,size=64k")
    fuse.make_device(f"{_STAGING}/fuse")
    return f"{_STAGING}/fuse"


def serve(lowers: int, upper: str, work: str, connection: int | None = None) -> Server:
    """Start a server of the layers that are mounted at ``0``, ``1`` … in the working directory.

    By root of its user namespace; the snapshot is the last of them. The directory, a tmpfs, becomes
    the server's root. Raises KernelRefused, OSError.
    """
    path = program()
    if connection is None:
        connection = fuse.connect()
    mount_fd = fuse.mount(connection, PROGRAM)
    words_r, words_w = os.pipe2(os.O_CLOEXEC)
    names = ":".join(map(str, range(lowers)))
    # Written through: what is read of the upper directory is then what the container has written.
    options = f"lowerdir={names},upperdir={lowers}/{upper},workdir={lowers}/{work},writeback=0"
    begun_r, begun_w = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        command = [path, "-f", "-o", options, f"/dev/fd/{connection}"]
        _become(command, connection, words_w, begun_w)
    for fd in (words_w, connection, begun_w):
        os.close(fd)
    # Until its mount namespace is its own: with our mount in it it would keep itself alive.
    os.read(begun_r, 1)
    os.close(begun_r)
    return Server(child, mount_fd, os.pidfd_open(child), words_r)


def _become(command: list[str], connection: int, words: int, begun: int) -> NoReturn:
    """The server, from its fork to execve(2), which closes ``begun``."""
    try:
        process.keep_only(connection, words, begun)
        os.setsid()
        os.dup2(words, 2)
        namespaces.unshare(_ISOLATED)
        mnt.make_rprivate()
        _take_root()
        os.set_inheritable(connection, True)  # noqa: FBT003  # its own argument
        capabilities.drop_bounding(_FILES)
        capabilities.set_capabilities(effective=_FILES, permitted=_FILES, inheritable=frozenset())
        process.set_no_new_privs()
        os.execve(command[0], command, {"PATH": PATH, "LC_ALL": "C"})
    except (OSError, KernelRefused) as error:
        os.write(words, f"{error}\n".encode())
    finally:
        os._exit(1)


def _take_root() -> None:
    """Make the working directory our root, with this machine's programs and /proc in it."""
    for name in (*_SYSTEM, "proc"):
        if os.path.islink(f"/{name}"):
            os.symlink(os.readlink(f"/{name}"), name)
        elif os.path.isdir(f"/{name}"):
            os.mkdir(name)
            mnt.mount(f"/{name}", name, None, mnt.MS_BIND | mnt.MS_REC)
    mnt.pivot_root(".", ".")
    mnt.umount2(".", mnt.MNT_DETACH)
    os.chdir("/")
