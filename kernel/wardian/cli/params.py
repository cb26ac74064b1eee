"""Arguments and flags that several commands share, and how a shell completes them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
FORMAT_HELP = "table, json (one object a line), or a template such as '{{.ID}} {{.Names}}'."


def complete_container(
    ctx: click.Context,  # noqa: ARG001  # click's interface
    param: click.Parameter,  # noqa: ARG001
    incomplete: str,
) -> list[str]:
    """Names of containers, read from disk: a completion starts no keeper."""
    return sorted(name for name in _container_names() if name.startswith(incomplete))


def _container_names() -> Iterator[str]:
    from wardian.runtime.paths import state_root

    with suppress(OSError):
        for entry in os.scandir(state_root() / "containers"):
            path = os.path.join(entry.path, "container.json")
            with suppress(OSError, ValueError, KeyError, TypeError), open(path, "rb") as file:
                yield json.load(file)["spec"]["name"]


def complete_image(
    ctx: click.Context,  # noqa: ARG001
    param: click.Parameter,  # noqa: ARG001
    incomplete: str,
) -> list[str]:
    """References of stored images and the embedded ones."""
    from wardian.cli.images import known_references

    return sorted(name for name in known_references() if name.startswith(incomplete))


def container_argument(function: F) -> F:
    """``CONTAINER``: a name, an id, or the start of an id."""
    return click.argument("name", metavar="CONTAINER", shell_complete=complete_container)(function)


def containers_argument(function: F) -> F:
    """``CONTAINER...``: one or more."""
    return click.argument(
        "names", metavar="CONTAINER...", nargs=-1, required=True, shell_complete=complete_container
    )(function)


def format_option(function: F) -> F:
    """``--format``."""
    return click.option("--format", "style", metavar="STYLE", help=FORMAT_HELP)(function)


_LIMITS: Sequence[tuple[tuple[str, ...], str, str]] = (
    (("-m", "--memory"), "BYTES", "Memory limit, like 512m or 2g; at least 6m."),
    (("--memory-swap",), "BYTES", "Memory and swap together."),
    (("--memory-reservation",), "BYTES", "What is kept when memory gets scarce."),
    (("--cpus",), "NUMBER", "How many CPUs' time, like 1.5."),
    (("-c", "--cpu-shares"), "NUMBER", "Relative weight when CPUs are scarce (1024 is usual)."),
    (("--cpuset-cpus",), "LIST", "Which CPUs, like 0-2,4."),
    (("--pids-limit",), "NUMBER", "How many processes and threads."),
)
LIMIT_NAMES = tuple(flags[-1].removeprefix("--").replace("-", "_") for flags, *_ in _LIMITS)


def limit_options(function: F) -> F:
    """The flags of `wardian.cgroups.limits.Limits`, as words; 0 and -1 mean unlimited."""
    for flags, metavar, text in reversed(_LIMITS):
        function = click.option(*flags, metavar=metavar, help=text)(function)
    return function


def process_options(function: F) -> F:
    """What ``run``, ``create`` and ``exec`` share: environment, directory, user."""
    options = (
        click.option(
            "-e", "--env", multiple=True, metavar="NAME=VALUE", help="Set an environment variable."
        ),
        click.option(
            "--env-file", multiple=True, metavar="FILE", help="Read environment variables."
        ),
        click.option("-w", "--workdir", metavar="PATH", help="Working directory in the container."),
        click.option("-u", "--user", metavar="USER[:GROUP]", help="Name or number to run as."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def stream_options(function: F) -> F:
    """``-d``, ``-i``, ``-t``."""
    options = (
        click.option("-d", "--detach", is_flag=True, help="Do not follow it."),
        click.option("-i", "--interactive", is_flag=True, help="Give it our standard input."),
        click.option("-t", "--tty", is_flag=True, help="Give it a terminal."),
    )
    for option in reversed(options):
        function = option(function)
    return function
