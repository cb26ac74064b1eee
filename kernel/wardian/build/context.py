"""The build context: a directory, or an archive that is unpacked into one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from wardian.build.patterns import Patterns
from wardian.errors import InvalidInput, NotFound
from wardian.images.ingest import Ingest

DOCKERFILE = "Dockerfile"
_ARCHIVE_MAGICS = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")


@dataclass(frozen=True, slots=True)
class Context:
    """A directory, which of its files do not count, and the Dockerfile."""

    directory: Path
    ignore: Patterns
    dockerfile: bytes
    label: str


@contextmanager
def opened(ingest: Ingest, word: str, name: str | None, stdin: BinaryIO) -> Iterator[Context]:
    """The context that the command line names. Raises NotFound, InvalidInput."""
    if word != "-":
        yield _of_directory(Path(word), name, stdin)
        return
    directory = ingest.work / "context"
    directory.mkdir()
    data = stdin.read()
    if not data.startswith(_ARCHIVE_MAGICS) and data[257:262] != b"ustar":
        yield Context(directory, Patterns(()), data, "-")
        return
    _unpack(data, directory)
    yield _of_directory(directory, name, stdin)


def _unpack(data: bytes, directory: Path) -> None:
    import io

    from wardian.storage.layers import Owners, Policy, unpack

    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        unpack(io.BytesIO(data), fd, policy=Policy(owners=Owners.CALLER, privileges=False))
    finally:
        os.close(fd)


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
            return Patterns.from_text(path.read_text())
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"cannot read {path}: {error}") from error
    return Patterns(())
