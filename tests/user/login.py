"""The command that becomes the user: an /etc of its own, our files where it may read them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tests.linux.conftest import UID
from tests.linux.gardener import TUN
from tests.reports import ROOT


def command(home: Path, groups: Iterable[Path], report: Path, tests: Sequence[str]) -> list[str]:
    """Run these tests (node ids, after options) as the user, in these cgroups.

    The report is pytest's junit.
    """
    work = home / "work"
    pytest = (
        *(
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:nbval",
            "--color=no",
            "-q",
        ),
        *(f"--junitxml={report}", f"--basetemp={work}/tmp", *tests),
    )
    environment = {
        "CI": "",
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "PATH": f"{sys.prefix}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(work),
        "WARDIAN_LESSONS_IN": "en",
    }
    script = "\n".join(
        (
            "set -e",
            *(f"echo $$ > {group}/cgroup.procs" for group in groups),
            f"mount --bind {home}/etc /etc",
            # For everybody, as udev makes them on every distribution.
            f"mknod -m 666 {home}/fuse c 10 229 && mount --bind {home}/fuse /dev/fuse",
            TUN,
            *open_ways(home / "hold"),
            f"cd {ROOT}",
            f"exec setpriv --reuid {UID} --regid {UID} --clear-groups --inh-caps=-all env -i "
            + shlex.join([*(f"{name}={value}" for name, value in environment.items()), *pytest]),
        )
    )
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]


def open_ways(hold: Path) -> Iterator[str]:
    """Where a folder on the way to our files is closed to others, another in its place.

    root's home is; the files themselves may be read by everybody.
    """
    places = sorted({Path(sys.base_prefix), Path(sys.prefix), ROOT})
    closed = {place: closer for place in places if (closer := _closed_above(place))}
    for number, place in enumerate(closed):
        yield f"mkdir -p {hold}/{number} && mount --bind {place} {hold}/{number}"
    for closer in sorted(set(closed.values())):
        yield f"mount -t tmpfs -o mode=755 tmpfs {closer}"
    for number, place in enumerate(closed):
        yield f"mkdir -p {place} && mount --bind {hold}/{number} {place}"


def _closed_above(place: Path) -> Path | None:
    """The uppermost folder above that others may not pass."""
    return next((each for each in reversed(place.parents) if not each.stat().st_mode & 0o001), None)
