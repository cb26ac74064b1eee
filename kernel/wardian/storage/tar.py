"""Tar archives as a stream of entries: ustar, POSIX.1-2001 (PAX) and GNU, as image layers use them.

The archive is hostile. Nothing here touches a file system; each header and all extended headers
of an entry are bounded, so that memory is, too. (The standard library's tarfile reads an extended
header of any size into memory and searches it with patterns of quadratic time, CVE-2024-6232.)
Where readers differ, this one does as Go's archive/tar, which most registries' clients use: sizes
of links and directories are ignored, global headers are skipped, a PAX size overrides the other.
"""

from __future__ import annotations

import enum
import os
import re
from collections.abc import Iterator

import msgspec

from wardian.errors import InvalidInput

BLOCK = 512
END = bytes(2 * BLOCK)
MAX_HEADERS_BYTES = 1 << 20  # extended headers of one entry; an attribute has 64 KiB at most
MAX_MTIME_S = 1 << 40
XATTR = "SCHILY.xattr."
_OCTAL = re.compile(rb"[0-7]*")
_DECIMAL = re.compile(rb"-?[0-9]{1,20}")
_MTIME = re.compile(rb"(-?)([0-9]{1,20})(?:\.([0-9]{0,30}))?")

Extents = tuple[tuple[int, int], ...]


class Kind(enum.Enum):
    """What an entry makes; the value is its type flag (pax(1), ustar interchange format)."""

    FILE = b"0"
    HARD_LINK = b"1"
    SYMLINK = b"2"
    CHARACTER_DEVICE = b"3"
    BLOCK_DEVICE = b"4"
    DIRECTORY = b"5"
    FIFO = b"6"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One member. ``path`` and ``target`` are as the archive has them: do not trust them.

    ``extents`` are the (offset, length) of a file's data; between them are holes.
    """

    path: str
    kind: Kind
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size_bytes: int = 0
    mtime_ns: int = 0
    target: str = ""
    device: tuple[int, int] = (0, 0)
    xattrs: dict[str, bytes] = msgspec.field(default_factory=dict)
    extents: Extents = ()

    @property
    def data_bytes(self) -> int:
        """How many bytes of data it brings."""
        return sum(length for _, length in self.extents)


def damaged(why: str) -> InvalidInput:
    """The error for an archive that cannot be read."""
    return InvalidInput(f"the archive is damaged: {why}", hint="fetch or make it again")


class TarReader:
    """Iterates over the entries; `data` gives those of the entry at hand, once."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._chunk = memoryview(b"")
        self._left = 0  # bytes of the entry at hand, with padding, that were not read yet
        self._extents: Extents = ()

    def __iter__(self) -> Iterator[Entry]:
        while (entry := self._next()) is not None:
            yield entry

    def data(self) -> Iterator[tuple[int, memoryview]]:
        """(offset in the file, bytes) of the entry at hand, in order."""
        extents, self._extents = self._extents, ()
        for offset, length in extents:
            at = offset
            for piece in self._pieces(length):
                self._left -= len(piece)
                yield at, piece
                at += len(piece)

    def drain(self) -> None:
        """Read what follows the end marker, so that whoever hashes the stream sees all of it."""
        self._chunk = memoryview(b"")
        for _ in self._chunks:
            pass

    # --- headers -------------------------------------------------------------------------

    def _next(self) -> Entry | None:
        """The next entry; None at the end of the archive."""
        for _ in self._pieces(self._left):
            pass
        self._left = 0
        records: list[tuple[str, bytes]] = []
        size = 0
        while True:
            header = self._take(BLOCK, may_end=not records)
            if not header.strip(b"\0"):
                if records:
                    raise damaged("it ends between a header and its file")
                return None
            _verify_checksum(header)
            flag = header[156:157]
            if flag not in b"xgLKV":
                return self._entry(header, flag, records)
            length = _number(header[124:136])
            size += length
            if length < 0 or size > MAX_HEADERS_BYTES:
                raise damaged("the headers of one file are too big")
            body = self._take(_padded(length))[:length]
            records += _records(flag, body)

    def _entry(self, header: bytes, flag: bytes, records: list[tuple[str, bytes]]) -> Entry:
        pax = dict(records)
        path = os.fsdecode(pax.get("path") or _name(header))
        kind = _kind(flag, path)
        stored = _decimal(pax["size"]) if "size" in pax else _number(header[124:136])
        if stored < 0:
            raise damaged("a file has a negative size")
        if kind is not Kind.FILE:
            stored = 0
        self._left = _padded(stored)
        size, extents = self._sparse(header, flag, records, stored)
        self._extents = extents
        target = pax.get("linkpath") or _text(header[157:257])
        return Entry(
            path=os.fsdecode(pax["GNU.sparse.name"]) if "GNU.sparse.name" in pax else path,
            kind=kind,
            mode=_number(header[100:108]) & 0o7777,
            uid=_decimal(pax["uid"]) if "uid" in pax else _number(header[108:116]),
            gid=_decimal(pax["gid"]) if "gid" in pax else _number(header[116:124]),
            size_bytes=size,
            mtime_ns=_mtime(pax["mtime"]) if "mtime" in pax else _seconds(header[136:148]),
            target=os.fsdecode(target),
            device=(_number(header[329:337]), _number(header[337:345])),
            xattrs={k.removeprefix(XATTR): v for k, v in records if k.startswith(XATTR)},
            extents=extents,
        )

    # --- sparse files (GNU tar's manual, "Storing Sparse Files") ---------------------------

    def _sparse(
        self, header: bytes, flag: bytes, records: list[tuple[str, bytes]], stored: int
    ) -> tuple[int, Extents]:
        """The file's size and where its data go."""
        pax = dict(records)
        if flag == b"S":
            numbers, size = self._old_gnu_map(header), _number(header[483:495])
        elif pax.get("GNU.sparse.major") == b"1":
            numbers, used = self._map_in_data(stored)
            stored -= used
            size = _decimal(pax.get("GNU.sparse.realsize", b""))
        elif "GNU.sparse.map" in pax:
            numbers = [_decimal(word) for word in pax["GNU.sparse.map"].split(b",") if word]
            size = _decimal(pax.get("GNU.sparse.size", b""))
        elif "GNU.sparse.numblocks" in pax:
            wanted = ("GNU.sparse.offset", "GNU.sparse.numbytes")
            numbers = [_decimal(value) for key, value in records if key in wanted]
            size = _decimal(pax.get("GNU.sparse.size", b""))
        else:
            return stored, ((0, stored),) if stored else ()
        return size, _extents(numbers, size, stored)

    def _old_gnu_map(self, header: bytes) -> list[int]:
        numbers = _map_numbers(header[386:482])
        more = header[482]
        while more:
            if len(numbers) * 12 > MAX_HEADERS_BYTES:
                raise damaged("a sparse file has too many pieces")
            block = self._take(BLOCK)
            numbers += _map_numbers(block[:504])
            more = block[504]
        return numbers

    def _map_in_data(self, stored: int) -> tuple[list[int], int]:
        """PAX 1.0: decimal lines in front of the data, padded to a block; numbers, bytes used."""
        text, wanted = b"", 1
        while wanted > text.count(b"\n"):
            if len(text) + BLOCK > min(stored, MAX_HEADERS_BYTES):
                raise damaged("the map of a sparse file does not end")
            text += self._take(BLOCK)
            self._left -= BLOCK
            if b"\n" in text:
                wanted = 1 + 2 * _decimal(text[: text.index(b"\n")])
        if wanted < 1:
            raise damaged("the map of a sparse file is malformed")
        return [_decimal(line) for line in text.split(b"\n")[1:wanted]], len(text)

    # --- bytes ---------------------------------------------------------------------------

    def _take(self, length: int, *, may_end: bool = False) -> bytes:
        data = b"".join(self._pieces(length, may_end=may_end))
        if 0 < len(data) < length:
            raise damaged("it is cut short")
        return data

    def _pieces(self, length: int, *, may_end: bool = False) -> Iterator[memoryview]:
        while length:
            if not self._chunk:
                chunk = next(self._chunks, None)
                if chunk is None:
                    if may_end:
                        return
                    raise damaged("it is cut short")
                self._chunk = memoryview(chunk)
            piece = self._chunk[:length]
            self._chunk = self._chunk[length:]
            length -= len(piece)
            yield piece


def _records(flag: bytes, body: bytes) -> list[tuple[str, bytes]]:
    """What an extended header says about the next entry."""
    if flag == b"x":
        return list(_pax_records(body))
    if flag == b"L":
        return [("path", _text(body))]
    if flag == b"K":
        return [("linkpath", _text(body))]
    return []  # a global header or a volume's label


def _pax_records(body: bytes) -> Iterator[tuple[str, bytes]]:
    """``LENGTH KEYWORD=VALUE`` and a newline; the length counts the whole record (pax(1))."""
    at = 0
    while at < len(body):
        space = body.find(b" ", at, at + 20)
        length = _decimal(body[at:space]) if space > 0 else 0
        record = body[space + 1 : at + length]
        key, equals, value = record.partition(b"=")
        if not equals or at + length > len(body) or not record.endswith(b"\n"):
            raise damaged("an extended header is malformed")
        yield key.decode("utf-8", "surrogateescape"), value[:-1]
        at += length


def _kind(flag: bytes, path: str) -> Kind:
    if flag in b"\x007S":
        flag = b"0"
    if flag == b"0" and path.endswith("/"):
        return Kind.DIRECTORY  # before POSIX a directory was a file with a slash
    try:
        return Kind(flag)
    except ValueError:
        raise damaged(f"an entry of unknown type {flag!r}") from None


def _name(header: bytes) -> bytes:
    name = _text(header[0:100])
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _text(data: bytes) -> bytes:
    return data.partition(b"\0")[0]


def _number(data: bytes) -> int:
    """An octal number, or a binary one whose first bit is set (GNU, star)."""
    if data[0] & 0x80:
        value = int.from_bytes(bytes([data[0] & 0x7F]) + data[1:])
        return value if data[0] & 0x40 == 0 else value - (1 << (8 * len(data) - 1))
    text = _text(data.strip(b" \0")).strip(b" ")
    if not _OCTAL.fullmatch(text):
        raise damaged("a header has a number that is none")
    return int(text or b"0", 8)


def _decimal(data: bytes) -> int:
    if not _DECIMAL.fullmatch(data):
        raise damaged("a header has a number that is none")
    return int(data)


def _mtime(data: bytes) -> int:
    """Seconds as a decimal fraction, in nanoseconds."""
    match = _MTIME.fullmatch(data)
    if match is None:
        raise damaged("a time that is none")
    sign, seconds, fraction = match[1], int(match[2]), (match[3] or b"")
    whole_ns = min(seconds, MAX_MTIME_S) * 10**9 + int(fraction[:9].ljust(9, b"0") or b"0")
    return -whole_ns if sign else whole_ns


def _seconds(data: bytes) -> int:
    return max(-MAX_MTIME_S, min(_number(data), MAX_MTIME_S)) * 10**9


def _map_numbers(data: bytes) -> list[int]:
    """Pairs of 12-byte numbers, up to the first that is empty."""
    fields = [data[at : at + 12] for at in range(0, len(data) - 11, 12)]
    pairs = zip(fields[::2], fields[1::2], strict=True)
    numbers: list[int] = []
    for offset, length in pairs:
        if not length.strip(b"\0"):
            break
        numbers += (_number(offset), _number(length))
    return numbers


def _extents(numbers: list[int], size: int, stored: int) -> Extents:
    """The pieces of a sparse file, in order and within it."""
    if len(numbers) % 2:
        raise damaged("the map of a sparse file is malformed")
    pieces = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    end = 0
    for offset, length in pieces:
        if offset < end or length < 0:
            raise damaged("the pieces of a sparse file overlap")
        end = offset + length
    if end > size or sum(length for _, length in pieces) != stored:
        raise damaged("the map of a sparse file does not fit its data")
    return tuple(piece for piece in pieces if piece[1])


def _padded(length: int) -> int:
    return -(-length // BLOCK) * BLOCK


def _verify_checksum(header: bytes) -> None:
    """The sum of all bytes, its own field taken as spaces; some old programs summed signed."""
    said = _number(header[148:156])
    unsigned = sum(header) - sum(header[148:156]) + 8 * 32
    if said != unsigned:
        high = sum(byte >= 0x80 for byte in header[:148] + header[156:])
        if said != unsigned - 256 * high:
            raise damaged("a header's checksum is wrong")


# --- writing -----------------------------------------------------------------------------------


def padding(size_bytes: int) -> bytes:
    """The zeros that fill up the last block of a file of this size."""
    return bytes(-size_bytes % BLOCK)


def header(entry: Entry) -> bytes:
    """The header of an entry, after a PAX header for what ustar has no room for.

    The same entry gives the same bytes always. A file's data follow whole, without holes.
    """
    path = os.fsencode(entry.path)
    target = os.fsencode(entry.target)
    names = {"path": path, "linkpath": target}
    numbers = {"uid": entry.uid, "gid": entry.gid, "size": entry.size_bytes}
    records = {key: text for key, text in names.items() if len(text) > 100 or not text.isascii()}
    for key, number in numbers.items():
        if number >= 8 ** (11 if key == "size" else 7):
            records[key] = b"%d" % number
            numbers[key] = 0
    seconds, nanoseconds = divmod(entry.mtime_ns, 10**9)
    if nanoseconds or not 0 <= seconds < 8**11:
        records["mtime"] = _time_text(entry.mtime_ns)
        seconds = min(max(0, seconds), 8**11 - 1)
    records |= {XATTR + name: value for name, value in sorted(entry.xattrs.items())}
    extended = b"".join(_pax_record(key.encode(), value) for key, value in records.items())
    before = b""
    if extended:
        numbers_of_header = {"uid": 0, "gid": 0, "size": len(extended)}
        before = _ustar(b"x", b"PaxHeaders/" + path[-80:], b"", 0o644, numbers_of_header, 0, (0, 0))
        before += extended + padding(len(extended))
    flag = entry.kind.value
    return before + _ustar(flag, path, target, entry.mode, numbers, seconds, entry.device)


def _ustar(
    flag: bytes,
    path: bytes,
    target: bytes,
    mode: int,
    numbers: dict[str, int],
    seconds: int,
    device: tuple[int, int],
) -> bytes:
    fields = (
        path[:100].ljust(100, b"\0"),
        b"%07o\0" % mode,
        b"%07o\0" % numbers["uid"],
        b"%07o\0" % numbers["gid"],
        b"%011o\0" % numbers["size"],
        b"%011o\0" % seconds,
        b" " * 8,
        flag,
        target[:100].ljust(100, b"\0"),
        b"ustar\x0000" + bytes(64),  # no names of owners: ids are what counts
        b"%07o\0%07o\0" % device,
        bytes(167),
    )
    block = b"".join(fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _pax_record(key: bytes, value: bytes) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + 1
    while length != len(body) + len(b"%d" % length):
        length = len(body) + len(b"%d" % length)
    return b"%d" % length + body


def _time_text(time_ns: int) -> bytes:
    sign = b"-" if time_ns < 0 else b""
    seconds, nanoseconds = divmod(abs(time_ns), 10**9)
    fraction = b".%09d" % nanoseconds if nanoseconds else b""
    return sign + b"%d" % seconds + fraction
