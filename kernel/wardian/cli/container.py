"""``wardian container …``: docker's other spelling of the commands about containers."""

from __future__ import annotations

from typing import ClassVar

import click

from wardian.cli.program import SECTIONS, Command, Entry, LazyGroup, Sections
from wardian.cli.pruning import fitting, prune_options

_SHORT = (
    "run",
    "create",
    "start",
    "exec",
    "attach",
    "stop",
    "kill",
    "restart",
    "pause",
    "unpause",
    "wait",
)
_MORE = ("update", "rename", "cp", "export", "rm", "logs", "inspect", "diff", "stats", "top")
_ALL = {name: entry for part in SECTIONS.values() for name, entry in part.items()}


class ContainerGroup(LazyGroup):
    """Its commands, all but ``prune`` also there without ``container``."""

    sections: ClassVar[Sections] = {
        "Commands": {
            "ls": _ALL["ps"],
            **{name: _ALL[name] for name in (*_SHORT, *_MORE)},
            "prune": Entry("container:prune", "Remove every container that does not run."),
        }
    }


@click.command(cls=ContainerGroup)
def container() -> None:
    """Commands about containers, as in `docker container`."""


@click.command(cls=Command)
@prune_options
def prune(*, force: bool, filter_words: tuple[str, ...]) -> int:
    """Remove every container that does not run, with its files. Images stay."""
    from wardian.cli.system import remove_ended
    from wardian.observe.quantities import decimal_size
    from wardian.runtime.client import Client

    fits = fitting(filter_words)
    what = "every container that does not run, with its files"
    what += ", if the filters fit" if filter_words else ""
    if not force and not click.confirm(f"This removes {what}. Go on?"):
        return 1
    with Client.connect() as client:
        freed = remove_ended(client, fits)
    click.echo(f"Total reclaimed space: {decimal_size(freed)}")
    return 0
