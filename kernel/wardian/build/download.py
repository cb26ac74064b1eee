"""ADD of a URL: one file of a server, and what is remembered of it for the next build.

    <root>/build/urls/<hex of the URL's digest>.json

A server that knows its ETag again need not send the file; where ``--checksum`` tells what the file
is, nothing is asked before the file is needed (as BuildKit's source/http).
"""

from __future__ import annotations

import email.utils
import hashlib
import os
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import Message
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec
import urllib3
from msgspec.structs import replace
from urllib3.exceptions import HTTPError

from wardian.build.cargo import file_entry, send_file
from wardian.build.stop import Stop
from wardian.build.transfer import Order
from wardian.errors import InvalidInput, NotFound, RegistryFailed
from wardian.images.index import keep, storing
from wardian.images.registry.settings import Endpoint
from wardian.images.registry.transport import Answer, Patience, Transport
from wardian.storage.compression import read_chunks

ALGORITHMS = ("sha256", "sha384", "sha512")
MAX_BYTES = 64 << 30
TRIES = 3
USUAL_NAME = "download"
_BY_HAND = "see whether the address is right; a file that you have can be copied with COPY"


class Noted(msgspec.Struct, frozen=True, kw_only=True):
    """What a server said of a file, and what the file was."""

    etag: str
    digest: str


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is here; ``mtime_s`` is its Last-Modified, 0 without one."""

    path: Path
    name: str
    digest: str
    mtime_s: int


class Download:
    """One URL of one build; ``work`` is where the file goes, ``notes`` what is remembered."""

    def __init__(
        self, url: str, *, checksum: str = "", work: Path, notes: Path, stop: Stop
    ) -> None:
        """Raises InvalidInput for a checksum or an address that is none."""
        parts = urlsplit(url)
        self._label = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))[:200]
        self._checksum = checksum
        self._work = work
        self._note = notes / f"{hashlib.sha256(url.encode()).hexdigest()}.json"
        self._stop = stop
        self._fetched: Fetched | None = None
        self._headers = {}
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers = urllib3.make_headers(basic_auth=login)
        place = parts.netloc.rpartition("@")[2]
        if not parts.hostname:
            raise InvalidInput(
                f"no address of a file: {self._label}", hint="like https://HOST/FILE"
            )
        self._url = urlunsplit((parts.scheme, place, parts.path or "/", parts.query, ""))
        self._endpoint = Endpoint(f"{parts.scheme}://{place}")
        algorithm, _, digits = checksum.partition(":")
        if checksum and (algorithm not in ALGORITHMS or not _is_hex(algorithm, digits)):
            raise InvalidInput(
                f"not a checksum: {checksum[:80]!r}", hint="like --checksum=sha256: and 64 digits"
            )

    def key(self) -> str:
        """What the file is, for the cache. Raises NotFound, RegistryFailed."""
        if self._checksum:
            return self._checksum
        noted = self._read_note()
        if self._fetched is None and noted is not None and self._is_still(noted):
            return noted.digest
        return self._whole().digest

    def file(self) -> Path:
        """The file. Raises InvalidInput if it is another than its checksum says."""
        return self._whole().path

    def _whole(self) -> Fetched:
        if self._fetched is None:
            self._fetched = self._fetch()
        return self._fetched

    def pack(self, order: Order, output: BinaryIO) -> None:
        """As an archive of this file, which only its owner may read unless it is said otherwise."""
        fetched = self._whole()
        entry = file_entry(order, fetched.name, mode=0o600, mtime_s=fetched.mtime_s)
        with open(fetched.path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            send_file(replace(entry, size_bytes=size), read_chunks(file), output)

    def _is_still(self, noted: Noted) -> bool:
        """Ask whether it is the file that it was; what comes if it is not is kept."""
        with self._asked({"If-None-Match": noted.etag}) as answer:
            if answer.status == 304:
                return True
            with suppress(HTTPError):  # then it is fetched from its start
                self._fetched = self._take(answer)
        return False

    def _fetch(self) -> Fetched:
        for _ in range(TRIES):
            with self._asked({}) as answer:
                try:
                    return self._take(answer)
                except HTTPError:
                    self._stop.check()
        raise RegistryFailed(f"the line was cut again and again: {self._label}", hint=_BY_HAND)

    def _take(self, answer: Answer) -> Fetched:
        path = self._work / os.urandom(8).hex()
        hashes = {"sha256": hashlib.sha256()}
        algorithm, _, digits = self._checksum.partition(":")
        if algorithm:
            hashes[algorithm] = hashlib.new(algorithm)
        size = 0
        with storing(), open(path, "wb") as file:
            for chunk in answer.chunks():
                self._stop.check()
                size += len(chunk)
                if size > MAX_BYTES:
                    raise InvalidInput(f"the file is too big: {self._label}")
                for one in hashes.values():
                    one.update(chunk)
                file.write(chunk)
        if algorithm and hashes[algorithm].hexdigest() != digits:
            found = f"{algorithm}:{hashes[algorithm].hexdigest()}"
            raise InvalidInput(
                f"digest mismatch {found}: {self._checksum}",
                hint=f"the file is not the one that was meant: {self._label}",
            )
        digest = f"sha256:{hashes['sha256'].hexdigest()}"
        self._write_note(answer, digest)
        name = _name(answer, self._url)
        return Fetched(path=path, name=name, digest=digest, mtime_s=_mtime_s(answer))

    @contextmanager
    def _asked(self, headers: dict[str, str]) -> Iterator[Answer]:
        patience = Patience(attempts=TRIES, stop=self._stop.event)
        transport = Transport(self._endpoint, lambda: None, patience)
        try:
            with transport.send(
                "GET",
                self._url,
                headers={**self._headers, **headers},
                accept=(200, 304) if headers else (200,),
                what=self._label,
            ) as answer:
                yield answer
        except (NotFound, RegistryFailed) as error:
            raise type(error)(error.what, hint=_BY_HAND) from error
        finally:
            transport.close()

    # --- what is remembered --------------------------------------------------------------

    def _read_note(self) -> Noted | None:
        try:
            return msgspec.json.decode(self._note.read_bytes(), type=Noted)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def _write_note(self, answer: Answer, digest: str) -> None:
        if etag := answer.headers.get("ETag", ""):
            keep(self._note, msgspec.json.encode(Noted(etag=etag, digest=digest)))


def _is_hex(algorithm: str, digits: str) -> bool:
    size = hashlib.new(algorithm).digest_size * 2
    return len(digits) == size and set(digits) <= set("0123456789abcdef")


def _name(answer: Answer, url: str) -> str:
    """Content-Disposition's, else the last of the address, as a plain name."""
    header = Message()
    header["Content-Disposition"] = answer.headers.get("Content-Disposition", "")
    for word in (header.get_filename() or "", unquote(urlsplit(url).path)):
        name = posixpath.basename(word)
        if name not in ("", ".", "..") and "\0" not in name:
            return name[:255]
    return USUAL_NAME


def _mtime_s(answer: Answer) -> int:
    with suppress(ValueError, TypeError, OverflowError):
        moment = email.utils.parsedate_to_datetime(answer.headers.get("Last-Modified", ""))
        return max(0, int(moment.timestamp()))
    return 0
