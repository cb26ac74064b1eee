"""Id maps of user namespaces (user_namespaces(7)) and subordinate ids (subuid(5))."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from wardian.errors import InvalidInput, KernelRefused, SetupError
from wardian.linux import process
from wardian.linux.namespaces import CLONE_NEWUSER

MAX_ID = (1 << 32) - 1  # itself no id: it stands for "none"


class IdRange(msgspec.Struct, frozen=True):
    """``count`` ids: from ``container_id`` inside, from ``host_id`` outside."""

    container_id: int
    host_id: int
    count: int

    def __post_init__(self) -> None:
        # The kernel reads each number modulo 2**32: what is out of range would become another id.
        ends = (self.container_id + self.count, self.host_id + self.count)
        if min(self.container_id, self.host_id) < 0 or self.count < 1 or max(ends) > MAX_ID:
            raise InvalidInput(f"not a range of ids: {self}", hint="ids go up to 4294967294")

    def __str__(self) -> str:
        return f"{self.container_id} {self.host_id} {self.count}"


def write_id_maps(
    host_pid: int,
    uid_ranges: Sequence[IdRange],
    gid_ranges: Sequence[IdRange],
    *,
    deny_setgroups: bool,
) -> None:
    """Give a new user namespace its maps; through newuidmap(1) where only that may do it."""
    if deny_setgroups:
        _write(host_pid, "setgroups", "deny")
    for kind, ranges in (("uid", uid_ranges), ("gid", gid_ranges)):
        if os.geteuid() == 0 or len(ranges) == 1:
            _write(host_pid, f"{kind}_map", "\n".join(map(str, ranges)))
        else:
            _by_program(f"new{kind}map", host_pid, ranges)


def user_namespace(
    uid_ranges: Sequence[IdRange], gid_ranges: Sequence[IdRange], *, deny_setgroups: bool
) -> int:
    """A descriptor of a user namespace with these maps, which nobody is in."""
    host_pid, pidfd = process.clone3(CLONE_NEWUSER)
    if host_pid == 0:
        while True:
            signal.pause()
    try:
        write_id_maps(host_pid, uid_ranges, gid_ranges, deny_setgroups=deny_setgroups)
        return os.open(f"/proc/{host_pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        process.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.waitpid(host_pid, 0)
        os.close(pidfd)


def _write(host_pid: int, name: str, text: str) -> None:
    try:
        # One write(2): the kernel takes a map in one piece or not at all.
        fd = os.open(f"/proc/{host_pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise KernelRefused("write", error.errno or 0, f"/proc/<child>/{name}") from error


def _by_program(program: str, host_pid: int, ranges: Sequence[IdRange]) -> None:
    import shutil  # with subprocess 10 ms of imports, which a start as root does without
    import subprocess

    path = shutil.which(program)
    if path is None:
        raise SetupError(f"{program} is missing", hint="apt-get install uidmap")
    numbers = [word for r in ranges for word in str(r).split()]
    done = subprocess.run(
        [path, str(host_pid), *numbers], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SetupError(
            f"{program} refused the id map: {done.stderr.strip()}",
            hint="check /etc/subuid and /etc/subgid for your user",
        )


def subordinate_ranges(login: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """A user's subordinate (first, count) ranges: uids, gids. Empty without newuidmap(1)."""
    import shutil

    if not (shutil.which("newuidmap") and shutil.which("newgidmap")):
        return [], []
    return _subordinate(Path("/etc/subuid"), login), _subordinate(Path("/etc/subgid"), login)


def _subordinate(path: Path, login: str) -> list[tuple[int, int]]:
    ranges = []
    with suppress(FileNotFoundError):
        for line in path.read_text().splitlines():
            name, first, count = (*line.split(":"), "", "")[:3]
            are_numbers = first.isdecimal() and count.isdecimal() and int(count) > 0
            if name in (login, str(os.geteuid())) and are_numbers:
                ranges.append((int(first), int(count)))
    return ranges
