"""Everything that there is on this machine, as the side panel lists it.

What containers call themselves and their files is theirs to choose: the panel shows it as text.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from wardian.images.store import ImageStore
from wardian.network.networks import Networks
from wardian.observe.label import label
from wardian.observe.listing import ContainerRow
from wardian.runtime.client import Client
from wardian.runtime.messages import ContainerInfo
from wardian.storage.volumes import Volumes


class ImageRow(msgspec.Struct, frozen=True, kw_only=True):
    """An image, and the names of the containers that were made of it."""

    reference: str
    digest: str
    size_bytes: int
    layers: int
    created: str
    users: tuple[str, ...]


class NetworkRow(msgspec.Struct, frozen=True, kw_only=True):
    """A network, and who is in it."""

    name: str
    subnets: tuple[str, ...]
    is_internal: bool
    users: tuple[str, ...]


class VolumeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A volume, and who has it."""

    name: str
    created_at: float
    is_anonymous: bool
    users: tuple[str, ...]


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """The newest containers come first, the rest is by name.

    ``program`` is what a terminal of this server has to be told for `wardian`.
    """

    program: str
    containers: tuple[ContainerRow, ...]
    images: tuple[ImageRow, ...]
    networks: tuple[NetworkRow, ...]
    volumes: tuple[VolumeRow, ...]


def take(client: Client, infos: Sequence[ContainerInfo]) -> Inventory:
    """What is there now. Raises WardianError."""
    root = client.root
    return Inventory(
        program=_program(),
        containers=tuple(map(ContainerRow.of, reversed(infos))),
        images=tuple(_images(root, infos)),
        networks=tuple(_networks(root, infos)),
        volumes=tuple(_volumes(root, infos)),
    )


def _program() -> str:
    """A terminal's PATH need not be that of the environment which the server runs in."""
    script = Path(sys.executable).with_name("wardian")
    return shlex.join([str(script)] if script.exists() else [sys.executable, "-m", "wardian.cli"])


def _images(root: Path, infos: Sequence[ContainerInfo]) -> Iterator[ImageRow]:
    users = _users((info.image.removesuffix(":latest"), info.name) for info in infos)
    for image in sorted(ImageStore(root).list(), key=lambda image: image.reference):
        yield ImageRow(
            reference=label(image.reference),
            digest=image.digest,
            size_bytes=image.size_bytes,
            layers=len(image.diff_ids),
            created=label(str(image.config.get("created", ""))),
            users=users.get(image.reference.removesuffix(":latest"), ()),
        )


def _networks(root: Path, infos: Sequence[ContainerInfo]) -> Iterator[NetworkRow]:
    users = _users((end.network, info.name) for info in infos for end in info.endpoints)
    for network in sorted(Networks(root).list(), key=lambda network: network.name):
        yield NetworkRow(
            name=network.name,
            subnets=tuple(str(subnet.network) for subnet in network.subnets),
            is_internal=network.internal,
            users=users.get(network.name, ()),
        )


def _volumes(root: Path, infos: Sequence[ContainerInfo]) -> Iterator[VolumeRow]:
    users = _users((mount.name, info.name) for info in infos for mount in info.spec.volumes)
    for volume in sorted(Volumes(root).list(), key=lambda volume: volume.name):
        yield VolumeRow(
            name=volume.name,
            created_at=volume.created_at,
            is_anonymous=volume.is_anonymous,
            users=users.get(volume.name, ()),
        )


def _users(pairs: Iterator[tuple[str, str]]) -> Mapping[str, tuple[str, ...]]:
    users: dict[str, tuple[str, ...]] = {}
    for thing, container in pairs:
        users[thing] = (*users.get(thing, ()), container)
    return users
