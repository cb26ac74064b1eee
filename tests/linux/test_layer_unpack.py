"""Layers as the kernel shows them: unpacked as root, stacked by a real overlay."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from wardian.storage.layers import Devices, Owners, Policy, unpack
from wardian.storage.packing import IdShift, pack

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="owners, devices and mounts need root; run the tests as root"
)
# linux/capability.h: revision 2, CAP_NET_RAW (13) permitted and effective.
NET_RAW = bytes.fromhex("01000002 00200000 00000000 00000000 00000000")


def layer(directory: Path, *members: tarfile.TarInfo | str, **options: object) -> Path:
    """Unpack an archive: "name" is a file that says its layer's name, "name/" a directory."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            text = b""
            if isinstance(member, tarfile.TarInfo):
                info = member
            else:
                info = tarfile.TarInfo(member.rstrip("/"))
                info.type = tarfile.DIRTYPE if member.endswith("/") else tarfile.REGTYPE
                info.mode = 0o755
                if not member.endswith("/") and ".wh." not in member:
                    text = directory.name.encode()
                    info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
    directory.mkdir()
    fd = os.open(directory, os.O_RDONLY)
    try:
        unpack(io.BytesIO(file.getvalue()), fd, **options)  # type: ignore[arg-type]
    finally:
        os.close(fd)
    return directory


def shown(*lowers: Path, userspace: bool = False) -> dict[str, str]:
    """What an overlay of these layers (uppermost first) shows: file → the layer it is from."""
    options = "lowerdir=" + ":".join(map(str, lowers)) + ":/tmp" * (len(lowers) == 1)
    inside = f"mount -t overlay none -o {options}{',userxattr' if userspace else ''} /mnt"
    script = f"{inside} && cd /mnt && grep -r . . || test $? = 1"
    flags = ["-Urm"] if userspace else ["-m"]
    output = subprocess.check_output(["unshare", *flags, "sh", "-ec", script], text=True)
    return dict(line.removeprefix("./").split(":", 1) for line in output.splitlines())


@pytest.mark.parametrize("userspace", [False, True], ids=["as root", "in a user namespace"])
def test_overlay_shows_what_the_image_spec_says(tmp_path: Path, *, userspace: bool) -> None:
    low = layer(
        tmp_path / "low", "a/", "a/1", "a/2", "b/", "b/old", "c/", "c/deep/", "c/deep/x", "f"
    )
    middle = layer(tmp_path / "middle", "a/", "a/.wh.1", "b/", "b/.wh..wh..opq", "b/new", ".wh.c")
    top = layer(tmp_path / "top", "a/1", ".wh.f", "c/", "c/deep/", "c/deep/y", ".wh.nothing")
    tmp_path.chmod(0o755)
    assert shown(top, middle, low, userspace=userspace) == {
        "a/1": "top",
        "a/2": "low",
        "b/new": "middle",
        "c/deep/y": "top",
    }


@pytest.mark.parametrize("userspace", [False, True], ids=["as root", "in a user namespace"])
@pytest.mark.parametrize("order", [("d/", "d/new", ".wh.d"), (".wh.d", "d/", "d/new")])
def test_directory_deleted_and_made_anew_shows_nothing_old(
    tmp_path: Path, order: tuple[str, ...], *, userspace: bool
) -> None:
    low = layer(tmp_path / "low", "d/", "d/old")
    top = layer(tmp_path / "top", *order)
    assert shown(top, low, userspace=userspace) == {"d/new": "top"}


def test_owners_capabilities_and_set_id_bits_arrive(tmp_path: Path) -> None:
    info = tarfile.TarInfo("ping")
    info.uid, info.gid, info.mode = 1234, 70_000, 0o6755
    # tarfile takes bytes in a PAX header as surrogates.
    value = NET_RAW.decode("utf-8", "surrogateescape")
    info.pax_headers = {"SCHILY.xattr.security.capability": value}
    raw = layer(tmp_path / "layer", info, _owned("home", tarfile.DIRTYPE, 42)) / "ping"
    status = raw.stat()
    assert (status.st_uid, status.st_gid) == (1234, 70_000)
    assert stat.S_IMODE(status.st_mode) == 0o6755
    assert os.getxattr(raw, "security.capability") == NET_RAW
    assert (tmp_path / "layer/home").stat().st_uid == 42


def _owned(name: str, kind: bytes, uid: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.uid, info.gid, info.mode, info.mtime = kind, uid, uid, 0o640, 77
    info.linkname = "target" if kind == tarfile.SYMTYPE else ""
    return info


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.FIFOTYPE])
def test_links_and_fifos_have_owner_and_time(tmp_path: Path, kind: bytes) -> None:
    status = os.lstat(layer(tmp_path / "layer", _owned("it", kind, 42)) / "it")
    assert (status.st_uid, status.st_gid, status.st_mtime) == (42, 42, 77)


def test_symlink_s_owner_is_set_on_the_link_itself(tmp_path: Path) -> None:
    link = _owned("link", tarfile.SYMTYPE, 42)
    link.linkname = "file"
    top = layer(tmp_path / "layer", "file", link)
    assert (top / "file").stat().st_uid == 0
    assert os.lstat(top / "link").st_uid == 42


def _null() -> tarfile.TarInfo:
    info = tarfile.TarInfo("null")
    info.type, info.devmajor, info.devminor, info.mode = tarfile.CHRTYPE, 1, 3, 0o666
    return info


def test_devices_are_left_out_or_made_or_refused(tmp_path: Path) -> None:
    from wardian.errors import InvalidInput

    assert os.listdir(layer(tmp_path / "skipped", _null())) == []
    made = layer(tmp_path / "made", _null(), policy=Policy(devices=Devices.CREATE)) / "null"
    assert made.stat().st_rdev == os.makedev(1, 3)
    assert stat.S_IMODE(made.stat().st_mode) == 0o666
    with pytest.raises(InvalidInput, match="device node"):
        layer(tmp_path / "refused", _null(), policy=Policy(devices=Devices.REFUSE))


def test_device_that_would_be_a_whiteout_is_never_made(tmp_path: Path) -> None:
    info = _null()
    info.devmajor = info.devminor = 0
    assert os.listdir(layer(tmp_path / "l", info, policy=Policy(devices=Devices.CREATE))) == []


def test_one_id_owns_everything_where_there_is_but_one(tmp_path: Path) -> None:
    """As in a rootless container without subordinate ids: unpacked by an ordinary user."""
    read_end, write_end = os.pipe()
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == 0 and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(1000)
            os.setuid(1000)
            members = ("d/", _owned("d/file", tarfile.REGTYPE, 42), "d/.wh.gone", "d/.wh..wh..opq")
            locked = _owned("locked", tarfile.DIRTYPE, 7)
            locked.mode = 0
            policy = Policy(owners=Owners.CALLER)
            layer(tmp_path / "layer", *members, locked, "locked/in", policy=policy)
            os.write(write_end, b"done")
        finally:
            os._exit(0)
    os.close(write_end)
    with open(read_end, "rb") as pipe:
        assert pipe.read() == b"done"
    os.waitpid(child, 0)
    assert {os.lstat(path).st_uid for path in (tmp_path / "layer").rglob("*")} == {1000}
    assert os.getxattr(tmp_path / "layer/d", "user.overlay.opaque") == b"y"
    assert stat.S_IMODE((tmp_path / "layer/locked").stat().st_mode) == 0


def test_capabilities_of_a_user_namespace_are_packed_for_any_root(tmp_path: Path) -> None:
    (tmp_path / "program").touch()
    revision_3 = b"\x01\0\0\x03" + NET_RAW[4:] + (100_000).to_bytes(4, "little")
    os.setxattr(tmp_path / "program", "security.capability", revision_3)
    os.chown(tmp_path / "program", 100_000, 100_005)
    # chown took the capabilities away
    os.setxattr(tmp_path / "program", "security.capability", revision_3)
    fd = os.open(tmp_path, os.O_RDONLY)
    output = io.BytesIO()
    pack(fd, output, ids=IdShift(100_000, 65_536))
    os.close(fd)
    with tarfile.open(fileobj=io.BytesIO(output.getvalue()), encoding="latin-1") as tar:
        (info,) = tar
    assert (info.uid, info.gid) == (0, 5)
    assert b"SCHILY.xattr.security.capability=" + NET_RAW in output.getvalue()


def test_full_disk_is_said_and_nothing_else(tmp_path: Path) -> None:
    """In a tmpfs of 64 KiB, mounted where only the child sees it."""
    script = f'mount -t tmpfs -o size=64k none {tmp_path} && exec python3 -c "$PROGRAM"'
    program = f"""
import io, os, tarfile
from wardian.errors import SetupError
from wardian.storage.layers import unpack
file = io.BytesIO()
with tarfile.open(fileobj=file, mode="w") as tar:
    info = tarfile.TarInfo("big")
    info.size = 1 << 20
    tar.addfile(info, io.BytesIO(bytes(info.size)))
file.seek(0)
try:
    unpack(file, os.open({str(tmp_path)!r}, os.O_RDONLY))
except SetupError as error:
    print(error)
"""
    import sys

    environment = {**os.environ, "PROGRAM": program}
    command = ["unshare", "-m", "sh", "-ec", script.replace("python3", sys.executable)]
    said = subprocess.check_output(command, text=True, env=environment)
    assert "No space left on device" in said
    assert "WARDIAN_ROOT" in said
    assert str(tmp_path) not in said
