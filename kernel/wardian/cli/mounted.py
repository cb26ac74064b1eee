"""Volumes, binds and tmpfs in the words of tables and `inspect`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wardian.runtime.messages import ContainerInfo
    from wardian.runtime.spec import ContainerSpec
    from wardian.storage.volume import Volume, VolumeMount


def complete_volume(
    ctx: click.Context,  # noqa: ARG001  # click's interface
    param: click.Parameter,  # noqa: ARG001
    incomplete: str,
) -> list[str]:
    """Names of volumes, read from disk."""
    from wardian.runtime.paths import state_root

    with suppress(OSError):
        names = os.listdir(state_root() / "volumes")
        return sorted(name for name in names if name.startswith(incomplete) and name[0] != ".")
    return []


def mount_options() -> Sequence[Callable[[Any], Any]]:
    """The flags of ``run`` and ``create`` about what is mounted."""
    many: dict[str, Any] = {"multiple": True}
    return (
        click.option(
            *("-v", "--volume"),
            **many,
            metavar="[SOURCE:]PATH[:ro]",
            help="A volume by name, a directory of the host, or an anonymous volume.",
        ),
        click.option(
            "--mount",
            **many,
            metavar="OPTIONS",
            help="type=volume|bind|tmpfs,src=…,dst=…[,readonly]",
        ),
        click.option("--tmpfs", **many, metavar="PATH[:size=…]", help="A directory in memory."),
        click.option(
            "--volumes-from",
            **many,
            metavar="CONTAINER[:ro]",
            help="Have its volumes and binds, too.",
        ),
    )


def mounts_of(info: ContainerInfo) -> list[dict[str, Any]]:
    """Docker's Mounts."""
    volumes = [_volume_mount(mount) for mount in info.spec.volumes]
    binds = [
        {
            "Type": "bind",
            "Source": bind.source,
            "Destination": bind.target,
            "Mode": "ro" if bind.read_only else "",
            "RW": not bind.read_only,
            "Propagation": bind.propagation,
        }
        for bind in info.spec.binds
        if not bind.is_device
    ]
    tmpfs = [
        {
            "Type": "tmpfs",
            "Source": "",
            "Destination": tmpfs.target,
            "Mode": "",
            "RW": not tmpfs.read_only,
            "Propagation": "",
        }
        for tmpfs in info.spec.tmpfs
    ]
    return [*volumes, *binds, *tmpfs]


def _volume_mount(mount: VolumeMount) -> dict[str, Any]:
    return {
        "Type": "volume",
        "Name": mount.name,
        "Source": mountpoint(mount.name),
        "Destination": mount.target,
        "Driver": "local",
        "Mode": "ro" if mount.read_only else "",
        "RW": not mount.read_only,
        "Propagation": "",
    }


def mountpoint(name: str) -> str:
    """Where a volume's files lie on the host."""
    from wardian.runtime.paths import state_root
    from wardian.storage.volumes import Volumes

    return str(Volumes(state_root()).files(name))


def host_binds(spec: ContainerSpec) -> list[str]:
    """Docker's HostConfig.Binds: what ``-v`` would be given, anonymous volumes aside."""
    named = [
        f"{mount.name}:{mount.target}{':ro' if mount.read_only else ''}"
        for mount in spec.volumes
        if not mount.is_anonymous
    ]
    binds = [
        f"{bind.source}:{bind.target}{':ro' if bind.read_only else ''}"
        for bind in spec.binds
        if not bind.is_device
    ]
    return [*named, *binds]


def wanted_volumes(spec: ContainerSpec) -> dict[str, dict[str, str]] | None:
    """Docker's Config.Volumes: where anonymous volumes are."""
    return {mount.target: {} for mount in spec.volumes if mount.is_anonymous} or None


def mounts_in_brief(spec: ContainerSpec) -> str:
    """What `ps` shows of them."""
    names = [mount.name for mount in spec.volumes]
    return ",".join([*names, *(bind.source for bind in spec.binds)])


def describe_volume(volume: Volume) -> dict[str, Any]:
    """A volume in the fields of ``docker volume inspect``."""
    from wardian.cli.format import timestamp

    return {
        "CreatedAt": timestamp(volume.created_at),
        "Driver": "local",
        "Labels": volume.labels,
        "Mountpoint": mountpoint(volume.name),
        "Name": volume.name,
        "Options": volume.options,
        "Scope": "local",
    }


def names_in_use(containers: Iterable[ContainerInfo]) -> set[str]:
    """The volumes that containers have, running or not."""
    return {mount.name for info in containers for mount in info.spec.volumes}
