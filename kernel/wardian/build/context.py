"""The build context: a directory, an archive that is unpacked into one, or one that is fetched."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import BinaryIO

import msgspec

from wardian.build.faults import DOCKERFILE
from wardian.build.parser import MAX_DOCKERFILE_BYTES
from wardian.build.patterns import Patterns
from wardian.build.remote import Remotes, is_remote
from wardian.errors import InvalidInput, KernelRefused, NotFound
from wardian.images.index import storing
from wardian.images.ingest import Ingest
from wardian.linux.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_HEAD_BYTES = 512  # of an archive: one block of tar
_MOST_BYTES = MAX_DOCKERFILE_BYTES + 1  # one more than the parser takes, so that it says so
_ARCHIVE_MAGICS = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")


class Context(msgspec.Struct, frozen=True):
    """A directory, which of its files do not count, and the Dockerfile."""

    directory: Path
    ignore: Patterns
    dockerfile: bytes
    label: str


def opened(
    ingest: Ingest, word: str, name: str | None, stdin: BinaryIO, remotes: Remotes
) -> Context:
    """The context that the command line names. Raises NotFound, InvalidInput, RegistryFailed."""
    if word == "-":
        typed = ingest.work / "stdin"
        with storing(), open(typed, "wb") as file:
            shutil.copyfileobj(stdin, file)
        return _of_file(typed, ingest.work / "context", name, stdin, label="-")
    if not is_remote(word):
        return _of_directory(Path(word), name, stdin)
    found = remotes.fetch(word)
    if found.is_dir():
        return _of_foreign(found, name, stdin)
    return _of_file(found, ingest.work / "context", name, stdin, label=word)


def _of_file(
    path: Path, directory: Path, name: str | None, stdin: BinaryIO, *, label: str
) -> Context:
    """An archive with a Dockerfile, or a Dockerfile alone."""
    directory.mkdir()
    if unpacked(path, directory):
        return _of_foreign(directory, name, stdin)
    with open(path, "rb") as file:
        return Context(directory, Patterns(()), file.read(_MOST_BYTES), label)


def unpacked(path: Path, directory: Path) -> bool:
    """Unpack an archive; False for a file that is none."""
    from wardian.storage.layers import Owners, Policy, unpack

    fd = os.open(directory, _OPEN_DIRECTORY)
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
            if not head.startswith(_ARCHIVE_MAGICS) and head[257:262] != b"ustar":
                return False
            file.seek(0)
            unpack(file, fd, policy=Policy(owners=Owners.CALLER, privileges=False))
    finally:
        os.close(fd)
    return True


def _of_foreign(directory: Path, name: str | None, stdin: BinaryIO) -> Context:
    """A directory that somebody else filled: its links lead nowhere but into it."""
    label = name if name is not None else DOCKERFILE
    data = stdin.read() if name == "-" else _inside(directory, label)
    if data is None:
        raise NotFound(
            f"failed to read dockerfile: {label}: no such file in the context",
            hint="name it with -f, by its path in the context",
        )
    for own in (f"{label}.dockerignore", ".dockerignore"):
        if (rules := _inside(directory, own)) is not None:
            return Context(directory, _patterns(rules, own), data, label)
    return Context(directory, Patterns(()), data, label)


def _inside(directory: Path, path: str) -> bytes | None:
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    root_fd = os.open(directory, _OPEN_DIRECTORY)
    try:
        fd = openat2(root_fd, path, flags, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    except KernelRefused:
        return None
    finally:
        os.close(root_fd)
    with open(fd, "rb") as file:
        is_file = stat.S_ISREG(os.fstat(fd).st_mode)
        return file.read(_MOST_BYTES) if is_file else None


def _of_directory(directory: Path, name: str | None, stdin: BinaryIO) -> Context:
    if not directory.is_dir():
        raise NotFound(
            f'unable to prepare context: path "{directory}" not found',
            hint="the last argument is the directory whose files COPY can see",
        )
    if name == "-":
        return Context(directory, _ignored(directory, None), stdin.read(), "-")
    path = Path(name) if name is not None else directory / DOCKERFILE
    if name is not None and not path.exists() and (directory / name).exists():
        path = directory / name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NotFound(
            f"failed to read dockerfile: {path}: {error.strerror}",
            hint="name it with -f, or name the directory that has it",
        ) from error
    return Context(directory, _ignored(directory, path), data, str(path))


def _ignored(directory: Path, dockerfile: Path | None) -> Patterns:
    """``<Dockerfile>.dockerignore`` beside the Dockerfile, or else the context's own."""
    own = [dockerfile.with_name(f"{dockerfile.name}.dockerignore")] if dockerfile else []
    for path in (*own, directory / ".dockerignore"):
        try:
            return _patterns(path.read_bytes(), str(path))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InvalidInput(f"cannot read {path}: {error}") from error
    return Patterns(())


def _patterns(data: bytes, label: str) -> Patterns:
    try:
        return Patterns.from_text(data.decode())
    except UnicodeDecodeError as error:
        raise InvalidInput(f"cannot read {label}: {error}") from error
