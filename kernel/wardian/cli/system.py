"""``wardian system``: disk use, cleaning up, the keeper; ``wardian version``."""

from __future__ import annotations

import os
import platform
import select
import signal
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click
import msgspec

from wardian.cli.disk import tree_bytes
from wardian.cli.params import format_option
from wardian.cli.program import Command, Entry, LazyGroup, Sections

if TYPE_CHECKING:
    from wardian.cli.pruning import Fits
    from wardian.runtime.client import Client
    from wardian.runtime.messages import ContainerInfo

STOP_PATIENCE_MS = 5000
INFO_COLUMNS = {  # docker's fields
    "Driver": "STORAGE DRIVER",
    "Containers": "CONTAINERS",
    "ContainersRunning": "RUNNING",
    "Images": "IMAGES",
    "KernelVersion": "KERNEL",
    "DockerRootDir": "STATE DIRECTORY",
}
USE_COLUMNS = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}


class System(LazyGroup):
    """Its commands."""

    sections: ClassVar[Sections] = {
        "Commands": {
            "df": Entry("system:df", "Show how much disk images and containers take."),
            "info": Entry("system:info", "Show the state directory and its storage driver."),
            "check": Entry("check:check", "Verify all that is stored, and say what is wrong."),
            "prune": Entry("system:prune", "Remove ended containers, unused networks and layers."),
            "keeper": Entry("system:keeper", "Show the keeper's state, or stop it."),
        }
    }


@click.command(cls=System)
def system() -> None:
    """Disk use, cleaning up, the keeper."""


@click.command(cls=Command)
def version() -> None:
    """Print the versions of Wardian, Python and the kernel."""
    from importlib.metadata import version as version_of

    click.echo(f"wardian {version_of('wardian')}")
    click.echo(f"python {platform.python_version()}")
    click.echo(f"linux {platform.release()} {platform.machine()}")


@click.command(cls=Command)
@format_option
def info(style: str | None) -> None:
    """Show the state directory, its storage driver, and how much is in it."""
    from wardian.cli.format import emit
    from wardian.images.store import ImageStore
    from wardian.runtime.client import Client
    from wardian.storage.driver import recorded

    with Client.connect() as client:
        containers, root = client.list(), client.root
    driver = recorded(root)  # whoever is connected has a keeper, which has recorded it
    facts = {
        "DockerRootDir": str(root),
        "Driver": driver.value if driver else "",
        "Containers": len(containers),
        "ContainersRunning": sum(one.host_pid is not None for one in containers),
        "Images": len(ImageStore(root).list()),
        "KernelVersion": platform.release(),
    }
    emit([facts], INFO_COLUMNS, style=style)


# --- disk ------------------------------------------------------------------------------------


@click.command(cls=Command)
@format_option
def df(style: str | None) -> None:
    """Show how much disk images, containers' writable layers and volumes take."""
    from wardian.cli.format import emit
    from wardian.runtime.client import Client

    with Client.connect() as client:
        containers = client.list()
        rows = [
            _image_use(client, containers),
            _container_use(containers),
            _volume_use(client, containers),
        ]
    emit(rows, USE_COLUMNS, style=style)


def _image_use(client: Client, containers: list[ContainerInfo]) -> dict[str, Any]:
    from wardian.images.store import ImageStore

    images = [one for one in ImageStore(client.root).list() if not one.is_shared]
    used = {lower for info in containers for lower in info.lowers}
    idle = [image for image in images if not used & set(map(str, image.layer_directories))]
    layers = {directory for image in images for directory in image.layer_directories}
    free = {directory for image in idle for directory in image.layer_directories}
    return _use(
        "Images",
        total=len(images),
        active=len(images) - len(idle),
        size_bytes=sum(map(tree_bytes, layers)),
        free_bytes=sum(map(tree_bytes, free - {d for d in layers if str(d) in used})),
    )


def _container_use(containers: list[ContainerInfo]) -> dict[str, Any]:
    sizes = {info.id: tree_bytes(Path(info.upper)) for info in containers}
    ended = [info for info in containers if info.host_pid is None]
    return _use(
        "Containers",
        total=len(containers),
        active=len(containers) - len(ended),
        size_bytes=sum(sizes.values()),
        free_bytes=sum(sizes[info.id] for info in ended),
    )


def _volume_use(client: Client, containers: list[ContainerInfo]) -> dict[str, Any]:
    from wardian.cli.mounted import names_in_use
    from wardian.cli.volume import size_bytes
    from wardian.storage.volumes import Volumes

    volumes = Volumes(client.root)
    sizes = {one.name: size_bytes(volumes, one) for one in volumes.list()}
    used = names_in_use(containers) & set(sizes)
    return _use(
        "Local Volumes",
        total=len(sizes),
        active=len(used),
        size_bytes=sum(sizes.values()),
        free_bytes=sum(size for name, size in sizes.items() if name not in used),
    )


def _use(kind: str, *, total: int, active: int, size_bytes: int, free_bytes: int) -> dict[str, Any]:
    from wardian.observe.quantities import decimal_size

    return {
        "Type": kind,
        "TotalCount": total,
        "Active": active,
        "Size": decimal_size(size_bytes),
        "Reclaimable": decimal_size(free_bytes),
        "SizeBytes": size_bytes,
        "ReclaimableBytes": free_bytes,
    }


@click.command(cls=Command)
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("-a", "--all", "all_images", is_flag=True, help="Images that no container uses, too.")
@click.option("--volumes", is_flag=True, help="Anonymous volumes that no container has, too.")
def prune(*, force: bool, all_images: bool, volumes: bool) -> int:
    """Remove containers that do not run, networks that nobody uses, layers that nothing needs."""
    from wardian.cli import network, volume
    from wardian.cli.images import key_of
    from wardian.images.store import ImageStore
    from wardian.observe.quantities import decimal_size
    from wardian.runtime.client import Client

    what = "every container that does not run, with its files, and every network that nobody uses"
    if all_images:
        what += ", and every image that no container uses"
    if volumes:
        what += ", and every anonymous volume that no container has"
    if not force and not click.confirm(f"This removes {what}. Go on?"):
        return 1
    with Client.connect() as client:
        freed = remove_ended(client)
        network.remove_unused(client, kind="network ")
        if volumes:
            freed += volume.remove_unused(client, all_volumes=False, kind="volume ")
        store = ImageStore(client.root)
        left = client.list()
        used = {Path(lower) for info in left for lower in info.lowers}
        if all_images:
            for image in store.list():
                if not used & set(image.layer_directories) and not image.is_shared:
                    store.remove(key_of(image))
                    click.echo(f"image {image.reference}")
        freed += store.prune(keep_layers=used)
    click.echo(f"Total reclaimed space: {decimal_size(freed)}")
    return 0


def remove_ended(client: Client, fits: Fits = lambda _made_s, _labels: True) -> int:
    """Remove what does not run and fits, and say what; how many bytes that frees."""
    from wardian.errors import WardianError

    freed = 0
    for info in client.list():
        if info.host_pid is None and fits(info.created_at, info.spec.labels):
            size_bytes = tree_bytes(Path(info.upper))
            with suppress(WardianError):  # somebody has started or removed it meanwhile
                client.container(info.id).remove()
                freed += size_bytes
                click.echo(f"container {info.name}")
    return freed


# --- the keeper ------------------------------------------------------------------------------


class Keeper(LazyGroup):
    """Its commands."""

    sections: ClassVar[Sections] = {
        "Commands": {
            "status": Entry("system:status", "Show whether a keeper runs, and its host pid."),
            "stop": Entry("system:stop", "End the keeper; containers go on."),
        }
    }


@click.command(cls=Keeper)
def keeper() -> None:
    """Show the keeper's state, or stop it.

    The keeper is the parent of the containers of one state directory. It starts when it is needed
    and leaves a minute after it was needed last.
    """


class Peer(msgspec.Struct, frozen=True):
    """Who listens on the keeper's socket."""

    host_pid: int


def _find_keeper(root: Path) -> Peer | None:
    """The keeper of this state root, by its socket's peer (unix(7)); none is started."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.connect(str(root / "keeper.sock"))
        except OSError:
            return None
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    host_pid, _, _ = struct.unpack("3i", credentials)
    return Peer(host_pid)


@click.command(cls=Command)
def status() -> int:
    """Show whether a keeper runs, and its host pid; exit code 1 if none does."""
    from wardian.runtime.paths import state_root

    root = state_root()
    found = _find_keeper(root)
    if found is None:
        click.echo(f"no keeper runs for {root}; the next command starts one")
        return 1
    click.echo(f"the keeper of {root} runs: host pid {found.host_pid}")
    return 0


@click.command(cls=Command)
def stop() -> None:
    """End the keeper; containers go on, and the next command starts a keeper that adopts them."""
    from wardian.errors import SetupError
    from wardian.runtime.paths import state_root

    found = _find_keeper(state_root())
    if found is None:
        click.echo("no keeper runs")
        return
    pidfd = os.pidfd_open(found.host_pid)
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(STOP_PATIENCE_MS):
            raise SetupError(
                "the keeper does not end", hint="see keeper.log in the state directory"
            )
    finally:
        os.close(pidfd)
    click.echo("the keeper has ended; containers go on")
