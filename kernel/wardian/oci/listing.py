"""What `state`, `list` and `ps` print, in runc's form."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from contextlib import suppress

from wardian.errors import InvalidInput
from wardian.oci.state import Record, document, is_alive


def described(record: Record, status: str) -> dict[str, object]:
    """The state with what runc adds to it."""
    root = os.path.join(record.bundle, record.config.root.path)
    more = {"rootfs": os.path.realpath(root), "created": record.created, "owner": record.owner}
    return {**document(record, status), **more}


def table(rows: Sequence[dict[str, object]]) -> str:
    """One line a container."""
    names = ("id", "pid", "status", "bundle", "created", "owner")
    lines = [
        [name.upper() for name in names],
        *([str(row[name]) for name in names] for row in rows),
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("   ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def in_pid_namespace_of(record: Record) -> list[int]:
    """The processes of a container without a cgroup, those that we may know: host PIDs."""
    if not is_alive(record):
        return []
    try:
        inside = os.stat(f"/proc/{record.pid}/ns/pid")
    except OSError:
        # `start` hears of execve(2) when descriptors close; a user may look a moment later.
        return [record.pid]
    if os.path.samestat(inside, os.stat("/proc/self/ns/pid")):
        return [record.pid]  # it shares the host's: the others are not to be told apart
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError):
            if os.path.samestat(inside, os.stat(f"/proc/{name}/ns/pid")):
                found.append(int(name))
    return found


def processes(host_pids: Collection[int], words: Sequence[str]) -> str:
    """The lines of ps(1) that are of these processes: those whose column PID has their number."""
    import subprocess

    done = subprocess.run(["ps", *words], capture_output=True, text=True, check=False)
    title, *lines = done.stdout.splitlines() or [""]
    if done.returncode or "PID" not in title.split():
        raise InvalidInput(f"ps {' '.join(words)[:80]}: it prints no column PID")
    column, wanted = title.split().index("PID"), set(map(str, host_pids))
    return "\n".join([title, *(line for line in lines if line.split()[column] in wanted)])
