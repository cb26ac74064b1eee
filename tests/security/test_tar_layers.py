"""Layers that try to leave their directory: carried out, and the host looked at afterwards."""

from __future__ import annotations

import io
import os
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wardian.errors import InvalidInput, WardianError
from wardian.storage import whiteout
from wardian.storage.layers import Devices, Owners, Policy, unpack

OWNERS = Owners.AS_ARCHIVED if os.geteuid() == 0 else Owners.CALLER
PAYLOAD = b"changed by the layer"


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    info.mode = 0o777
    info.uid = info.gid = os.geteuid()
    info.size = len(PAYLOAD) if kind == tarfile.REGTYPE and ".wh." not in name else 0
    return info


def folder(name: str) -> tarfile.TarInfo:
    return member(name, tarfile.DIRTYPE)


def link(name: str, target: str) -> tarfile.TarInfo:
    return member(name, tarfile.SYMTYPE, target)


def hard(name: str, target: str) -> tarfile.TarInfo:
    return member(name, tarfile.LNKTYPE, target)


def tar(*members: tarfile.TarInfo) -> io.BytesIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info in members:
            archive.addfile(info, io.BytesIO(PAYLOAD[: info.size]))
    file.seek(0)
    return file


class Host:
    """What lies around the directory of a layer, and whether it is as it was."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.dest = top / "dest"
        self.dest.mkdir()
        for name in ("victim", "dest-evil/victim", "etc/passwd"):
            (top / name).parent.mkdir(exist_ok=True)
            (top / name).write_text("untouched")
        self._before = self._facts()

    def unpack(self, *members: tarfile.TarInfo, policy: Policy | None = None) -> bool:
        """Whether the layer was taken; its directory is emptied before the next."""
        fd = os.open(self.dest, os.O_RDONLY)
        try:
            unpack(tar(*members), fd, policy=policy or Policy(owners=OWNERS))
        except InvalidInput:
            return False
        finally:
            os.close(fd)
        return True

    def assert_untouched(self) -> None:
        assert self._facts() == self._before

    def _facts(self) -> dict[str, tuple[object, ...]]:
        found: dict[str, tuple[object, ...]] = {}
        for path in [self.top, *self.top.rglob("*")]:
            if path == self.dest or self.dest in path.parents:
                continue
            status = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            marks = tuple(os.listxattr(path, follow_symlinks=False))
            found[str(path)] = (status.st_mode, status.st_uid, status.st_nlink, content, marks)
        return found


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    host.assert_untouched()


@pytest.mark.parametrize(
    "name",
    [
        "../victim",
        "/../victim",
        "a/../../victim",
        "./../victim",
        "..",
        "a/..",
        "../dest-evil/victim",
        "../dest/../victim",
    ],
)
@pytest.mark.parametrize("make", [member, folder, lambda name: link(name, "x")])
def test_path_that_climbs_is_refused(host: Host, name: str, make: object) -> None:
    assert callable(make)
    assert not host.unpack(make(name))
    assert os.listdir(host.dest) == []


def test_absolute_path_lands_inside(host: Host) -> None:
    assert host.unpack(member("/etc/passwd"), member(f"{host.top}/victim"))
    assert (host.dest / "etc/passwd").read_bytes() == PAYLOAD


@pytest.mark.parametrize("depth", [1, 2, 30])
@pytest.mark.parametrize(
    "where", ["/", "..", "../..", "../../../../../../../..", "/proc/self/root"]
)
def test_file_below_a_chain_of_symlinks_stays_inside(host: Host, where: str, depth: int) -> None:
    chain = [link("l0", where), *(link(f"l{n}", f"l{n - 1}") for n in range(1, depth))]
    host.unpack(*chain, member(f"l{depth - 1}/victim"), member(f"l{depth - 1}{host.top}/victim"))


@pytest.mark.parametrize("target", ["{top}", "../", "../dest-evil", "{top}/dest-evil"])
def test_symlink_to_the_neighbourhood_leads_nowhere(host: Host, target: str) -> None:
    """A sibling whose name begins with ours fools those who compare prefixes of paths."""
    target = target.format(top=host.top)
    host.unpack(link("out", target), member("out/victim"), member("out/new"), folder("out/dir"))
    host.unpack(link("out", target), member("out"))  # through the link itself
    assert not (host.dest / "out").is_symlink()


@pytest.mark.parametrize("magic", ["/proc/self/fd/3", "/proc/self/cwd", "/proc/1/root"])
def test_magic_links_are_no_way_out(host: Host, magic: str) -> None:
    host.unpack(link("out", magic), member("out/victim"))


def test_hard_link_to_the_outside_is_refused(host: Host) -> None:
    for target in ("../victim", "/../victim", f"{host.top}/victim", "/etc/passwd"):
        assert not host.unpack(hard("inside", target), member("inside"))


def test_hard_link_to_a_symlink_is_not_followed(host: Host) -> None:
    """Writing to the second name must not write through the first."""
    host.unpack(link("s", str(host.top / "victim")), hard("h", "s"), member("h"))
    assert (host.dest / "h").read_bytes() == PAYLOAD
    host.unpack(link("t", "../victim"), hard("i", "t"), hard("j", "i"), member("i"), member("j"))
    host.unpack(link("d", str(host.top)), hard("k", "d/victim"), member("k"))


def test_mode_and_owner_do_not_go_through_a_symlink(host: Host) -> None:
    shady = member("victim", tarfile.DIRTYPE)
    shady.mode, shady.uid = 0, 4242
    host.unpack(link("victim", str(host.top / "victim")), shady)
    host.unpack(shady, link("victim", "../victim"))
    host.unpack(folder("d"), shady, link("d", str(host.top)), member("d/victim"))


@pytest.mark.parametrize("name", [".wh..", ".wh...", ".wh.", "d/.wh..", "d/.wh...", "d/.wh."])
def test_whiteout_of_no_name_or_of_the_parent_is_refused(host: Host, name: str) -> None:
    assert not host.unpack(folder("d"), member(name))


@pytest.mark.parametrize("name", [".wh.victim", ".wh..wh..opq", ".wh.dest-evil", ".wh..wh.x"])
def test_whiteout_below_a_symlink_stays_inside(host: Host, name: str) -> None:
    for where in ("..", "/", str(host.top), "../dest-evil"):
        host.unpack(link("out", where), member(f"out/{name}"))
    fd = os.open(host.top, os.O_RDONLY)
    assert not whiteout.is_opaque(fd)
    os.close(fd)


def test_whiteout_as_a_directory_is_refused(host: Host) -> None:
    assert not host.unpack(member(".wh.d/victim"))


def test_whiteout_cannot_be_smuggled_in_as_a_device(host: Host) -> None:
    device = member("etc", tarfile.CHRTYPE)
    assert host.unpack(device, policy=Policy(owners=OWNERS, devices=Devices.CREATE))
    assert os.listdir(host.dest) == []


@pytest.mark.parametrize("device", [(8, 0), (1, 1), (254, 0)])
def test_host_s_devices_are_not_handed_out(host: Host, device: tuple[int, int]) -> None:
    info = member("disk", tarfile.BLKTYPE)
    info.devmajor, info.devminor = device
    assert host.unpack(info)
    assert os.listdir(host.dest) == []


def test_names_with_nul_and_endless_names_are_refused(host: Host) -> None:
    for path in ("a\0b", "x" * 300, "/".join(["y" * 200] * 40)):
        info = member("a")
        info.pax_headers = {"path": path}
        assert not host.unpack(info)
    info = link("a", "b")
    info.pax_headers = {"linkpath": "a\0b"}
    assert not host.unpack(info)


def test_owner_beyond_all_numbers_is_refused(host: Host) -> None:
    if OWNERS is Owners.CALLER:
        pytest.skip("owners are not taken from the archive; run the tests as root")
    for uid in ("4294967295", "-1", "99999999999"):
        info = member("a")
        info.pax_headers = {"uid": uid}
        assert not host.unpack(info)


def test_too_many_files_or_bytes_are_refused(host: Host) -> None:
    few = Policy(owners=OWNERS, max_entries=10)
    assert not host.unpack(*(member(f"f{n}") for n in range(11)), policy=few)
    small = Policy(owners=OWNERS, max_bytes=100)
    assert not host.unpack(*(member(f"f{n}") for n in range(10)), policy=small)


def test_bomb_is_refused_before_it_fills_the_disk(host: Host) -> None:
    """Ten gigabytes of zeros in ten megabytes."""

    class Bomb(io.RawIOBase):
        def __init__(self) -> None:
            info = member("zeros")
            info.size = 10 << 30
            self._deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
            self._ready = self._deflate.compress(info.tobuf(tarfile.GNU_FORMAT))
            self._left = 10 << 10

        def read(self, size: int = -1, /) -> bytes:
            while not self._ready and self._left:
                self._left -= 1
                self._ready = self._deflate.compress(bytes(1 << 20))
            data, self._ready = self._ready[:size], self._ready[size:]
            return data

    fd = os.open(host.dest, os.O_RDONLY)
    try:
        with pytest.raises(InvalidInput, match="grows more than"):
            unpack(Bomb(), fd, policy=Policy(owners=OWNERS))  # type: ignore[arg-type]
    finally:
        os.close(fd)
    assert (host.dest / "zeros").stat().st_blocks * 512 < 2 << 30


parts = st.sampled_from(["a", "b", "..", ".", "", ".wh.a", ".wh..wh..opq", "victim", "etc"])
paths = st.lists(parts, min_size=1, max_size=4).map("/".join)
shapes = st.sampled_from(
    [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]
)


@given(st.lists(st.tuples(paths, shapes, paths, st.booleans()), min_size=1, max_size=8))
@settings(
    deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_order_of_entries_touches_the_host(
    host: Host, entries: list[tuple[str, bytes, str, bool]]
) -> None:
    """Whatever a layer says, it is unpacked inside or refused with an error of ours."""
    from wardian.storage import tree

    members = [
        member(path, kind, f"{'/' * is_absolute}{target}")
        for path, kind, target, is_absolute in entries
    ]
    try:
        host.unpack(*members)
    except WardianError as error:
        assert str(host.top) not in str(error)  # noqa: PT017  # most examples raise nothing
    host.assert_untouched()
    fd = os.open(host.dest, os.O_RDONLY)
    for name in os.listdir(fd):
        tree.remove(fd, name)
    os.close(fd)
