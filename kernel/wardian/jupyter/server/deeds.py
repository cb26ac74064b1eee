"""What the side panel can have done: docker's verbs, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from wardian.errors import FailedPrecondition, NotFound
from wardian.images.store import ImageStore
from wardian.runtime import logs
from wardian.runtime import messages as m
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.description import user_of


def _stop(container: Container) -> None:
    spec = container.info.spec
    container.stop(timeout_s=spec.stop_timeout_s, signal=spec.stop_signal)


def _restart(container: Container) -> None:
    if container.info.host_pid is not None:
        _stop(container)
    container.start()


def _remove(container: Container) -> None:
    container.remove(force=True)


CONTAINER: dict[str, Callable[[Container], object]] = {
    "start": Container.start,
    "stop": _stop,
    "restart": _restart,
    "kill": Container.kill,
    "pause": Container.pause,
    "unpause": Container.unpause,
    "remove": _remove,
}


def to_container(name: str, deed: str) -> None:
    """Do one of `CONTAINER`. Raises WardianError."""
    if (act := CONTAINER.get(deed)) is None:
        raise NotFound(f"no such deed: {deed}", hint=f"these are: {', '.join(CONTAINER)}")
    with Client.connect() as client:
        act(client.container(name))


def log_lines(name: str, tail: int) -> list[logs.LogLine]:
    """The last pieces of output that were kept, oldest first."""
    with Client.connect() as client:
        directory = client.container(name).info.log_directory
    return list(logs.read(Path(directory)))[-tail:]


def remove_image(reference: str) -> None:
    """Take the name away, and the layers that nothing needs."""
    with Client.connect() as client:
        store, infos = ImageStore(client.root), client.list()
        if user := user_of(infos, reference):
            raise FailedPrecondition(
                f"image {reference} is used by the container {user}", hint=f"remove {user} first"
            )
        store.remove(reference)
        store.prune(keep_layers={Path(lower) for info in infos for lower in info.lowers})


def remove_network(name: str) -> None:
    """One that no container is in."""
    with Client.connect() as client:
        client.call("remove_network", m.NameCall(name), m.NetworkInfo)


def remove_volume(name: str) -> None:
    """One that no container has."""
    with Client.connect() as client:
        client.call("remove_volume", m.NameCall(name), type(None))
