"""Compressed streams, told apart by their first bytes and unpacked piece by piece.

A stream is hostile: no piece is bigger than asked for, however well it was compressed, and one
that grows beyond reason is refused before it fills the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib import import_module
from itertools import chain
from typing import Any, BinaryIO, Protocol

from wardian.errors import InvalidInput, SetupError

CHUNK_BYTES = 1 << 20
MAX_WINDOW_BYTES = 1 << 27  # of zstd and xz: memory that a stream can make us take
# A stream may grow a hundredfold, or to this size whatever it was.
MAX_RATIO = 100
ALWAYS_ALLOWED_BYTES = 1 << 30


class _Decoder(Protocol):
    """What the decompressors of igzip, zstd, bz2 and lzma have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def read_chunks(stream: BinaryIO, size_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """All that a file or pipe gives."""
    while data := stream.read(size_bytes):
        yield data


def decompressed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The stream's contents: gzip, zstd, bzip2, xz or as it is. InvalidInput if it is damaged."""
    first = b""
    while len(first) < 6 and (more := next(chunks, b"")):
        first += more
    taken = _Counter(chain([first] if first else [], chunks))
    for magic, expand in _FORMATS.items():
        if first.startswith(magic):
            return _bounded(expand(taken), taken)
    return taken


class _Counter:
    """Passes chunks on and counts their bytes."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self.total_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = next(self._chunks)
        self.total_bytes += len(chunk)
        return chunk


def _bounded(chunks: Iterator[bytes], source: _Counter) -> Iterator[bytes]:
    grown = 0
    for chunk in chunks:
        grown += len(chunk)
        if grown > ALWAYS_ALLOWED_BYTES and grown > MAX_RATIO * source.total_bytes:
            raise InvalidInput(
                f"the archive grows more than {MAX_RATIO}-fold when it is unpacked",
                hint="it looks like a decompression bomb; do not trust where it came from",
            )
        yield chunk


def _expanded(chunks: Iterator[bytes], make: Callable[[], _Decoder]) -> Iterator[bytes]:
    """One or more compressed members, one after another; zeros at the end are padding."""
    decoder = make()
    is_inside = False
    for chunk in chunks:
        data = chunk
        while data:
            if not is_inside and not data.strip(b"\0"):
                break
            is_inside = True
            yield from _pieces(decoder, data)
            data = b""
            if decoder.eof:
                data, decoder, is_inside = decoder.unused_data, make(), False
    if is_inside:
        raise _damaged()


def _pieces(decoder: _Decoder, data: bytes) -> Iterator[bytes]:
    while True:
        try:
            piece = decoder.decompress(data, CHUNK_BYTES)
        except Exception as error:  # each module has its own class of them
            raise _damaged() from error
        data = b""
        if piece:
            yield piece
        if decoder.eof or decoder.needs_input:
            return


def _damaged() -> InvalidInput:
    return InvalidInput(
        "the archive's compressed data are damaged or cut short", hint="fetch or make it again"
    )


def _gunzip(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """ISA-L's inflate is two to three times as fast as zlib's."""
    igzip = _module("gzip", "isal.igzip_lib", package="isal")
    return _expanded(chunks, lambda: igzip.IgzipDecompressor(flag=igzip.DECOMP_GZIP))


def _bunzip2(chunks: Iterator[bytes]) -> Iterator[bytes]:
    import bz2

    return _expanded(chunks, bz2.BZ2Decompressor)


def _unxz(chunks: Iterator[bytes]) -> Iterator[bytes]:
    import lzma

    return _expanded(chunks, lambda: lzma.LZMADecompressor(memlimit=2 * MAX_WINDOW_BYTES))


def _unzstd(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The standard library's module, or the same for Python before 3.14."""
    zstd = _module("zstd", "compression.zstd", "backports.zstd", package="backports.zstd")
    options = {zstd.DecompressionParameter.window_log_max: MAX_WINDOW_BYTES.bit_length() - 1}
    return _expanded(chunks, lambda: zstd.ZstdDecompressor(options=options))


def _module(what: str, *names: str, package: str) -> Any:
    for name in names:
        with suppress(ImportError):
            return import_module(name)
    raise SetupError(f"the archive is compressed by {what}", hint=f"pip install {package}")


_FORMATS: dict[bytes, Callable[[Iterator[bytes]], Iterator[bytes]]] = {
    b"\x1f\x8b": _gunzip,
    b"\x28\xb5\x2f\xfd": _unzstd,
    b"BZh": _bunzip2,
    b"\xfd7zXZ\x00": _unxz,
}
