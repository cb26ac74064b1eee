"""``wardian cp``: files between a container and this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO

import click
import msgspec

from wardian.cli.program import Command
from wardian.errors import InvalidInput

if TYPE_CHECKING:
    from wardian.runtime.container import Container
    from wardian.runtime.visit import Visit
    from wardian.storage.copying import Source, Target

STREAM = "-"


@click.command("cp", cls=Command)
@click.option("-a", "--archive", is_flag=True, help="Keep owners (by number).")
@click.option("-L", "--follow-link", "follow", is_flag=True, help="What a symlink points to.")
@click.option("-q", "--quiet", is_flag=True, help="Do not say how much was copied.")
@click.argument("origin", metavar="SOURCE")
@click.argument("destination", metavar="TARGET")
def cp(*, archive: bool, follow: bool, quiet: bool, origin: str, destination: str) -> None:
    """Copy files or directories out of a container or into it: one of both is CONTAINER:PATH.

    \b
    wardian cp web:/var/log ./logs
    wardian cp ./site/. web:/srv
    wardian cp web:/etc - | tar t

    A directory that exists gets the source below its name; `/.` at the end of the source copies
    what is in it. `-` is an archive (tar) from standard input or to standard output. Copies of
    files from a container are never setuid.
    """  # noqa: D301
    inside_from, path_from = split(origin)
    inside_to, path_to = split(destination)
    if (inside_from is None) is (inside_to is None):
        raise InvalidInput(
            "exactly one of source and target must be in a container",
            hint="write it CONTAINER:PATH; begin a local path with a colon in it with ./",
        )
    with running(inside_from or inside_to or "") as container:
        if inside_from is not None:
            size = copy_out(container, path_from, path_to, follow=follow, keep_owners=archive)
            container.note("archive-path", path=path_from)
        else:
            size = copy_in(container, path_from, path_to, follow=follow, keep_owners=archive)
            container.note("extract-to-dir", path=path_to)
    if not quiet and destination != STREAM:
        from wardian.observe.quantities import decimal_size

        click.echo(f"Successfully copied {decimal_size(size)} to {destination}", err=True)


def split(word: str) -> tuple[str | None, str]:
    """``CONTAINER:PATH``, or a local path: one with a slash or a dot before any colon."""
    name, colon, path = word.partition(":")
    if not colon or word == STREAM or "/" in name or name.startswith("."):
        return None, word
    return name, path if path.startswith("/") else f"/{path}"


@contextmanager
def running(name: str) -> Iterator[Container]:
    """The container, with init alone in it for the moment if it did not run."""
    from wardian.runtime.client import Client

    with Client.connect() as client:
        container = client.container(name)
        container.lend()
        try:
            yield container
        finally:
            container.give_back()


def copy_out(
    container: Container, path: str, destination: str, *, follow: bool, keep_owners: bool
) -> int:
    """From the container to this machine; how many bytes."""
    from wardian.storage import copying

    what = _source(container, path, follow=follow)
    if destination == STREAM:
        with _packed(container, what, what.name or ".") as stream:
            return _pass_on(stream, sys.stdout.buffer)
    where = copying.target(
        destination, of_directory=what.is_directory, contents_only=what.contents_only
    )
    with _packed(container, what, where.name or what.name or ".") as stream:
        return copying.unpack(stream, where.folder, keep_owners=keep_owners, privileges=False)


def copy_in(
    container: Container, origin: str, path: str, *, follow: bool, keep_owners: bool
) -> int:
    """From this machine into the container; how many bytes."""
    from wardian.storage import copying
    from wardian.storage.compression import decompressed, read_chunks

    if origin == STREAM:
        where = _target(container, path, of_directory=True, contents_only=True)
        if where.name != ".":
            raise InvalidInput(f"no such directory in the container: {path}")

        def write(output: BinaryIO) -> None:
            output.writelines(decompressed(read_chunks(sys.stdin.buffer)))
    else:
        what = copying.source(origin, follow=follow)
        where = _target(
            container, path, of_directory=what.is_directory, contents_only=what.contents_only
        )

        def write(output: BinaryIO) -> None:
            copying.pack(what, where.name, output)

    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)

    def take() -> bytes:
        with open(read_fd, "rb", closefd=False) as stream:
            size = copying.unpack(stream, where.folder, keep_owners=keep_owners, privileges=True)
        return str(size).encode()

    visit = _begin(container, take, read_fd)
    os.close(read_fd)
    with suppress(BrokenPipeError), open(write_fd, "wb") as output:  # the visit tells why
        write(output)
    return int(visit.result())


def _begin(container: Container, action: Callable[[], bytes], *fds: int) -> Visit:
    from wardian.runtime.visit import visit

    return visit(container, action, fds=fds)


def _source(container: Container, path: str, *, follow: bool) -> Source:
    from wardian.storage import copying

    def look() -> bytes:
        return msgspec.json.encode(copying.source(path, follow=follow))

    return msgspec.json.decode(_begin(container, look).result(), type=copying.Source)


def _target(container: Container, path: str, **kind: Any) -> Target:
    from wardian.storage import copying

    def look() -> bytes:
        return msgspec.json.encode(copying.target(path, **kind))

    return msgspec.json.decode(_begin(container, look).result(), type=copying.Target)


@contextmanager
def _packed(container: Container, what: Source, name: str) -> Iterator[BinaryIO]:
    """The source as an archive that is written inside while it is read here."""
    from wardian.storage import copying

    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)

    def pack() -> bytes:
        with open(write_fd, "wb", closefd=False) as output:
            return str(copying.pack(what, name, output)).encode()

    visit = _begin(container, pack, write_fd)
    os.close(write_fd)
    try:
        with open(read_fd, "rb") as stream:
            yield stream
    except InvalidInput:
        visit.result()  # an archive that broke off: why is known there
        raise
    visit.result()


def _pass_on(stream: BinaryIO, output: BinaryIO) -> int:
    size = 0
    while data := stream.read(1 << 16):
        output.write(data)
        size += len(data)
    output.flush()
    return size
