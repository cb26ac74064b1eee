"""What a container is to see at which path: ``-v``, ``--mount``, ``--tmpfs``, an image's VOLUME.

All raise InvalidInput.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from wardian.cgroups.limits import parse_size
from wardian.cli.words import is_true
from wardian.errors import InvalidInput
from wardian.runtime.mount_words import bind_of, inside, of_image, volume_of
from wardian.runtime.spec import Bind, Tmpfs
from wardian.storage.volume import PROPAGATION, VolumeMount, VolumeRequest

if TYPE_CHECKING:
    from wardian.cli.request import Request
    from wardian.runtime.client import Client

Mounted = Bind | Tmpfs | VolumeMount


# --- all of a container's ------------------------------------------------------------------------


def wishes(request: Request, config: Mapping[str, Any]) -> dict[str, Any]:
    """Binds, tmpfs and volumes as fields of the container's spec.

    What is said for a path wins over what another container has there, and that over the image.
    """
    found: dict[str, Mounted] = {}
    said = (
        *map(volume_of, request.volume),
        *map(mount, request.mount),
        *map(tmpfs, request.tmpfs),
    )
    for one in said:
        if one.target in found:
            raise InvalidInput(
                f"two things are to be mounted at {one.target}", hint="leave out one of them"
            )
        found[one.target] = one
    for one in (*request.borrowed, *of_image(config)):
        found.setdefault(one.target, one)
    binds = tuple(one for one in found.values() if isinstance(one, Bind))
    return {
        "binds": binds,
        "tmpfs": tuple(one for one in found.values() if isinstance(one, Tmpfs)),
        "volumes": tuple(one for one in found.values() if isinstance(one, VolumeMount)),
    }


def borrowed(client: Client, words: Iterable[str]) -> tuple[Bind | VolumeMount, ...]:
    """``--volumes-from CONTAINER[:ro]``: its volumes and binds at the same places. NotFound."""
    found: list[Bind | VolumeMount] = []
    for word in words:
        name, _, mode = word.partition(":")
        if mode not in ("", "ro", "rw", "z", "Z"):
            raise InvalidInput(f"unknown volume option: {mode[:40]}", hint="use ro or rw")
        spec = client.container(name).info.spec
        plain = [bind for bind in spec.binds if not bind.is_device]
        makes_read_only = mode == "ro"
        found += [replace(one, read_only=one.read_only or makes_read_only) for one in plain]
        found += [replace(one, read_only=one.read_only or makes_read_only) for one in spec.volumes]
    return tuple(found)


# --- one of them ---------------------------------------------------------------------------------


def mount(word: str) -> Mounted:
    """``--mount type=bind|volume|tmpfs,src=…,dst=…[,readonly]``; without a type it is a volume."""
    try:
        [parts] = csv.reader([word], strict=True)  # docker's: an option with commas is quoted
    except (csv.Error, ValueError):
        raise InvalidInput(f"not a mount: {word[:80]!r}", hint="close the quotation") from None
    options: dict[str, str] = {}
    repeated: dict[str, list[str]] = {"volume-opt": [], "volume-label": []}
    for part in parts:
        key, equals, value = part.partition("=")
        key = key.strip().lower()
        if key in repeated:
            repeated[key].append(value)
        else:
            options[key] = value if equals else "true"
    kind = options.pop("type", "volume")
    target = _take(options, "target", "dst", "destination")
    if not target:
        raise InvalidInput("the mount has no target", hint="add dst=/in/the/container")
    if kind == "bind":
        made: Mounted = _mountbind_of(target, options)
    elif kind == "tmpfs":
        made = _tmpfs(target, _take(options, "tmpfs-size"), _take(options, "tmpfs-mode"))
        made = replace(made, read_only=_said(options, "readonly", "ro"))
    elif kind == "volume":
        made = _mount_volume(target, options, repeated)
    else:
        raise InvalidInput(
            f"unknown mount type: {kind[:40]}", hint="use type=volume, type=bind or type=tmpfs"
        )
    left = [*options, *(key for key, words in repeated.items() if words and kind != "volume")]
    if left:
        raise InvalidInput(f"unknown mount option: {min(left)[:40]}")
    return made


def _mountbind_of(target: str, options: dict[str, str]) -> Bind:
    source = _take(options, "source", "src")
    if not source:
        raise InvalidInput("the bind mount has no source", hint="add src=/on/the/host")
    recursive = not _said(options, "bind-nonrecursive")
    read_only = _said(options, "readonly", "ro")
    bind = bind_of(source, target, read_only=read_only, recursive=recursive)
    bind = replace(bind, propagation=_propagation(_take(options, "bind-propagation")))
    return _to_depth(bind, _take(options, "bind-recursive"))


def _mount_volume(
    target: str, options: dict[str, str], repeated: Mapping[str, Sequence[str]]
) -> VolumeMount:
    if (driver := _take(options, "volume-driver")) not in (None, "local"):
        raise InvalidInput(f"unknown volume driver: {str(driver)[:40]}", hint="use local")
    name = _take(options, "source", "src") or ""
    if "/" in name:
        raise InvalidInput(
            f"a volume's name is no path: {name[:80]}", hint="add type=bind for a path of the host"
        )
    request = VolumeRequest(
        name=name,
        options=pairs(repeated["volume-opt"]),
        labels=pairs(repeated["volume-label"]),
    )
    return VolumeMount(
        target=inside(target),
        name=name,
        read_only=_said(options, "readonly", "ro"),
        no_copy=_said(options, "volume-nocopy"),
        labels=request.labels,
        options=request.options,
    )


def pairs(words: Iterable[str]) -> dict[str, str]:
    """``key=value`` each."""
    return dict(word.partition("=")[::2] for word in words)


def _said(options: dict[str, str], *names: str) -> bool:
    return is_true(_take(options, *names) or "false")


def _propagation(word: str | None) -> str:
    if word is not None and word not in PROPAGATION:
        raise InvalidInput(
            f"unknown propagation: {word[:40]}", hint=f"use {', '.join(PROPAGATION)}"
        )
    return word or "rprivate"


def _to_depth(bind: Bind, word: str | None) -> Bind:
    """``bind-recursive``: what a read-only bind means for what is mounted below it."""
    if word in (None, "enabled", "readonly"):
        return bind
    if word == "disabled":
        return replace(bind, recursive=False)
    if word == "writable":
        return replace(bind, only_top_is_read_only=True)
    raise InvalidInput(
        f"not a choice for bind-recursive: {str(word)[:40]}",
        hint="use enabled, disabled, writable or readonly",
    )


def _take(options: dict[str, str], *names: str) -> str | None:
    found = [options.pop(name) for name in names if name in options]
    return found[-1] if found else None


def tmpfs(word: str) -> Tmpfs:
    """``--tmpfs /path[:size=64m,mode=1777]``; options that are always in force are accepted."""
    target, _, rest = word.partition(":")
    size = mode = None
    owner = {"uid": 0, "gid": 0}
    inodes: int | None = None
    words = {"exec": False, "ro": False}
    for option in filter(None, rest.split(",")):
        key, _, value = option.partition("=")
        if key == "size":
            size = value
        elif key == "mode":
            mode = value
        elif key in owner:
            if not re.fullmatch(r"[0-9]{1,9}", value):
                raise InvalidInput(f"not a {key}: {value[:40]!r}", hint="write it as a number")
            owner[key] = int(value)
        elif key == "nr_inodes" and re.fullmatch(r"[1-9][0-9]{0,14}", value):
            inodes = int(value)
        elif option in ("exec", "noexec"):
            words["exec"] = option == "exec"
        elif option in ("ro", "rw"):
            words["ro"] = option == "ro"
        elif option not in ("nosuid", "nodev", "noatime", "relatime"):
            raise InvalidInput(
                f"unknown tmpfs option: {option[:40]}",
                hint="use size=, mode=, uid=, gid=, nr_inodes=, exec and ro",
            )
    made = replace(_tmpfs(target, size, mode), uid=owner["uid"], gid=owner["gid"])
    return replace(made, inodes=inodes, exec=words["exec"], read_only=words["ro"])


def shm(size: str) -> Tmpfs:
    """``--shm-size``: a tmpfs over the usual /dev/shm of 64 MiB."""
    size_bytes = parse_size(size)
    if not size_bytes or size_bytes < 0:
        raise InvalidInput(f"not a size for /dev/shm: {size[:40]!r}", hint="write it like 256m")
    return Tmpfs(target="/dev/shm", size_bytes=size_bytes)  # noqa: S108  # the container's


def _tmpfs(target: str, size: str | None, mode: str | None) -> Tmpfs:
    if mode is not None and not re.fullmatch(r"[0-7]{1,4}", mode):
        raise InvalidInput(f"not a mode: {mode[:40]!r}", hint="write it in octal, like 1777")
    return Tmpfs(
        target=inside(target),
        size_bytes=None if size is None else parse_size(size),
        mode=0o1777 if mode is None else int(mode, 8),
    )
