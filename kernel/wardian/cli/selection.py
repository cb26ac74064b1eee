"""Which containers are meant: the filters of ``ps`` and ``container prune``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wardian.cli.health import health_of
from wardian.cli.networking import networks_of
from wardian.cli.words import all_or_any, has_label
from wardian.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from wardian.cli.words import Filter
    from wardian.network.definition import Port
    from wardian.runtime.messages import ContainerInfo

    Everybody = Sequence[ContainerInfo]

Test = Callable[["ContainerInfo"], bool]
# Docker's words; of those that we have no state for, there is never one.
STATUSES = ("created", "restarting", "running", "removing", "paused", "exited", "dead")
HEALTHS = ("starting", "healthy", "unhealthy", "none")
_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp))?", re.ASCII)


def select(infos: Everybody, wanted: Sequence[Filter], root: Path) -> list[ContainerInfo]:
    """Those that fit docker's rule (`words.all_or_any`).

    Raises InvalidInput for a value that is none, NotFound for a container that is not there.
    """
    tests = [(one.key, TESTS[one.key](one.value, infos, root)) for one in wanted]
    return [info for info in infos if all_or_any((key, test(info)) for key, test in tests)]


def _name(value: str, _infos: Everybody, _root: Path) -> Test:
    """A regular expression, as docker's; a slash before it is docker's, too."""
    try:
        pattern = re.compile(value.removeprefix("/").replace("^/", "^"))
    except re.error:
        pattern = re.compile(re.escape(value))
    return lambda info: pattern.search(info.name) is not None


def _id(value: str, _infos: Everybody, _root: Path) -> Test:
    return lambda info: info.id.startswith(value)


def _label(value: str, _infos: Everybody, _root: Path) -> Test:
    return lambda info: has_label(info.spec.labels, value)


def _status(value: str, _infos: Everybody, _root: Path) -> Test:
    _check("status", value, STATUSES)
    return lambda info: info.status.value == value


def _health(value: str, _infos: Everybody, _root: Path) -> Test:
    _check("health", value, HEALTHS)
    return lambda info: health_of(info) == value


def _exited(value: str, _infos: Everybody, _root: Path) -> Test:
    if not re.fullmatch(r"-?[0-9]{1,9}", value):
        raise InvalidInput(f"not an exit code: {value[:40]!r}", hint="write it as a number")
    return lambda info: info.finished_at is not None and info.exit_code == int(value)


def _ancestor(value: str, _infos: Everybody, root: Path) -> Test:
    """The image's name, or that its layers are the container's lowest."""
    from wardian.cli.images import image_store, named
    from wardian.errors import WardianError
    from wardian.runtime.description import user_of

    try:
        image = image_store(root).get(named(image_store(root), value))
    except WardianError:
        layers: tuple[str, ...] = ()
    else:
        layers = tuple(map(str, image.layer_directories))

    def test(info: ContainerInfo) -> bool:
        is_above = bool(layers) and info.spec.lowers[-len(layers) :] == layers
        return is_above or user_of([info], value) is not None

    return test


def _before(value: str, infos: Everybody, _root: Path) -> Test:
    moment = _find(value, infos).created_at
    return lambda info: info.created_at < moment


def _since(value: str, infos: Everybody, _root: Path) -> Test:
    moment = _find(value, infos).created_at
    return lambda info: info.created_at > moment


def _find(value: str, infos: Everybody) -> ContainerInfo:
    for info in infos:
        if value == info.name or (value and info.id.startswith(value)):
            return info
    raise NotFound(f"no such container: {value[:128]}", hint="see `wardian ps -a`")


def _volume(value: str, _infos: Everybody, _root: Path) -> Test:
    """Where it comes from, or where it is in the container."""
    return lambda info: (
        value
        in {
            *(word for bind in info.spec.binds for word in (bind.source, bind.target)),
            *(word for mount in info.spec.volumes for word in (mount.name, mount.target)),
        }
    )


def _network(value: str, _infos: Everybody, _root: Path) -> Test:
    def test(info: ContainerInfo) -> bool:
        ids = [one.network_id for one in info.endpoints]
        return value in networks_of(info) or any(value and one.startswith(value) for one in ids)

    return test


def _publish(value: str, _infos: Everybody, _root: Path) -> Test:
    numbers, protocol = _ports(value)
    return lambda info: any(
        port.host_port in numbers and port.protocol.value == protocol for port in _ports_of(info)
    )


def _expose(value: str, _infos: Everybody, _root: Path) -> Test:
    numbers, protocol = _ports(value)
    return lambda info: any(
        port.container_port in numbers and port.protocol.value == protocol
        for port in _ports_of(info)
    )


def _ports_of(info: ContainerInfo) -> Sequence[Port]:
    return info.published or info.spec.ports


def _ports(word: str) -> tuple[range, str]:
    """``80``, ``8000-8080``, ``53/udp``."""
    found = _PORTS.fullmatch(word)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if found is None or first > last:
        raise InvalidInput(f"not ports: {word[:40]!r}", hint="write them like 80, 53/udp, 80-89")
    return range(first, last + 1), found[3] or "tcp"


def _check(key: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise InvalidInput(f"not a {key}: {value[:40]!r}", hint=f"use one of {', '.join(known)}")


TESTS: Mapping[str, Callable[[str, Everybody, Path], Test]] = {
    "id": _id,
    "name": _name,
    "label": _label,
    "status": _status,
    "health": _health,
    "exited": _exited,
    "ancestor": _ancestor,
    "before": _before,
    "since": _since,
    "volume": _volume,
    "network": _network,
    "publish": _publish,
    "expose": _expose,
}
