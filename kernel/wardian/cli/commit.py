"""``wardian commit``: an image of a container."""

from __future__ import annotations

import click

from wardian.cli.params import complete_container
from wardian.cli.program import Command


@click.command(cls=Command)
@click.option("-a", "--author", default="", metavar="NAME", help="Who made it.")
@click.option("-m", "--message", default="", metavar="TEXT", help="What for.")
@click.option(
    "-c", "--change", "changes", multiple=True, metavar="INSTRUCTION", help="Like 'CMD bash'."
)
@click.option("-p", "--pause/--no-pause", default=True, help="Freeze it meanwhile (as it is).")
@click.argument("name", metavar="CONTAINER", shell_complete=complete_container)
@click.argument("reference", metavar="NAME[:TAG]")
def commit(
    *, author: str, message: str, changes: tuple[str, ...], pause: bool, name: str, reference: str
) -> None:
    """Make an image of a container: what it changed becomes one more layer.

    \b
    wardian commit --change 'CMD ["python3", "/app/app.py"]' web web:snapshot
    """  # noqa: D301
    from wardian.build.committing import commit as commit_container
    from wardian.runtime.client import Client

    with Client.connect() as client:
        container = client.container(name)
        image = commit_container(
            client,
            container,
            reference,
            changes,
            author=author,
            message=message,
            pause=pause,
        )
        container.note("commit", imageID=image.digest, imageRef=reference, comment=message)
    click.echo(image.digest)
