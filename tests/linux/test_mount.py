"""Mounts, each tried in a mount namespace of its own."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.linux.child import FIRST_HOST_ID, OWN_IDS, in_child, running
from wardian.errors import KernelRefused
from wardian.linux import mount as mnt
from wardian.linux.idmap import write_id_maps
from wardian.linux.namespaces import CLONE_NEWNS, CLONE_NEWUSER
from wardian.linux.statfs import PROC_SUPER_MAGIC, TMPFS_MAGIC, file_system_type

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="mounts as root; test_container_lifecycle mounts rootless"
)


def privately(deed: Callable[[], Any]) -> Any:
    """In a mount namespace whose mounts nobody else sees."""

    def detached() -> Any:
        mnt.mount("none", "/", None, mnt.MS_REC | mnt.MS_PRIVATE)
        return deed()

    return in_child(detached, CLONE_NEWNS)


def tmpfs(**options: str) -> int:
    """A detached tmpfs."""
    context = mnt.fsopen("tmpfs")
    for key, value in options.items():
        mnt.fsconfig_string(context, key, value)
    mnt.fsconfig_create(context)
    return mnt.fsmount(context)


def refusal(deed: Callable[[], object]) -> tuple[str, int]:
    """The error that a deed meets."""
    with pytest.raises(KernelRefused) as refused:
        deed()
    return str(refused.value), refused.value.errno


# --- mount(2) --------------------------------------------------------------------------------


def test_mount_is_seen_in_its_own_namespace_only(tmp_path: Path) -> None:
    def deed() -> list[str]:
        mnt.mount("none", str(tmp_path), "tmpfs", mnt.MS_NOSUID, "mode=0700,size=64k")
        (tmp_path / "file").touch()
        return os.listdir(tmp_path)

    assert privately(deed) == ["file"]
    assert os.listdir(tmp_path) == []


def test_bind_becomes_read_only_when_remounted(tmp_path: Path) -> None:
    def deed() -> int:
        mnt.mount(str(tmp_path), str(tmp_path), None, mnt.MS_BIND)
        mnt.mount("none", str(tmp_path), None, mnt.MS_REMOUNT | mnt.MS_BIND | mnt.MS_RDONLY)
        try:
            (tmp_path / "file").touch()
        except OSError as error:
            return error.errno or 0
        return 0

    assert privately(deed) == errno.EROFS


def test_unmounting_uncovers_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "below").touch()

    def deed() -> list[list[str]]:
        mnt.mount("none", str(tmp_path), "tmpfs")
        covered = os.listdir(tmp_path)
        held = os.open(tmp_path, os.O_RDONLY)  # busy: only a lazy unmount succeeds
        busy = refusal(lambda: mnt.umount2(str(tmp_path)))
        assert busy[1] == errno.EBUSY
        mnt.umount2(str(tmp_path), mnt.MNT_DETACH)
        os.close(held)
        return [covered, os.listdir(tmp_path)]

    assert privately(deed) == [[], ["below"]]


def test_refused_mount_names_the_call_and_the_place(tmp_path: Path) -> None:
    target = str(tmp_path / "nothing")
    said, number = privately(lambda: refusal(lambda: mnt.mount("none", target, "tmpfs")))
    assert number == errno.ENOENT
    assert said.startswith(f"mount tmpfs at {target}: No such file")
    said, number = privately(lambda: refusal(lambda: mnt.mount("none", "/tmp", "nosuchfs")))
    assert (said.partition(":")[0], number) == ("mount nosuchfs at /tmp", errno.ENODEV)


# --- the mount API ---------------------------------------------------------------------------


def test_file_system_is_made_detached_and_then_hung_up(tmp_path: Path) -> None:
    def deed() -> list[Any]:
        fd = tmpfs(mode="0750", size="64k")
        os.close(os.open("before", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        unseen = os.listdir(tmp_path)
        mnt.move_mount(fd, str(tmp_path))
        status = os.stat(tmp_path)
        return [unseen, os.listdir(tmp_path), status.st_mode & 0o777, file_system_type(fd)]

    assert privately(deed) == [[], ["before"], 0o750, TMPFS_MAGIC]


def test_mount_is_hung_at_a_descriptor_whatever_becomes_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "victim").mkdir()

    def deed() -> list[bool]:
        target = os.open(tmp_path / "target", os.O_PATH | os.O_DIRECTORY)
        (tmp_path / "target").rename(tmp_path / "moved")
        (tmp_path / "target").symlink_to(tmp_path / "victim")
        flags = mnt.MOVE_MOUNT_F_EMPTY_PATH | mnt.MOVE_MOUNT_T_EMPTY_PATH
        mnt.move_mount(tmpfs(), "", to_fd=target, flags=flags)
        return [os.path.ismount(tmp_path / name) for name in ("moved", "victim")]

    assert privately(deed) == [True, False]


def test_refused_option_says_what_the_file_system_says() -> None:
    def deed() -> list[Any]:
        context = mnt.fsopen("tmpfs")
        said, number = refusal(lambda: mnt.fsconfig_string(context, "nosuch", "option"))
        return [said, number]

    said, number = privately(deed)
    assert number == errno.EINVAL
    assert "nosuch" in said  # "tmpfs: Unknown parameter 'nosuch'"


def overlay_of(tmp_path: Path) -> int:
    """An overlay to be configured, all but its lower directory."""
    for name in ("lower", "upper", "work"):
        (tmp_path / name).mkdir(exist_ok=True)
    (tmp_path / "lower/file").write_text("moss")
    context = mnt.fsopen("overlay")
    mnt.fsconfig_string(context, "upperdir", str(tmp_path / "upper"))
    mnt.fsconfig_string(context, "workdir", str(tmp_path / "work"))
    mnt.fsconfig_flag(context, "userxattr")
    return context


def test_overlay_is_made_of_options_with_and_without_values(tmp_path: Path) -> None:
    def deed() -> list[Any]:
        context = overlay_of(tmp_path)
        mnt.fsconfig_string(context, "lowerdir", str(tmp_path / "lower"))
        mnt.fsconfig_create(context)
        fd = mnt.fsmount(context, mnt.MOUNT_ATTR_NOEXEC)
        with open(os.open("file", os.O_RDONLY, dir_fd=fd)) as file:
            return [file.read(), bool(os.fstatvfs(fd).f_flag & os.ST_NOEXEC)]

    assert privately(deed) == ["moss", True]


def test_descriptor_is_an_option_too(tmp_path: Path) -> None:
    def deed() -> str:
        context = overlay_of(tmp_path)
        lower = os.open(tmp_path / "lower", os.O_PATH | os.O_DIRECTORY)
        try:
            mnt.fsconfig_fd(context, "lowerdir+", lower)
        except KernelRefused:
            return "refused"
        mnt.fsconfig_create(context)
        fd = mnt.fsmount(context)
        with open(os.open("file", os.O_RDONLY, dir_fd=fd)) as file:
            return file.read()

    outcome = privately(deed)
    if outcome == "refused" and tuple(map(int, os.uname().release.split(".")[:2])) < (6, 13):
        pytest.skip("needs Linux 6.13, whose overlay takes descriptors")
    assert outcome == "moss"


def test_proc_is_told_by_its_magic_number() -> None:
    fd = os.open("/proc", os.O_PATH | os.O_CLOEXEC)
    assert file_system_type(fd) == PROC_SUPER_MAGIC
    os.close(fd)


def test_copied_tree_has_attributes_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("moss")

    def deed() -> list[Any]:
        flags = mnt.OPEN_TREE_CLONE | mnt.OPEN_TREE_CLOEXEC | mnt.AT_RECURSIVE
        fd = mnt.open_tree(str(tmp_path), flags)
        mnt.mount_setattr(
            fd,
            flags=mnt.AT_EMPTY_PATH | mnt.AT_RECURSIVE,
            attr_set=mnt.MOUNT_ATTR_RDONLY | mnt.MOUNT_ATTR_NODEV,
        )
        flag = os.fstatvfs(fd).f_flag
        with pytest.raises(OSError, match="Read-only"):
            os.open("file", os.O_WRONLY, dir_fd=fd)
        (tmp_path / "file").write_text("fern")  # the original is as it was
        mnt.mount_setattr(fd, attr_clr=mnt.MOUNT_ATTR_RDONLY)
        os.close(os.open("file", os.O_WRONLY, dir_fd=fd))
        return [bool(flag & os.ST_RDONLY), bool(flag & os.ST_NODEV), bool(flag & os.ST_NOSUID)]

    assert privately(deed) == [True, True, False]


def test_id_mapped_tree_shows_the_same_files_as_a_containers_own(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.chown(tmp_path / "file", 1000, 5)

    def deed() -> list[int]:
        with running(flags=CLONE_NEWUSER) as host_pid:
            write_id_maps(host_pid, OWN_IDS, OWN_IDS, deny_setgroups=False)
            userns_fd = os.open(f"/proc/{host_pid}/ns/user", os.O_RDONLY)
        fd = mnt.open_tree(str(tmp_path), mnt.OPEN_TREE_CLONE)
        mnt.mount_setattr(fd, attr_set=mnt.MOUNT_ATTR_IDMAP, userns_fd=userns_fd)
        status = os.stat("file", dir_fd=fd)
        return [status.st_uid, status.st_gid]

    assert privately(deed) == [FIRST_HOST_ID + 1000, FIRST_HOST_ID + 5]
    assert (tmp_path / "file").stat().st_uid == 1000


# --- a new root ------------------------------------------------------------------------------


def test_new_root_hides_the_old_one(tmp_path: Path) -> None:
    def deed() -> list[str]:
        mnt.move_mount(tmpfs(), str(tmp_path))
        os.chdir(tmp_path)
        os.mkdir("only")
        mnt.pivot_root(".", ".")
        mnt.umount2(".", mnt.MNT_DETACH)
        os.chdir("/")
        return [*os.listdir("/"), *os.listdir("/..")]

    assert privately(deed) == ["only", "only"]
    assert os.path.isdir("/proc/self")


def test_directory_that_is_no_mount_is_no_root(tmp_path: Path) -> None:
    said = privately(lambda: refusal(lambda: mnt.pivot_root(str(tmp_path), str(tmp_path))))
    assert said[1] in (errno.EINVAL, errno.EBUSY)  # EBUSY if it is on the root's own mount
