"""Directory trees that somebody hostile wrote: opened, measured and removed by descriptor.

No symbolic link in them is followed. A tree may be nested deeper than PATH_MAX allows to name and
than there are descriptors, so nothing here recurses or holds one descriptor a level.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress

import msgspec

from wardian.errors import FailedPrecondition, KernelRefused
from wardian.linux.openat2 import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2

OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
MAX_PATH_BYTES = 1 << 16  # sixteen times what an ordinary program can name
_STEP_BYTES = 4000  # below PATH_MAX
_BENEATH = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV})


class Usage(msgspec.Struct, frozen=True):
    """What a tree takes: blocks on disk, hard-linked files once, and how many inodes it has."""

    size_bytes: int
    inodes: int


def open_below(root_fd: int, path: str, flags: int) -> int:
    """Open ``path`` ("" is the root itself) without following any symlink.

    Raises FileNotFoundError when there is no such thing, whatever the reason.
    """
    parent_fd = root_fd
    *steps, last = _steps(path)
    try:
        for step in steps:
            child_fd = _open_step(parent_fd, step, os.O_PATH | os.O_DIRECTORY)
            if parent_fd != root_fd:
                os.close(parent_fd)
            parent_fd = child_fd
        return _open_step(parent_fd, last, flags)
    finally:
        if parent_fd != root_fd:
            os.close(parent_fd)


def _steps(path: str) -> list[str]:
    """The path in pieces that a system call takes: PATH_MAX is 4,096 bytes."""
    if len(path) * 4 <= _STEP_BYTES:
        return [path or "."]
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise FailedPrecondition(
            f"directories are nested too deeply: {path[:40]}…",
            hint="remove that directory in the container",
        )
    steps: list[str] = []
    step: list[str] = []
    size = 0
    for name in path.split("/"):
        length = len(os.fsencode(name)) + 1
        if step and size + length > _STEP_BYTES:
            steps.append("/".join(step))
            step, size = [], 0
        step.append(name)
        size += length
    return [*steps, "/".join(step)]


def _open_step(parent_fd: int, path: str, flags: int) -> int:
    try:
        return openat2(parent_fd, path, flags | os.O_CLOEXEC, resolve=_BENEATH)
    except KernelRefused as refused:
        if refused.errno in _ABSENT:
            raise FileNotFoundError(refused.errno, os.strerror(refused.errno)) from refused
        raise


def walk(root_fd: int) -> Iterator[tuple[str, int, str]]:
    """Everything below: path of its directory (the root's is ""), a descriptor of that, name.

    A directory is followed by what is in it, names are sorted. The descriptor is good until the
    next one. What vanishes meanwhile is left out.
    """
    waiting = [("", _names(root_fd, ""))]
    fd, opened = -1, None
    try:
        while waiting:
            path, names = waiting[-1]
            if not names:
                waiting.pop()
                continue
            name = names.pop()
            if opened != path:
                if opened is not None:
                    os.close(fd)
                    opened = None
                try:
                    fd, opened = open_below(root_fd, path, OPEN_DIRECTORY), path
                except FileNotFoundError:
                    names.clear()
                    continue
            yield path, fd, name
            if _is_directory(fd, name):
                child = f"{path}/{name}" if path else name
                waiting.append((child, _names(root_fd, child)))
    finally:
        if opened is not None:
            os.close(fd)


def _names(root_fd: int, path: str) -> list[str]:
    """The names in a directory, the first last."""
    try:
        fd = open_below(root_fd, path, OPEN_DIRECTORY)
    except FileNotFoundError:
        return []
    try:
        return sorted(os.listdir(fd), reverse=True)
    finally:
        os.close(fd)


def _is_directory(dir_fd: int, name: str) -> bool:
    status = look_at(dir_fd, name)
    return status is not None and stat.S_ISDIR(status.st_mode)


def look_at(dir_fd: int, name: str) -> os.stat_result | None:
    """lstat(2) of a name in a directory; None if it is not there."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    return None


def usage(root_fd: int) -> Usage:
    """What the tree below ``root_fd`` takes, its root not counted."""
    size_bytes, seen = 0, set()
    for _, fd, name in walk(root_fd):
        status = look_at(fd, name)
        if status is not None and (status.st_dev, status.st_ino) not in seen:
            seen.add((status.st_dev, status.st_ino))
            size_bytes += status.st_blocks * 512
    return Usage(size_bytes, len(seen))


def remove(parent_fd: int, name: str) -> None:
    """Remove a file or a whole tree; nothing if there is none.

    Each directory is moved up into the topmost one before it is emptied, so that the depth costs
    neither descriptors nor stack.
    """
    status = look_at(parent_fd, name)
    if status is None:
        return
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(name, dir_fd=parent_fd)
        return
    top_fd = _open_for_removal(parent_fd, name)
    try:
        waiting = _empty(top_fd, top_fd)
        while waiting:
            folder = waiting.pop()
            fd = _open_for_removal(top_fd, folder)
            try:
                waiting += _empty(fd, top_fd)
            finally:
                os.close(fd)
            os.rmdir(folder, dir_fd=top_fd)
    finally:
        os.close(top_fd)
    os.rmdir(name, dir_fd=parent_fd)


def _empty(fd: int, top_fd: int) -> list[str]:
    """Unlink the files of a directory, move its directories to the top; their names there."""
    hoisted = []
    for entry in os.listdir(fd):
        if not _is_directory(fd, entry):
            os.unlink(entry, dir_fd=fd)
        elif fd == top_fd:
            hoisted.append(entry)
        else:
            hoisted.append(_hoist(fd, entry, top_fd))
    return hoisted


def _hoist(fd: int, entry: str, top_fd: int) -> str:
    target = f".removed-{os.urandom(12).hex()}"
    try:
        os.rename(entry, target, src_dir_fd=fd, dst_dir_fd=top_fd)
    except PermissionError:
        # Who is not root must be able to write the moved directory's own "..".
        os.close(_open_for_removal(fd, entry))
        os.rename(entry, target, src_dir_fd=fd, dst_dir_fd=top_fd)
    return target


def _open_for_removal(parent_fd: int, name: str) -> int:
    fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
    try:
        mode = os.fstat(fd).st_mode
        if os.geteuid() != 0 and mode & 0o700 != 0o700:
            os.chmod(f"/proc/self/fd/{fd}", 0o700)
    finally:
        os.close(fd)
    return os.open(name, OPEN_DIRECTORY, dir_fd=parent_fd)
