"""Layers from archives to directories and back; whiteouts in both spellings and any order."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import stat
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.archives import archive
from wardian.errors import InvalidInput, SetupError
from wardian.storage import compression, whiteout
from wardian.storage.compression import CHUNK_BYTES, decompressed, read_chunks
from wardian.storage.layers import Owners, Policy, Unpacked, unpack
from wardian.storage.packing import IdShift, pack

OURS = Policy(owners=Owners.CALLER)


def unpack_into(directory: Path, data: bytes, **options: object) -> Unpacked:
    directory.mkdir(exist_ok=True)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        options.setdefault("policy", OURS)
        return unpack(io.BytesIO(data), fd, **options)  # type: ignore[arg-type]
    finally:
        os.close(fd)


def pack_bytes(directory: Path, **options: object) -> bytes:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    output = io.BytesIO()
    try:
        pack(fd, output, **options)  # type: ignore[arg-type]
    finally:
        os.close(fd)
    return output.getvalue()


def members_of(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {info.name: info for info in tar}


def is_opaque(directory: Path) -> bool:
    fd = os.open(directory, os.O_RDONLY)
    try:
        return whiteout.is_opaque(fd)
    finally:
        os.close(fd)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return tmp_path / "layer"


def test_files_links_and_times_arrive(top: Path) -> None:
    info = tarfile.TarInfo("etc/stamp")
    info.mode = 0o4750
    info.pax_headers = {"mtime": "1234567890.987654321"}
    made = unpack_into(top, archive("etc/", ("etc/a", b"text"), "b -> etc/a", "c => etc/a", info))
    assert (top / "c").read_bytes() == b"text"
    assert (top / "c").stat().st_ino == (top / "etc/a").stat().st_ino
    assert os.readlink(top / "b") == "etc/a"
    assert (top / "etc/stamp").stat().st_mtime_ns == 1_234_567_890_987_654_321
    assert stat.S_IMODE((top / "etc/stamp").stat().st_mode) == 0o4750
    assert made.entries == 5


def test_directories_keep_mode_and_time_though_files_come_later(top: Path) -> None:
    info = tarfile.TarInfo("d")
    info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o555, 1000
    unpack_into(top, archive(info, ("d/file", b"x"), "d/sub/"))
    assert (top / "d").stat().st_mtime == 1000
    assert stat.S_IMODE((top / "d").stat().st_mode) == 0o555
    (top / "d").chmod(0o755)


def test_parents_that_the_archive_leaves_out_are_made(top: Path) -> None:
    unpack_into(top, archive(("a/b/c", b"x")))
    assert (top / "a/b/c").read_bytes() == b"x"
    assert stat.S_IMODE((top / "a/b").stat().st_mode) == 0o755


def test_later_entry_replaces_an_earlier_one(top: Path) -> None:
    unpack_into(
        top,
        archive(("a", b"1"), ("a", b"2"), "b/", ("b/in", b"3"), ("b", b"4"), ("c", b"5"), "c/"),
    )
    assert (top / "a").read_bytes() == b"2"
    assert (top / "b").read_bytes() == b"4"
    assert (top / "c").is_dir()


def test_replacing_a_hard_link_leaves_the_other_name_alone(top: Path) -> None:
    unpack_into(top, archive(("a", b"old"), "b => a", ("b", b"new")))
    assert (top / "a").read_bytes() == b"old"
    assert (top / "b").read_bytes() == b"new"


def test_sparse_file_keeps_its_holes(top: Path, tmp_path: Path) -> None:
    import subprocess

    source = tmp_path / "source"
    source.mkdir()
    with open(source / "file", "wb") as file:
        file.seek(64 << 20)
        file.write(b"end")
        file.truncate(80 << 20)
    for style in ("gnu", "pax"):
        data = subprocess.check_output(
            ["tar", "--sparse", f"--format={style}", "-cf", "-", "-C", source, "file"]
        )
        unpack_into(top, data)
        status = (top / "file").stat()
        assert status.st_size == 80 << 20
        assert status.st_blocks * 512 < 1 << 20
        with open(top / "file", "rb") as file:
            file.seek(64 << 20)
            assert file.read(4) == b"end\0"


def test_user_attributes_arrive_and_overlay_ones_do_not(top: Path) -> None:
    """An image that could set them would make overlayfs show what the layer does not hold."""
    info = tarfile.TarInfo("file")
    info.pax_headers = {
        "SCHILY.xattr.user.note": "kept",
        "SCHILY.xattr.user.overlay.redirect": "/etc",
        "SCHILY.xattr.trusted.overlay.opaque": "y",
        "SCHILY.xattr.security.selinux": "x",
    }
    unpack_into(top, archive(info))
    assert os.listxattr(top / "file") == ["user.note"]
    assert os.getxattr(top / "file", "user.note") == b"kept"


# --- whiteouts -----------------------------------------------------------------------------


def test_whiteout_becomes_a_device_zero(top: Path) -> None:
    unpack_into(top, archive("d/", "d/.wh.gone"))
    assert whiteout.is_whiteout(os.lstat(top / "d/gone"))


def test_opaque_marker_becomes_an_attribute(top: Path) -> None:
    unpack_into(top, archive("d/", "d/.wh..wh..opq", ("d/file", b"x")))
    assert is_opaque(top / "d")
    assert os.listdir(top / "d") == ["file"]


@pytest.mark.parametrize(
    "members",
    [
        (".wh.d", "d/", ("d/file", b"x")),
        ("d/", ("d/file", b"x"), ".wh.d"),
        (".wh.d", ("d/file", b"x")),
    ],
    ids=["before", "after", "implied"],
)
def test_directory_that_is_deleted_and_made_anew_is_opaque(
    top: Path, members: tuple[str | tuple[str, bytes], ...]
) -> None:
    unpack_into(top, archive(*members))
    assert is_opaque(top / "d")
    assert (top / "d/file").read_bytes() == b"x"


@pytest.mark.parametrize("members", [(".wh.f", ("f", b"x")), (("f", b"x"), ".wh.f")])
def test_whiteout_never_hides_what_its_own_layer_brings(
    top: Path, members: tuple[str | tuple[str, bytes], ...]
) -> None:
    unpack_into(top, archive(*members))
    assert (top / "f").read_bytes() == b"x"


def test_bookkeeping_of_aufs_is_left_out(top: Path) -> None:
    unpack_into(top, archive(".wh..wh.aufs", ".wh..wh.plnk/", ".wh..wh.orph/"))
    assert os.listdir(top) == []


# --- verification --------------------------------------------------------------------------


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def zstd(data: bytes) -> bytes:
    compressed = compression._module("zstd", "compression.zstd", "backports.zstd", package="")
    return bytes(compressed.compress(data))


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": zstd,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


@pytest.mark.parametrize("how", COMPRESSORS)
def test_digests_of_both_forms_are_told_and_verified(top: Path, how: str) -> None:
    plain = archive(("a", os.urandom(3000)))
    data = COMPRESSORS[how](plain)
    made = unpack_into(top, data, digest=sha256(data), diff_id=sha256(plain))
    assert (made.digest, made.diff_id) == (sha256(data), sha256(plain))
    assert made.size_bytes == len(data)


@pytest.mark.parametrize("which", ["digest", "diff_id"])
def test_layer_of_another_digest_is_refused(top: Path, which: str) -> None:
    with pytest.raises(InvalidInput, match="not what its digest says"):
        unpack_into(top, archive(("a", b"x")), **{which: sha256(b"other")})


@pytest.mark.parametrize("how", COMPRESSORS)
def test_one_altered_byte_is_noticed(tmp_path: Path, how: str) -> None:
    plain = archive(("a", os.urandom(5000)))
    data = COMPRESSORS[how](plain)
    for at in range(0, len(data), 97):
        altered = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(InvalidInput):
            unpack_into(tmp_path / str(at), altered, digest=sha256(data))


@pytest.mark.parametrize("how", COMPRESSORS)
def test_cut_archive_is_refused(tmp_path: Path, how: str) -> None:
    data = COMPRESSORS[how](archive(("a", os.urandom(50_000))))
    for size in range(40, len(data) - 11_000, 4099):
        with pytest.raises(InvalidInput):
            unpack_into(tmp_path / str(size), data[:size])


def test_missing_decompressor_is_said_with_what_to_install(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "isal.igzip_lib", None)
    with pytest.raises(SetupError, match="compressed by gzip") as raised:
        unpack_into(top, gzip.compress(archive(("a", b"x"))))
    assert raised.value.hint == "pip install isal"


def test_gzip_of_several_members_and_padding_is_read_whole() -> None:
    data = gzip.compress(b"one ") + gzip.compress(b"two") + bytes(1000)
    assert b"".join(decompressed(read_chunks(io.BytesIO(data), 7))) == b"one two"


def test_pieces_are_small_however_well_they_were_compressed() -> None:
    data = gzip.compress(bytes(64 << 20), 9)
    assert max(map(len, decompressed(iter([data])))) <= CHUNK_BYTES


# --- packing -------------------------------------------------------------------------------


def test_layer_goes_to_an_archive_and_back(top: Path, tmp_path: Path) -> None:
    info = tarfile.TarInfo("d/file")
    info.mtime = 5
    members = ("d/", info, "d/.wh.gone", "o/", "o/.wh..wh..opq", "l -> d", "h => d/file")
    unpack_into(top, archive(*members, ("x" * 120, b"long name")))
    data = pack_bytes(top)
    again = unpack_into(tmp_path / "again", data)
    assert pack_bytes(tmp_path / "again") == data
    assert again.diff_id == sha256(data)
    names = set(members_of(data))
    assert {"d/.wh.gone", "o/.wh..wh..opq", "d/file", "h", "l", "x" * 120} <= names
    assert (tmp_path / "again/h").stat().st_nlink == 2


def test_archive_does_not_depend_on_the_order_of_creation(tmp_path: Path) -> None:
    for name, order in (("one", "abc"), ("two", "cab")):
        (tmp_path / name).mkdir()
        for letter in order:
            (tmp_path / name / letter).write_text(letter)
            os.utime(tmp_path / name / letter, (0, 0))
    assert pack_bytes(tmp_path / "one") == pack_bytes(tmp_path / "two")


def test_times_are_cut_off_at_the_latest(top: Path) -> None:
    top.mkdir()
    (top / "new").write_text("x")
    (top / "old").write_text("x")
    os.utime(top / "old", (5, 5))
    found = members_of(pack_bytes(top, latest_s=1000))
    assert {name: info.mtime for name, info in found.items()} == {"new": 1000, "old": 5}


def test_host_ids_become_the_image_s(top: Path) -> None:
    top.mkdir()
    (top / "file").write_text("x")
    uid = (top / "file").stat().st_uid
    shift = IdShift(first_host_id=uid, count=1)
    assert members_of(pack_bytes(top, ids=shift))["file"].uid == 0
    assert IdShift(first_host_id=100_000, count=65_536).image_id(99_999) == 65_534


def test_file_whose_name_means_a_whiteout_is_not_packed(top: Path) -> None:
    """A container could else delete files of the layers below in every image made from it."""
    top.mkdir()
    (top / ".wh.etc").write_text("x")
    with pytest.raises(InvalidInput, match=r"\.wh\.etc"):
        pack_bytes(top)


def test_socket_is_left_out(top: Path) -> None:
    import socket

    top.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(top / "socket"))
    (top / "file").write_text("x")
    assert list(members_of(pack_bytes(top))) == ["file"]
