"""Arguments and flags that several commands share, and how a shell completes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import click

from wardian.errors import InvalidInput

F = TypeVar("F", bound=Callable[..., Any])
FORMAT_HELP = "table, json (one object a line), or a template such as '{{.ID}} {{.Names}}'."


def complete_container(
    ctx: click.Context,  # noqa: ARG001  # click's interface
    param: click.Parameter,  # noqa: ARG001
    incomplete: str,
) -> list[str]:
    """Names of containers, read from disk: a completion starts no keeper."""
    names = names_on_disk("containers/*/container.json", "spec")
    return sorted(name for name in names if name.startswith(incomplete))


def names_on_disk(files: str, kind: str) -> Iterator[str]:
    """The ``name`` of the ``kind`` that each of these files of the state root describes."""
    from wardian.runtime.paths import state_root

    for path in state_root().glob(files):
        with suppress(OSError, ValueError, KeyError, TypeError), open(path, "rb") as file:
            yield json.load(file)[kind]["name"]


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
    (("--memory-swap",), "BYTES", "Memory and swap together; -1 for as much swap as there is."),
    (("--memory-reservation",), "BYTES", "What is kept when memory gets scarce."),
    (("--memory-high",), "BYTES", "From here on processes are slowed, not ended (cgroup v2)."),
    (("--memory-swappiness",), "NUMBER", "How readily memory is swapped out, 0-100 (cgroup v1)."),
    (("--cpus",), "NUMBER", "How many CPUs' time, like 1.5."),
    (("-c", "--cpu-shares"), "NUMBER", "Relative weight when CPUs are scarce (1024 is usual)."),
    (("--cpu-period",), "USEC", "A quota's period in microseconds (100000)."),
    (("--cpu-quota",), "USEC", "CPU time in a period, in microseconds."),
    (("--cpu-burst",), "USEC", "Unused quota that may be saved up."),
    (("--cpu-rt-period",), "USEC", "The period of real-time scheduling (cgroup v1)."),
    (("--cpu-rt-runtime",), "USEC", "Real-time CPU time in a period (cgroup v1)."),
    (("--cpuset-cpus",), "LIST", "Which CPUs, like 0-2,4."),
    (("--cpuset-mems",), "LIST", "Which memory nodes, like 0,1."),
    (("--pids-limit",), "NUMBER", "How many processes and threads."),
    (("--blkio-weight",), "NUMBER", "Relative weight when disks are busy, 10-1000."),
)
_REPEATED = (
    ("--device-read-bps", "DISK:BYTES", "Read so many bytes a second, like /dev/sda:1mb."),
    ("--device-write-bps", "DISK:BYTES", "Write so many bytes a second."),
    ("--device-read-iops", "DISK:NUMBER", "Read so many times a second."),
    ("--device-write-iops", "DISK:NUMBER", "Write so many times a second."),
    ("--hugetlb", "SIZE=BYTES", "Huge pages of a size, like 2MB=64m."),
)
_SWITCHES = (
    ("--oom-kill-disable", "Wait instead of ending a process without memory (cgroup v1)."),
    ("--oom-group", "End all processes when one has no memory left (cgroup v2)."),
)
LIMIT_NAMES = tuple(
    flag.removeprefix("--").replace("-", "_")
    for flag in (
        *(flags[-1] for flags, *_ in _LIMITS),
        *(flag for flag, *_ in _REPEATED),
        *(flag for flag, _ in _SWITCHES),
    )
)


def limit_options(function: F) -> F:
    """The flags of `wardian.cgroups.limits.Limits`, as words; 0 and -1 mean unlimited."""
    for flag, text in reversed(_SWITCHES):
        function = click.option(flag, is_flag=True, default=None, help=text)(function)
    for flag, metavar, text in reversed(_REPEATED):
        function = click.option(flag, multiple=True, metavar=metavar, help=text)(function)
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


def follow_options(function: F) -> F:
    """``--detach-keys`` and ``--sig-proxy``."""
    function = click.option(
        "--sig-proxy/--no-sig-proxy", default=True, help="Pass signals on to it (the default)."
    )(function)
    return detach_keys_option(function)


SHOWN = ("stdout", "stderr")


def attach_option(function: F) -> F:
    """``--attach``."""
    return click.option(
        *("-a", "--attach"),
        multiple=True,
        type=click.Choice(["stdin", *SHOWN], case_sensitive=False),
        help="Follow this stream only (all that there are).",
    )(function)


# Flags of docker's that stand for what is not here: name, value, what to do instead.
_REFUSED = (
    ("--gpus", "GPU", "hand its device nodes over: --device /dev/dri/renderD128"),
    ("--runtime", "NAME", "leave it out: the runtime is Wardian's own"),
    ("--storage-opt", "OPTION", "leave it out: the writable layer has no size of its own"),
    ("--isolation", "KIND", "leave it out: it is of Windows"),
    ("--link", "CONTAINER", "put both into a network: they find each other by name there"),
    ("--link-local-ip", "IP", "leave it out"),
    ("--blkio-weight-device", "DISK:WEIGHT", "use --blkio-weight, or a limit of each disk"),
)


def refused_options(function: F) -> F:
    """Docker's flags that are not supported, each refused by its name."""

    def refuse(hint: str) -> Callable[[click.Context, click.Parameter, Any], None]:
        def look(_context: click.Context, param: click.Parameter, value: Any) -> None:
            if value not in (None, ()):
                raise InvalidInput(f"{param.opts[0]} is not supported", hint=hint)

        return look

    for flag, metavar, hint in reversed(_REFUSED):
        function = click.option(
            flag,
            multiple=True,
            metavar=metavar,
            hidden=True,
            expose_value=False,
            callback=refuse(hint),
        )(function)
    return function


def detach_keys_option(function: F) -> F:
    """``--detach-keys``."""
    return click.option(
        "--detach-keys",
        default="ctrl-p,ctrl-q",
        metavar="KEYS",
        show_default=True,
        help="What to type to leave it and let it go on.",
    )(function)


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
