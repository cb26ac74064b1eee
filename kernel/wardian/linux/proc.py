"""What /proc says of processes and mounts (proc(5)): read, never guessed.

The names in it (``comm``, mount points) may have been chosen by a container: they are hostile text.
A process may end at any moment, so a reader gives None where there is no process any more.
Every reader takes the path of /proc, so that a folder of files can stand for it.
"""

from __future__ import annotations

import os
import re

import msgspec

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
READ_BYTES = 1 << 14
_ESCAPED = re.compile(rb"\\([0-7]{3})")


class Stat(msgspec.Struct, frozen=True):
    """/proc/PID/stat (proc_pid_stat(5)); ticks are those of sysconf(SC_CLK_TCK).

    ``reaped_ticks`` are those of the children that it has waited for, and of theirs.
    ``argument_start`` and ``argument_end`` are where the command line lies in the process's memory,
    0 to those who may not know.
    """

    comm: str
    state: str
    parent_host_pid: int
    user_ticks: int
    system_ticks: int
    reaped_ticks: int
    threads: int
    start_ticks: int
    rss_bytes: int
    argument_start: int
    argument_end: int

    @classmethod
    def from_bytes(cls, data: bytes) -> Stat:
        """Parse the file: only its last closing bracket ends the name, which may contain some."""
        start, end = data.index(b"("), data.rindex(b")")
        rest = data[end + 2 :].split()  # rest[0] is field 3
        return cls(
            comm=os.fsdecode(data[start + 1 : end]),
            state=rest[0].decode(),
            parent_host_pid=int(rest[1]),
            user_ticks=int(rest[11]),
            system_ticks=int(rest[12]),
            reaped_ticks=int(rest[13]) + int(rest[14]),
            threads=int(rest[17]),
            start_ticks=int(rest[19]),
            rss_bytes=int(rest[21]) * PAGE_BYTES,
            argument_start=int(rest[45]),
            argument_end=int(rest[46]),
        )

    @classmethod
    def from_proc(cls, host_pid: int | str, *, proc: str = "/proc") -> Stat | None:
        """Of one process; None if it is gone."""
        data = read(f"{proc}/{host_pid}/stat")
        return cls.from_bytes(data) if data else None


class Status(msgspec.Struct, frozen=True):
    """/proc/PID/status (proc_pid_status(5)).

    ``ns_pids`` are its pids from our PID namespace down to its own, ``uids`` and ``gids`` the real,
    effective, saved and file system ones. A zombie has no memory: ``vm_rss_bytes`` is None.
    The masks are by name, ``CapEff`` or ``SigIgn``.
    """

    name: str
    state: str
    parent_host_pid: int
    ns_pids: tuple[int, ...]
    uids: tuple[int, int, int, int]
    gids: tuple[int, int, int, int]
    threads: int
    vm_rss_bytes: int | None
    has_no_new_privs: bool
    seccomp_mode: int
    masks: dict[str, int]

    @classmethod
    def from_bytes(cls, data: bytes) -> Status:
        """Parse the file. The kernel escapes line ends in the name, so a line is a line."""
        fields = dict(line.split(b":\t", 1) for line in data.splitlines() if b":\t" in line)

        def four(name: bytes) -> tuple[int, int, int, int]:
            real, effective, saved, file_system = map(int, fields[name].split())
            return real, effective, saved, file_system

        rss = fields.get(b"VmRSS")
        return cls(
            name=os.fsdecode(fields[b"Name"]),
            state=fields[b"State"][:1].decode(),
            parent_host_pid=int(fields[b"PPid"]),
            ns_pids=tuple(map(int, fields.get(b"NSpid", fields[b"Pid"]).split())),
            uids=four(b"Uid"),
            gids=four(b"Gid"),
            threads=int(fields[b"Threads"]),
            vm_rss_bytes=int(rss.split()[0]) * 1024 if rss else None,
            has_no_new_privs=fields.get(b"NoNewPrivs") == b"1",
            seccomp_mode=int(fields.get(b"Seccomp", b"0")),
            masks={
                name.decode(): int(value, 16)
                for name, value in fields.items()
                if name.startswith((b"Cap", b"Sig", b"ShdPnd")) and name != b"SigQ"
            },
        )

    @classmethod
    def from_proc(cls, host_pid: int | str, *, proc: str = "/proc") -> Status | None:
        """Of one process; None if it is gone."""
        data = read(f"{proc}/{host_pid}/status")
        return cls.from_bytes(data) if data else None


class MountPoint(msgspec.Struct, frozen=True):
    """One line of /proc/PID/mountinfo (proc_pid_mountinfo(5)).

    ``root`` is which part of the file system is mounted. ``options`` are the mount's own,
    ``super_options`` the file system's. ``peer_group`` and ``master`` tell its propagation, None
    for a private mount.
    """

    mount_id: int
    parent_id: int
    device: str
    root: str
    path: str
    options: tuple[str, ...]
    fstype: str
    source: str
    super_options: tuple[str, ...]
    peer_group: int | None = None
    master: int | None = None

    @classmethod
    def from_line(cls, line: bytes) -> MountPoint:
        """Parse a line; blanks and backslashes in its words are written in octal."""
        words = [os.fsdecode(_ESCAPED.sub(_unescaped, word)) for word in line.split(b" ")]
        separator = words.index("-", 6)  # after any number of optional fields
        tags = dict(word.split(":", 1) for word in words[6:separator] if ":" in word)
        fstype, source, super_options = (*words[separator + 1 :], "")[:3]
        return cls(
            mount_id=int(words[0]),
            parent_id=int(words[1]),
            device=words[2],
            root=words[3],
            path=words[4],
            options=tuple(words[5].split(",")),
            fstype=fstype,
            source=source,
            super_options=tuple(super_options.split(",")),
            peer_group=int(tags["shared"]) if "shared" in tags else None,
            master=int(tags["master"]) if "master" in tags else None,
        )


def mount_points(host_pid: int | str = "self", *, proc: str = "/proc") -> list[MountPoint]:
    """The mounts that a process sees, in the order of mounting; none if it is gone.

    The kernel writes them all anew for each reading: not for what happens ten times a second.
    """
    lines = read(f"{proc}/{host_pid}/mountinfo").split(b"\n")
    return [MountPoint.from_line(line) for line in lines if line]


def children(host_pid: int | str, *, proc: str = "/proc") -> list[int]:
    """The host pids of a process's children, of all its threads; none if it is gone."""
    found: list[int] = []
    try:
        threads = os.listdir(f"{proc}/{host_pid}/task")
    except OSError:
        return found
    for thread in threads:
        found += map(int, read(f"{proc}/{host_pid}/task/{thread}/children").split())
    return found


def _unescaped(found: re.Match[bytes]) -> bytes:
    return bytes([int(found[1], 8) & 0xFF])


def read(path: str, *, most_bytes: int = 1 << 30) -> bytes:
    """The whole of a file, up to so many bytes; nothing if the process is gone, also half-way."""
    data = b""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return data
    try:
        while (left := most_bytes - len(data)) > 0:  # seq_file(9) may stop at any line
            piece = os.read(fd, min(left, READ_BYTES))
            if not piece:
                break
            data += piece
    except OSError:
        return b""
    finally:
        os.close(fd)
    return data
