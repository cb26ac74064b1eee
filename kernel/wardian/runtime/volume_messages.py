"""What clients and the keeper say to each other about volumes, as typed values."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from wardian.storage.volume import Volume, VolumeMount, VolumeRequest


class CreateVolumeCall(Struct, frozen=True):
    """``volume create``."""

    request: VolumeRequest


class VolumeInfo(Struct, frozen=True):
    """A volume that was made."""

    volume: Volume


class MakeVolumesCall(Struct, frozen=True):
    """What a container to be wants: volumes that do not exist are made, others only found.

    Those that no container has when the client goes away are removed.
    """

    mounts: tuple[VolumeMount, ...]


class MadeVolumes(Struct, frozen=True):
    """The same, each with its name; which of them are ``new``, which can be filled."""

    mounts: tuple[VolumeMount, ...]
    new: tuple[str, ...] = ()
    unfilled: tuple[VolumeMount, ...] = ()


class DropVolumesCall(Struct, frozen=True):
    """Remove volumes that were made in vain, but for those that a container has."""

    names: tuple[str, ...]


class SettleVolumeCall(Struct, frozen=True):
    """A directory that was filled beside a volume's files becomes them."""

    name: str
    staging: Annotated[str, Meta(pattern=r"^\.filling-[0-9a-f]{1,32}$")]
