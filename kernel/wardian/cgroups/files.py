"""Reading and writing the files of a cgroup hierarchy."""

from __future__ import annotations

import errno
import os
import re
from functools import cache
from pathlib import Path

from wardian.errors import KernelRefused

# By far the most frequent reasons for which the kernel refuses a limit.
_HINTS = {
    ("memory.limit_in_bytes", errno.EBUSY): "more memory than that is in use and cannot be freed",
    ("cpuset.cpus", errno.EINVAL): "this machine or our own group has no such CPU",
    ("cpuset.cpus", errno.EACCES): "our own group may not use that CPU",
    ("cpuset.cpus", errno.ERANGE): "this machine has no such CPU",
}

_TRIES = 100


def write(path: Path, value: str | int) -> None:
    """Write a control file; KernelRefused tells which, without the group's name (an id)."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, str(value).encode())
        finally:
            os.close(fd)
    except OSError as error:
        number = error.errno or 0
        hint = _HINTS.get((path.name, number), "")
        raise KernelRefused("write", number, f"{value} to {path.name}", hint=hint) from error


def read(path: Path) -> str:
    """The text of a control file that must be there, without blanks around it."""
    try:
        return path.read_text().strip()
    except OSError as error:
        raise KernelRefused("read", error.errno or 0, path.name) from error


def numbers(path: Path) -> list[int]:
    """A file of one number a line (cgroup.procs), opened anew; empty for a group that is gone."""
    try:
        return [int(word) for word in path.read_text().split()]
    except OSError:
        return []


def words(path: Path) -> list[str]:
    """A file of words in one line (cgroup.controllers); none for a group that is not there."""
    try:
        return path.read_text().split()
    except OSError:
        return []


def make_directory(path: Path) -> None:
    """mkdir(2), parents too, also while another removes them."""
    for attempt in range(_TRIES):
        try:
            path.mkdir(mode=0o755, parents=True, exist_ok=True)
        except (FileExistsError, FileNotFoundError) as error:  # it came or went at that moment
            if attempt == _TRIES - 1:
                raise _cannot_make(error) from error
        except OSError as error:
            raise _cannot_make(error) from error
        else:
            return


def _cannot_make(error: OSError) -> KernelRefused:
    hint = "`wardian doctor` tells which cgroups are ours to make"
    return KernelRefused("mkdir", error.errno or 0, "of a cgroup", hint=hint)


def remove_directory(path: Path) -> None:
    """rmdir(2), the group's own children first; nothing if it is not there."""
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    remove_directory(Path(entry.path))
        path.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        raise KernelRefused("rmdir", error.errno or 0, "of a cgroup") from error


def figure(path: Path, name: str = "") -> int | None:
    """One number of a file that is read once: its only one, or the one of this name."""
    try:
        text = path.read_text()
    except OSError:
        return None
    if name:
        text = next((line for line in text.splitlines() if line.startswith(f"{name} ")), "")
        text = text.removeprefix(name)
    return int(text) if text.strip().isdigit() else None


_SLABS = re.compile(r"^\S+ +\d+ +\d+ +\d+ +\d+ +(\d+) :.* : slabdata +\d+ +(\d+) ", re.MULTILINE)
_PAGE_BYTES = os.sysconf("SC_PAGESIZE")


class Files:
    """The readable files of one group, kept open: a reading costs one pread(2)."""

    def __init__(self) -> None:
        self._fds: dict[str | Path, int] = {}

    def text(self, path: str | Path) -> str | None:
        """The file's text; None if the kernel has no such file (any more).

        For what is read ten times a second: a path that is put together as text costs a tenth.
        """
        fd = self._fds.get(path)
        try:
            if fd is None:
                fd = self._fds[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            return os.pread(fd, 1 << 16, 0).decode()
        except OSError:
            return None

    def number(self, path: str | Path) -> int | None:
        """A file of one number; None for ``max`` and for no file."""
        text = self.text(path)
        return int(text) if text and text.strip().lstrip("-").isdigit() else None

    def table(self, path: str | Path) -> dict[str, int]:
        """A flat-keyed file: ``key value`` lines."""
        pairs = (line.split() for line in (self.text(path) or "").splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}

    def slab_bytes(self, path: Path) -> int | None:
        """Bytes in slabs by a file like /proc/slabinfo (slabinfo(5)); None if it lists none.

        v1's is empty since Linux 5.9 (mem_cgroup_slab_show in mm/slab_common.c). It is read as a
        whole, where it is kept open the kernel gives a page of it at a time.
        """
        if not self.text(path):
            return None
        try:
            slabs = _SLABS.findall(path.read_text())
        except OSError:
            return None
        return sum(int(pages) * int(count) for pages, count in slabs) * _PAGE_BYTES or None

    def huge_pages_bytes(self, group: Path) -> int | None:
        """Bytes in huge pages of all sizes; None without the controller."""
        found = [
            self.number(f"{group}/hugetlb.{size}.{name}")
            for size in _huge_page_sizes()
            for name in ("current", "usage_in_bytes")
        ]
        known = [number for number in found if number is not None]
        return sum(known) if known else None

    def close(self) -> None:
        """Close them all."""
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()

    def __del__(self) -> None:
        self.close()


@cache
def _huge_page_sizes() -> tuple[str, ...]:
    """The kernel's sizes of huge pages, as its files are named (hugetlb_cgroup)."""
    try:
        names = os.listdir("/sys/kernel/mm/hugepages")  # hugepages-2048kB
    except OSError:
        return ()
    sizes = [int(name.partition("-")[2].removesuffix("kB")) for name in names]
    return tuple(f"{size >> 20}GB" if size >= 1 << 20 else f"{size >> 10}MB" for size in sizes)
