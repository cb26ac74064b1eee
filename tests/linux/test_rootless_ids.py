"""Id maps of somebody who is not root, by newuidmap(1) and newgidmap(1)."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.linux.child import in_child
from wardian.errors import KernelRefused, SetupError
from wardian.linux import mount as mnt
from wardian.linux import process
from wardian.linux.idmap import IdRange, subordinate_ranges, write_id_maps
from wardian.linux.namespaces import CLONE_NEWNS, CLONE_NEWUSER

NOBODY = pwd.getpwnam("nobody")
FIRST, COUNT = 400_000, 65_536

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="root becomes nobody here; run the tests as root"),
    pytest.mark.skipif(not shutil.which("newuidmap"), reason="apt-get install uidmap"),
]


def as_nobody(deed: Callable[[], Any], tmp_path: Path, subordinate: str) -> Any:
    """As a user with these lines in an /etc/subuid and an /etc/subgid that nobody else sees."""
    etc = tmp_path / "etc"
    etc.mkdir()
    for name in ("passwd", "group", "nsswitch.conf", "login.defs", "ld.so.cache"):
        if Path("/etc", name).exists():
            shutil.copy(f"/etc/{name}", etc)
    for name in ("subuid", "subgid"):
        (etc / name).write_text(subordinate)

    def private() -> Any:
        mnt.mount("none", "/", None, mnt.MS_REC | mnt.MS_PRIVATE)
        mnt.mount(str(etc), "/etc", None, mnt.MS_BIND)
        os.setgroups([])
        os.setresgid(NOBODY.pw_gid, NOBODY.pw_gid, NOBODY.pw_gid)
        os.setresuid(NOBODY.pw_uid, NOBODY.pw_uid, NOBODY.pw_uid)
        process.set_dumpable(True)  # or its /proc files are root's
        return deed()

    return in_child(private, CLONE_NEWNS)


def mapped(uids: list[IdRange], gids: list[IdRange], *, deny_setgroups: bool) -> list[str]:
    """The maps and setgroups of a new user namespace that was given these."""
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    host_pid, _ = process.clone3(CLONE_NEWUSER)
    if host_pid == 0:
        os.close(write_fd)
        os.read(read_fd, 1)
        os._exit(0)
    try:
        write_id_maps(host_pid, uids, gids, deny_setgroups=deny_setgroups)
        names = ("uid_map", "gid_map", "setgroups")
        texts = (Path(f"/proc/{host_pid}/{name}").read_text() for name in names)
        return [" ".join(text.split()) for text in texts]
    finally:
        os.close(write_fd)
        os.waitpid(host_pid, 0)


def test_subordinate_ids_are_mapped_by_the_programs(tmp_path: Path) -> None:
    def deed() -> list[str]:
        (first, count), *_ = subordinate_ranges("nobody")[0]
        ranges = [IdRange(0, NOBODY.pw_uid, 1), IdRange(1, first, count)]
        groups = [IdRange(0, NOBODY.pw_gid, 1), IdRange(1, first, count)]
        return mapped(ranges, groups, deny_setgroups=False)

    uid_map, gid_map, setgroups = as_nobody(deed, tmp_path, f"nobody:{FIRST}:{COUNT}\n")
    assert uid_map == f"0 {NOBODY.pw_uid} 1 1 {FIRST} {COUNT}"
    assert gid_map == f"0 {NOBODY.pw_gid} 1 1 {FIRST} {COUNT}"
    assert setgroups == "allow"


def test_without_subordinate_ids_the_caller_alone_is_mapped(tmp_path: Path) -> None:
    def deed() -> list[Any]:
        own, group = [IdRange(0, NOBODY.pw_uid, 1)], [IdRange(0, NOBODY.pw_gid, 1)]
        return [subordinate_ranges("nobody"), mapped(own, group, deny_setgroups=True)]

    ranges, (uid_map, gid_map, setgroups) = as_nobody(deed, tmp_path, "somebody:1:1\n")
    assert ranges == [[], []]
    assert (uid_map, gid_map) == (f"0 {NOBODY.pw_uid} 1", f"0 {NOBODY.pw_gid} 1")
    assert setgroups == "deny"


def test_group_is_not_mapped_while_setgroups_is_allowed(tmp_path: Path) -> None:
    """Dropping a group would open files that are closed to that group (user_namespaces(7))."""

    def deed() -> str:
        own, group = [IdRange(0, NOBODY.pw_uid, 1)], [IdRange(0, NOBODY.pw_gid, 1)]
        with pytest.raises(KernelRefused) as refused:
            mapped(own, group, deny_setgroups=False)
        return str(refused.value)

    assert "/proc/<child>/gid_map" in as_nobody(deed, tmp_path, "")


def test_ids_of_somebody_else_are_refused_with_a_hint(tmp_path: Path) -> None:
    def deed() -> list[str]:
        ranges = [IdRange(0, NOBODY.pw_uid, 1), IdRange(1, FIRST + 10 * COUNT, 10)]
        with pytest.raises(SetupError) as refused:
            mapped(ranges, ranges, deny_setgroups=False)
        return [refused.value.what, refused.value.hint]

    what, hint = as_nobody(deed, tmp_path, f"nobody:{FIRST}:{COUNT}\n")
    assert what.startswith("newuidmap refused the id map")
    assert hint == "check /etc/subuid and /etc/subgid for your user"
