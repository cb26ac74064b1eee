"""Volumes and binds in docker's words. All raise InvalidInput."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from wardian.errors import InvalidInput
from wardian.runtime.spec import Bind
from wardian.storage.volume import PROPAGATION, VolumeMount, VolumeRequest

# What is not named here of nosuid, nodev and rro is always so.
_BIND_OPTIONS = ("ro", "rro", "rw", "noexec", "nosuid", "nodev", "bind", "rbind", "z", "Z")
_VOLUME_OPTIONS = ("ro", "rw", "nocopy", "noexec", "nosuid", "nodev", "z", "Z")
_VOLUME_HINT = "write it like name:/in/the/container or /on/the/host:/in/the/container:ro"
_MOST_OF_IMAGE = 100


def of_image(config: Mapping[str, Any]) -> list[VolumeMount]:
    """The anonymous volumes that an image asks for by VOLUME."""
    wanted = config.get("Volumes") or {}
    if not isinstance(wanted, Mapping) or len(wanted) > _MOST_OF_IMAGE:
        raise InvalidInput("the image's volumes are no list of at most 100 paths")
    targets = dict.fromkeys(inside(str(path)) for path in wanted)
    return [VolumeMount(target=target, is_of_image=True) for target in targets]


def volume_of(word: str) -> Bind | VolumeMount:
    """``-v host:container[:ro]``, ``-v name:container[:ro,nocopy]`` or ``-v container``."""
    source, colon, rest = word.partition(":")
    if not colon:
        source, rest = "", word
    target, _, words = rest.partition(":")
    if not target or (colon and not source):
        raise InvalidInput(f"not a volume: {word[:80]!r}", hint=_VOLUME_HINT)
    options = [option for option in words.split(",") if option]
    if "/" in source or source.startswith((".", "~")):
        return _bound(source, target, options)
    _check(options, _VOLUME_OPTIONS)
    VolumeRequest(name=source)
    return VolumeMount(
        target=inside(target),
        name=source,
        read_only="ro" in options,
        no_copy="nocopy" in options,
        no_exec="noexec" in options,
    )


def _bound(source: str, target: str, options: Sequence[str]) -> Bind:
    _check(options, (*_BIND_OPTIONS, *PROPAGATION))
    read_only = not {"ro", "rro"}.isdisjoint(options)
    bind = bind_of(source, target, read_only=read_only, recursive="bind" not in options)
    kinds = [option for option in options if option in PROPAGATION]
    return replace(
        bind, no_exec="noexec" in options, propagation=kinds[-1] if kinds else bind.propagation
    )


def _check(options: Iterable[str], known: Sequence[str]) -> None:
    for option in options:
        if option not in known:
            raise InvalidInput(
                f"unknown volume option: {option[:40]}", hint=f"use {', '.join(known)}"
            )


def bind_of(source: str, target: str, *, read_only: bool, recursive: bool = True) -> Bind:
    """A file or directory of the host, which has to be there, at a path of the container."""
    path = os.path.abspath(os.path.expanduser(source))
    if not os.path.exists(path):
        raise InvalidInput(f"no such file or directory on the host: {path}", hint="create it first")
    return Bind(source=path, target=inside(target), read_only=read_only, recursive=recursive)


def inside(target: str) -> str:
    """A path in the container at which something can be mounted, in its plain form."""
    if not target.startswith("/") or os.path.normpath(target) == "/":
        raise InvalidInput(
            f"cannot mount at {target[:80]!r}",
            hint="give an absolute path, not / itself",
        )
    return os.path.normpath(target)
