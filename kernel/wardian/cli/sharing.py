"""The flags that say which namespaces a container shares, and how `inspect` shows them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from wardian.cli.networking import networks_of
from wardian.errors import InvalidInput
from wardian.runtime.sharing import CONTAINER, HOST, PRIVATE, Sharing
from wardian.runtime.spec import Bind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wardian.runtime.messages import ContainerInfo

F = TypeVar("F", bound="Callable[..., Any]")
_KINDS = {"pid": "process ids", "ipc": "System V IPC and message queues", "uts": "host name"}
SHARING_NAMES = (*_KINDS, "cgroupns", "time")
_CLOCK = re.compile(r"(monotonic|boottime)=([+-]?[0-9]{1,9})")


def sharing_options(function: F) -> F:
    """``--pid``, ``--ipc``, ``--uts``, ``--cgroupns`` and ``--time``."""
    options = [
        click.option(
            f"--{kind}",
            default="",
            metavar="host|container:NAME",
            help=f"Whose {text} it shares (private: nobody's).",
        )
        for kind, text in (*_KINDS.items(), ("cgroupns", "view of the cgroups"))
    ]
    options.append(
        click.option(
            "--time",
            default="",
            metavar="CLOCK=SECONDS",
            help="Set its clocks ahead: monotonic=…,boottime=….",
        )
    )
    for option in reversed(options):
        function = option(function)
    return function


def parse(flags: Mapping[str, str], networks: Sequence[str], hostname: str) -> Sharing:
    """What the flags come to. Raises InvalidInput."""
    words = {kind: _whose(f"--{kind}", flags.get(kind, "")) for kind in _KINDS}
    words["cgroup"] = _whose("--cgroupns", flags.get("cgroupns", ""))
    for network in networks:
        if network.startswith(CONTAINER):
            words["network"] = _whose("--network", network)
    if hostname and words["uts"] != PRIVATE:
        raise InvalidInput("--hostname and --uts exclude each other", hint="leave out one of them")
    if hostname and "network" in words:
        raise InvalidInput(
            "--hostname and another container's network exclude each other",
            hint="leave out --hostname",
        )
    return Sharing(**words, **_clocks(flags.get("time", "")))  # type: ignore[arg-type]


def _whose(flag: str, word: str) -> str:
    if word == "shareable" and flag == "--ipc":  # docker's word for what can be joined: any can
        return PRIVATE
    is_container = word.startswith(CONTAINER) and word != CONTAINER
    if word not in ("", PRIVATE, HOST) and not is_container:
        raise InvalidInput(
            f"{flag}: not a namespace: {word[:80]!r}", hint="use host, container:NAME or private"
        )
    return word or PRIVATE


def _clocks(word: str) -> dict[str, int]:
    found = {}
    for part in filter(None, word.split(",")):
        match = _CLOCK.fullmatch(part)
        if match is None:
            raise InvalidInput(
                f"--time: not a clock's offset: {part[:40]!r}",
                hint="write it like monotonic=86400,boottime=86400",
            )
        found[f"{match[1]}_s"] = int(match[2])
    return found


def shared_memory(flags: Mapping[str, str]) -> list[Bind]:
    """With the host's IPC namespace comes its /dev/shm, as docker has it."""
    if flags.get("ipc") != HOST:
        return []
    place = "/dev/shm"  # noqa: S108  # POSIX shared memory's own, shm_overview(7)
    return [Bind(source=place, target=place, read_only=False, no_exec=True)]


def modes(info: ContainerInfo) -> dict[str, str]:
    """Docker's words in ``HostConfig``."""
    sharing = info.spec.sharing

    def mode(word: str) -> str:
        return "" if word == PRIVATE else word

    return {
        "PidMode": mode(sharing.pid),
        "IpcMode": sharing.ipc,
        "UTSMode": mode(sharing.uts),
        "CgroupnsMode": sharing.cgroup,
        "NetworkMode": networks_of(info)[0],
    }


def borrowers(info: ContainerInfo, everybody: Iterable[ContainerInfo]) -> list[dict[str, Any]]:
    """Who shares which namespaces of the container."""
    whose = f"{CONTAINER}{info.id}"
    found = [
        (other.name, [kind for kind, word in other.spec.sharing.borrowed() if word == whose])
        for other in everybody
    ]
    return [{"Name": name, "Namespaces": kinds} for name, kinds in found if kinds]
