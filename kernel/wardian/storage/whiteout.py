"""Whiteouts and opaque directories: how a layer says that something below it is gone.

There are two spellings. On disk it is overlayfs' (Documentation/filesystems/overlayfs.rst): a
character device 0:0 hides a name, an extended attribute makes a directory opaque. In a layer's
archive (image-spec, layer.md) a file ``.wh.NAME`` hides NAME and ``.wh..wh..opq`` makes its
directory opaque.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from wardian.errors import SetupError

PREFIX = ".wh."
OPAQUE_NAME = ".wh..wh..opq"
META_PREFIX = ".wh..wh."  # AUFS' own bookkeeping, of no meaning to anybody else

OPAQUE_ATTRIBUTES = ("trusted.overlay.opaque", "user.overlay.opaque")
WHITEOUT_ATTRIBUTES = ("trusted.overlay.whiteout", "user.overlay.whiteout")
# fuse-overlayfs marks an opaque directory by this and by a file OPAQUE_NAME in it; deleted names as
# overlayfs does, or by a file .wh.NAME (main.c: set_fd_opaque, create_whiteout). It lets no
# container have a name that begins so.
FUSE_OPAQUE_ATTRIBUTE = "user.fuseoverlayfs.opaque"
# A file that was copied up has this, even where the lower file system has no file handles to keep
# in it (fs/overlayfs/copy_up.c: ovl_set_origin_fh); not so one with hard links. fuse-overlayfs
# keeps the path (main.c: copyup).
ORIGIN_ATTRIBUTES = (
    "trusted.overlay.origin",
    "user.overlay.origin",
    "user.fuseoverlayfs.origin",
)
PRIVATE_PREFIXES = ("trusted.overlay.", "user.overlay.", "user.fuseoverlayfs.")

_OPAQUE = b"y"
_HAS_WHITEOUT_FILES = b"x"  # since Linux 6.7, so that an overlay can lie on an overlay


def is_opaque(directory_fd: int) -> bool:
    """Whether a directory hides the directories of the same name in the layers below."""
    return _mark(directory_fd) == _OPAQUE


def is_opaque_by_fuse(directory_fd: int) -> bool:
    """Whether fuse-overlayfs says the same of a directory of an upper; nobody else may."""
    with suppress(OSError):
        return os.getxattr(directory_fd, FUSE_OPAQUE_ATTRIBUTE) == _OPAQUE
    return is_opaque(directory_fd)


def without_marks(names: Iterable[str]) -> set[str]:
    """The names in a directory of fuse-overlayfs' upper that the container sees."""
    return {name for name in names if not name.startswith(PREFIX)}


def is_opaque_path(directory: Path) -> bool:
    """The same of a path; False if there is no such directory."""
    return _mark(directory) == _OPAQUE


def has_whiteout_files(directory_fd: int) -> bool:
    """Whether empty files in this directory may be whiteouts by their attribute."""
    return _mark(directory_fd) == _HAS_WHITEOUT_FILES


def _mark(directory: int | Path) -> bytes:
    for attribute in OPAQUE_ATTRIBUTES:
        with suppress(OSError):
            return os.getxattr(directory, attribute)
    return b""


def is_copied_up(file_fd: int) -> bool:
    """Whether a file of an upper, open as a path alone, says that it is a copy of a lower one."""
    for attribute in ORIGIN_ATTRIBUTES:
        with suppress(OSError):
            os.getxattr(f"/proc/self/fd/{file_fd}", attribute)
            return True
    return False


def is_whiteout(status: os.stat_result) -> bool:
    """Whether this is the mark of a deleted name: a character device 0:0."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_whiteout_file(dir_fd: int, name: str, status: os.stat_result) -> bool:
    """Whether an empty file is a whiteout, in a directory that `has_whiteout_files`."""
    if not stat.S_ISREG(status.st_mode) or status.st_size:
        return False
    path = f"/proc/self/fd/{dir_fd}/{name}"
    for attribute in WHITEOUT_ATTRIBUTES:
        with suppress(OSError):
            os.getxattr(path, attribute, follow_symlinks=False)
            return True
    return False


def make_whiteout(dir_fd: int, name: str) -> None:
    """Hide ``name`` of the layers below. No privilege is needed since Linux 5.8 (mknod(2))."""
    os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=dir_fd)


def make_opaque(directory_fd: int) -> None:
    """Hide what the layers below have in this directory.

    An overlay in a user namespace (userxattr) looks at user.*, root's own at trusted.*, which
    only root can set.
    """
    if os.geteuid() == 0:
        with suppress(PermissionError):  # root of a user namespace
            os.setxattr(directory_fd, OPAQUE_ATTRIBUTES[0], _OPAQUE)
    try:
        os.setxattr(directory_fd, OPAQUE_ATTRIBUTES[1], _OPAQUE)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            raise SetupError(
                "the file system has no extended attributes, which opaque directories need",
                hint="set WARDIAN_ROOT to ext4, xfs, btrfs, or tmpfs (Linux 6.6 or newer)",
            ) from error
        raise
