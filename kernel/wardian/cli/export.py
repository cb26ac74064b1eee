"""``wardian export``: the root tree of a container as one archive."""

from __future__ import annotations

import os

import click

from wardian.cli.program import Command


@click.command(cls=Command)
@click.option("-o", "--output", "target", metavar="FILE", help="Where to (instead of stdout).")
@click.argument("name", metavar="CONTAINER")
def export(*, target: str | None, name: str) -> None:
    """Write a container's files to an archive (tar): its image and what it changed, as one tree.

    What is mounted in it stays out, be it /proc or a volume. `wardian import` makes an image of
    the archive, which has no history.

    \b
    wardian export web | wardian import - web:flat
    """  # noqa: D301
    from wardian.cli.copy import running
    from wardian.cli.image import writing
    from wardian.errors import SetupError
    from wardian.runtime.visit import visit
    from wardian.storage import copying

    with running(name) as container, writing(target) as output:
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC)

        def pack() -> bytes:
            root = copying.Source("/", "", is_directory=True, contents_only=True)
            with open(write_fd, "wb", closefd=False) as stream:
                return str(copying.pack(root, ".", stream)).encode()

        going = visit(container, pack, fds=(write_fd,), without_mounts=True)
        os.close(write_fd)
        with open(read_fd, "rb") as stream:
            try:
                while data := stream.read(1 << 16):
                    output.write(data)
            except OSError as error:
                stream.close()  # the visit ends at a pipe that nobody reads
                going.abandon()
                if isinstance(error, BrokenPipeError):
                    raise
                raise SetupError(
                    f"cannot write the archive: {error.strerror}", hint="write it to another disk"
                ) from error
        going.result()
        container.note("export")
