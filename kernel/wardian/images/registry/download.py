"""Blobs on their way from a registry, kept by digest so that the next try goes on with them.

    <root>/content/fetching/<hex of the digest>      locked by whoever fetches it (flock(2))

After a kill the file stays. Whoever wants the blob next hashes what is there and asks for the
rest; a file that turns out to be another blob is removed and fetched once more from its start.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from urllib3.exceptions import HTTPError

from wardian.errors import RegistryFailed
from wardian.images.index import storing
from wardian.images.manifest import Descriptor
from wardian.images.registry.progress import Progress
from wardian.images.registry.repository import Repository
from wardian.images.registry.transport import Answer, Passing
from wardian.images.store import ImageStore

CHUNK_BYTES = 1 << 20
POLL_S = 0.1
STALE_S = 86400.0


class Downloads:
    """The blobs being fetched into one store."""

    def __init__(self, store: ImageStore, progress: Progress, stop: threading.Event) -> None:
        self._directory = store.blob("sha256:x").parents[2] / "fetching"
        self._progress = progress
        self._stop = stop
        with storing():
            self._directory.mkdir(mode=0o700, exist_ok=True)
            self._forget_stale()

    def path(self, blob: Descriptor) -> Path:
        """Where a blob is being gathered."""
        return self._directory / blob.digest.removeprefix("sha256:")

    def fetch(
        self, repository: Repository, blob: Descriptor, adopt: Callable[[Path], None]
    ) -> None:
        """Have the whole blob, verified; `adopt` links it while it is surely there.

        When the image is in the store, the caller calls `forget`. Raises RegistryFailed,
        NotFound; SetupError if the disk is full.
        """
        self._progress.begin(blob)
        with storing(), self._locked(blob) as fd:
            for _ in range(2):  # what an earlier try left may be damaged
                if _Fetch(repository, blob, fd, self._progress, self._stop).run():
                    adopt(self.path(blob))
                    return
                os.ftruncate(fd, 0)
            raise RegistryFailed(
                f"a layer of {repository.path} is not what its digest says",
                hint="do not trust this registry, or what is between it and here",
            )

    def forget(self, blob: Descriptor) -> None:
        """The blob is in the store. Who else is fetching it forgets it, too, when they have it."""
        with storing(), suppress(FileNotFoundError):
            _unlink_if_nobodys(self.path(blob))

    @contextmanager
    def _locked(self, blob: Descriptor) -> Iterator[int]:
        """The file, ours alone; waits while another process fetches the same blob."""
        while True:
            fd = os.open(self.path(blob), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                while not _try_lock(fd):
                    if self._stop.wait(POLL_S):
                        raise RegistryFailed("the transfer was stopped")
                if _is_at(fd, self.path(blob)):  # else another process has just finished with it
                    yield fd
                    return
            finally:
                os.close(fd)

    def _forget_stale(self) -> None:
        """What nobody went on with for a day."""
        for entry in os.scandir(self._directory):
            with suppress(FileNotFoundError):
                if time.time() - entry.stat().st_mtime > STALE_S:
                    _unlink_if_nobodys(Path(entry.path))


class _Fetch:
    """One blob from one repository into one open file."""

    def __init__(
        self,
        repository: Repository,
        blob: Descriptor,
        fd: int,
        progress: Progress,
        stop: threading.Event,
    ) -> None:
        self._repository = repository
        self._blob = blob
        self._fd = fd
        self._progress = progress
        self._stop = stop
        self._hash = hashlib.sha256()
        self._position = 0

    def run(self) -> bool:
        """Get what is missing; whether the whole is what the digest says."""
        self._take_in_what_is_there()
        patience = self._repository.transport.patience
        attempt = 0
        while self._position < self._blob.size:
            before = self._position
            try:
                self._go_on()
            except (Passing, HTTPError) as error:
                attempt = attempt + 1 if self._position <= before else 1
                failed = self._failed(error)
                if attempt >= patience.attempts:
                    raise failed from error
                patience.wait(attempt - 1, failed.what, getattr(error, "retry_after", ""))
        return f"sha256:{self._hash.hexdigest()}" == self._blob.digest

    def _take_in_what_is_there(self) -> None:
        size = os.fstat(self._fd).st_size
        if size > self._blob.size:
            os.ftruncate(self._fd, 0)
        while data := os.pread(self._fd, CHUNK_BYTES, self._position):
            self._hash.update(data)
            self._position += len(data)
        self._progress.advance(self._blob, self._position)

    def _go_on(self) -> None:
        with self._repository.open_blob(self._blob, self._position) as answer:
            if answer.status == 416 or not self._is_continued(answer):
                self._start_again()
                if answer.status == 416:
                    return
            for chunk in answer.chunks():
                self._take(chunk)
        if self._position < self._blob.size:
            raise Passing(
                RegistryFailed(f"{self._repository.path}: a layer is shorter than it should be")
            )

    def _is_continued(self, answer: Answer) -> bool:
        """Whether the body goes on where we are (RFC 9110, 14.4)."""
        if answer.status == 200:
            return self._position == 0
        unit, _, place = answer.headers.get("Content-Range", "").partition(" ")
        if unit != "bytes" or place.partition("-")[0] != str(self._position):
            raise Passing(RegistryFailed(f"{self._repository.path}: another range than asked for"))
        return True

    def _start_again(self) -> None:
        os.ftruncate(self._fd, 0)
        self._hash = hashlib.sha256()
        self._position = 0

    def _take(self, chunk: bytes) -> None:
        if self._stop.is_set():
            raise RegistryFailed("the transfer was stopped")
        if self._position + len(chunk) > self._blob.size:
            raise RegistryFailed(
                f"a layer of {self._repository.path} is longer than it says",
                hint="do not trust this registry",
            )
        view = memoryview(chunk)
        while view:
            written = os.pwrite(self._fd, view, self._position)
            self._hash.update(view[:written])
            self._position += written
            view = view[written:]
        self._progress.advance(self._blob, self._position)

    def _failed(self, error: Passing | HTTPError) -> RegistryFailed:
        if isinstance(error, Passing):
            return error.error
        what = f"a layer of {self._repository.path}"
        return self._repository.transport.explain(error, what)


def _unlink_if_nobodys(path: Path) -> None:
    """Remove a file unless somebody holds its lock. Raises FileNotFoundError."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if _try_lock(fd):
            os.unlink(path)
    finally:
        os.close(fd)


def _is_at(fd: int, path: Path) -> bool:
    """Whether the open file is still the one of this name; it has others in the store."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
