"""The reader against archives of tarfile's making, and against noise."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from wardian.errors import InvalidInput
from wardian.storage.tar import END, MAX_HEADERS_BYTES, Entry, Kind, TarReader, header, padding

names = st.text(
    st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=120
).filter(lambda name: name.strip("/") not in ("", ".", ".."))
KINDS = {
    tarfile.REGTYPE: Kind.FILE,
    tarfile.DIRTYPE: Kind.DIRECTORY,
    tarfile.SYMTYPE: Kind.SYMLINK,
    tarfile.LNKTYPE: Kind.HARD_LINK,
    tarfile.FIFOTYPE: Kind.FIFO,
    tarfile.CHRTYPE: Kind.CHARACTER_DEVICE,
    tarfile.BLKTYPE: Kind.BLOCK_DEVICE,
}


def chunks(data: bytes, size: int = 1000) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def read(data: bytes) -> list[tuple[Entry, bytes]]:
    reader = TarReader(chunks(data))
    return [(entry, b"".join(bytes(piece) for _, piece in reader.data())) for entry in reader]


@st.composite
def members(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(draw(names))
    info.type = draw(st.sampled_from(list(KINDS)))
    info.mode = draw(st.integers(0, 0o7777))
    info.uid, info.gid = draw(st.integers(0, 2**31)), draw(st.integers(0, 2**31))
    info.mtime = draw(st.integers(0, 2**33))
    data = draw(st.binary(max_size=1500)) if info.type == tarfile.REGTYPE else b""
    info.size = len(data)
    if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        info.linkname = draw(names)
    if info.type in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        info.devmajor, info.devminor = draw(st.integers(0, 4095)), draw(st.integers(0, 2**20))
    return info, data


@given(st.lists(members(), max_size=5), st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_reader_sees_what_tarfile_wrote(
    written: list[tuple[tarfile.TarInfo, bytes]], style: int
) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=style) as archive:
        for info, data in written:
            archive.addfile(info, io.BytesIO(data))
    found = read(file.getvalue())
    assert len(found) == len(written)
    for (entry, data), (info, wanted) in zip(found, written, strict=True):
        assert entry.kind is KINDS[info.type]
        assert entry.path.rstrip("/") == info.name
        assert (entry.mode, entry.uid, entry.gid) == (info.mode, info.uid, info.gid)
        assert entry.mtime_ns == info.mtime * 10**9
        assert entry.target == info.linkname
        assert entry.device == (info.devmajor, info.devminor)
        assert data == wanted


entries = st.builds(
    Entry,
    path=names,
    kind=st.just(Kind.SYMLINK),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 2**32 - 2),
    gid=st.integers(0, 2**32 - 2),
    mtime_ns=st.integers(-(2**60), 2**62),
    target=st.one_of(names, st.just("x" * 300)),
    xattrs=st.dictionaries(
        st.from_regex(r"user\.[a-z]{1,20}", fullmatch=True), st.binary(max_size=300), max_size=3
    ),
)


@given(entries)
@example(Entry(path="a" * 86, kind=Kind.SYMLINK, target="b" * 101))
def test_reader_sees_what_the_writer_wrote(entry: Entry) -> None:
    assert read(header(entry) + END) == [(entry, b"")]


@given(entries)
def test_tarfile_sees_what_the_writer_wrote(entry: Entry) -> None:
    with tarfile.open(fileobj=io.BytesIO(header(entry) + END)) as archive:
        (info,) = archive.getmembers()
    assert info.name == entry.path.rstrip("/")
    assert info.linkname == entry.target
    assert (info.uid, info.gid, info.mode) == (entry.uid, entry.gid, entry.mode)


def test_numbers_too_big_for_octal_are_read_in_binary() -> None:
    info = tarfile.TarInfo("big")
    info.mtime = -7
    data = info.tobuf(tarfile.GNU_FORMAT) + END
    assert read(data)[0][0].mtime_ns == -7 * 10**9


def pax(records: dict[str, bytes | str], body: bytes = b"", name: str = "file") -> bytes:
    """An archive of one file, with an extended header of these records."""
    info = tarfile.TarInfo(name)
    info.size = len(body)
    extended = b""
    for key, value in records.items():
        record = b" " + key.encode() + b"="
        record += (value.encode() if isinstance(value, str) else value) + b"\n"
        length = len(record) + 1
        while length != len(record) + len(str(length)):
            length = len(record) + len(str(length))
        extended += str(length).encode() + record
    before = tarfile.TarInfo("pax")
    before.type = tarfile.XHDTYPE
    before.size = len(extended)
    made = before.tobuf(tarfile.USTAR_FORMAT) + extended + padding(len(extended))
    return made + info.tobuf(tarfile.USTAR_FORMAT) + body + padding(len(body)) + END


def test_nanoseconds_are_kept() -> None:
    ((entry, _),) = read(pax({"mtime": "1700000000.123456789"}))
    assert entry.mtime_ns == 1_700_000_000_123_456_789


def test_pax_size_overrides_the_header() -> None:
    """Two readers that disagree here see different files in one archive (CVE-2025-62518)."""
    inner = tarfile.TarInfo("smuggled").tobuf(tarfile.USTAR_FORMAT)
    data = pax({"size": str(len(inner))}, inner)
    ustar = data.index(b"file\0")
    zeroed = bytearray(data)
    zeroed[ustar + 124 : ustar + 136] = b"0" * 11 + b"\0"
    zeroed[ustar + 148 : ustar + 156] = b" " * 8
    zeroed[ustar + 148 : ustar + 156] = b"%06o\0 " % sum(zeroed[ustar : ustar + 512])
    assert [(entry.path, data) for entry, data in read(bytes(zeroed))] == [("file", inner)]


SPARSE = {
    "0.0": {
        "GNU.sparse.size": "1000000",
        "GNU.sparse.numblocks": "1",
        "GNU.sparse.offset": "512000",
        "GNU.sparse.numbytes": "3",
    },
    "0.1": {"GNU.sparse.size": "1000000", "GNU.sparse.map": "512000,3"},
    "1.0": {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "file",
        "GNU.sparse.realsize": "1000000",
    },
}


@pytest.mark.parametrize("version", SPARSE)
def test_sparse_file_is_read_without_its_holes(version: str) -> None:
    body = b"1\n512000\n3\n".ljust(512, b"\0") + b"abc" if version == "1.0" else b"abc"
    reader = TarReader(chunks(pax(dict(SPARSE[version]), body)))
    (entry,) = [(entry, [(at, bytes(piece)) for at, piece in reader.data()]) for entry in reader]
    assert entry[0].size_bytes == 1_000_000
    assert entry[0].data_bytes == 3
    assert entry[1] == [(512_000, b"abc")]


@pytest.mark.parametrize(
    "pieces", ["512000,4", "5,1,4,2", "999999,3", "-3,3", "0,99999999999999999999999", "1,2,3", "x"]
)
def test_sparse_map_that_lies_is_refused(pieces: str) -> None:
    with pytest.raises(InvalidInput):
        read(pax({"GNU.sparse.size": "1000000", "GNU.sparse.map": pieces}, b"abc"))


@pytest.mark.parametrize("count", ["9" * 19, "-1", "x", "1"])
def test_map_in_front_of_the_data_that_does_not_end_is_refused(count: str) -> None:
    body = f"{count}\n".encode().ljust(512, b"\0")
    with pytest.raises(InvalidInput):
        read(pax(dict(SPARSE["1.0"]), body))


def test_headers_beyond_the_bound_are_refused_before_they_are_read() -> None:
    before = tarfile.TarInfo("pax")
    before.type = tarfile.XHDTYPE
    before.size = MAX_HEADERS_BYTES + 1
    reader = TarReader(iter([before.tobuf(tarfile.USTAR_FORMAT)]))
    with pytest.raises(InvalidInput, match="too big"):
        next(iter(reader))


def test_many_small_headers_of_one_file_count_together() -> None:
    name = tarfile.TarInfo("././@LongLink")
    name.type = tarfile.GNUTYPE_LONGNAME
    name.size = 512 * 1024
    one = name.tobuf(tarfile.GNU_FORMAT) + b"a" * name.size
    with pytest.raises(InvalidInput, match="too big"):
        read(one * 3)


@pytest.mark.parametrize(
    "record", [b"5 a\n", b"999 a=b\n", b"0 a=b\n", b"-6 a=b\n", b"6 a=b", b"a=b\n", b"7 a=b\nx"]
)
def test_malformed_extended_header_is_refused(record: bytes) -> None:
    before = tarfile.TarInfo("pax")
    before.type = tarfile.XHDTYPE
    before.size = len(record)
    data = before.tobuf(tarfile.USTAR_FORMAT) + record + padding(len(record))
    with pytest.raises(InvalidInput):
        read(data + tarfile.TarInfo("a").tobuf(tarfile.USTAR_FORMAT) + END)


def test_altered_header_is_refused() -> None:
    data = bytearray(tarfile.TarInfo("a").tobuf(tarfile.USTAR_FORMAT) + END)
    data[0] ^= 1
    with pytest.raises(InvalidInput, match="checksum"):
        read(bytes(data))


def test_archive_that_is_cut_short_is_refused() -> None:
    data = pax({"mtime": "1.5"}, b"x" * 2000)
    for size in (100, 512, 1000, 1024, 1600, 2000, 3000):
        with pytest.raises(InvalidInput):
            read(data[:size])


@given(st.binary(max_size=600), st.integers(0, 511), st.binary(min_size=1, max_size=12))
@settings(deadline=None)
def test_noise_raises_nothing_but_invalid_input(noise: bytes, at: int, patch: bytes) -> None:
    """Also noise with a right checksum, so that the fields behind it are reached."""
    block = bytearray(tarfile.TarInfo("a").tobuf(tarfile.USTAR_FORMAT))
    block[at : at + len(patch)] = patch
    block = block[:512]
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    for data in (noise, bytes(block) + noise + END):
        try:
            read(data)
        except InvalidInput:
            continue
