"""What a volume is, what is asked of a new one, and where a container wants it: values."""

from __future__ import annotations

import os
import re

import msgspec

from wardian.errors import InvalidInput

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}")
ANONYMOUS = "com.docker.volume.anonymous"  # docker's label of volumes that nobody has named
BIND, TMPFS = "none", "tmpfs"  # docker's words for ``--opt type=``
PROPAGATION = ("private", "rprivate", "slave", "rslave", "shared", "rshared")
_USUAL = {"ro", "rw", "exec", "noexec", "nosuid", "nodev", "noatime", "relatime"}
_TMPFS_DATA = re.compile(
    r"size=[0-9]{1,18}[kKmMgG%]?|nr_inodes=[0-9]{1,18}[kKmMgG]?|mode=[0-7]{1,4}|[ug]id=[0-9]{1,9}"
)


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """Files that outlive containers. ``created_at`` in seconds since the epoch.

    ``options`` are those of docker's ``local`` driver, ``type``, ``o`` and ``device``: without any
    the files lie in the state directory; of type ``none`` they are a directory of the host, of
    type ``tmpfs`` they are in memory as long as a running container has the volume.
    """

    name: str
    created_at: float
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    options: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody has named it."""
        return ANONYMOUS in self.labels

    @property
    def kind(self) -> str:
        """``BIND``, ``TMPFS``, or "" for files in the state directory."""
        return self.options.get("type", "")

    @property
    def words(self) -> list[str]:
        """The words of the option ``o``."""
        return [word for word in self.options.get("o", "").split(",") if word]

    @property
    def tmpfs_data(self) -> str:
        """What mount(2) takes for a tmpfs of it."""
        return ",".join(word for word in self.words if word not in _USUAL)


class VolumeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """``wardian volume create``; the name is made up if it is empty."""

    name: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    options: dict[str, str] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name:
            check_name(self.name)
        _check_options(self.options)


class VolumeMount(msgspec.Struct, frozen=True, kw_only=True):
    """A volume at ``target`` in a container; without a name it gets one of its own.

    An anonymous one goes with the container (``rm -v``). If there is no such volume it is made,
    with these labels and options; an empty one is filled with what the image has at the target,
    unless ``no_copy``. ``is_of_image``: the image wants it, nobody else.
    """

    target: str
    name: str = ""
    read_only: bool = False
    no_copy: bool = False
    no_exec: bool = False
    is_anonymous: bool = False
    is_of_image: bool = False
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    options: dict[str, str] = msgspec.field(default_factory=dict)


def check_name(name: str) -> None:
    """Raise InvalidInput for what cannot be a volume's name."""
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"not a volume name: {name[:40]!r}",
            hint="use two or more letters, digits, '_', '.' and '-', the first a letter or digit;"
            " write a directory of the host with a slash, like ./data",
        )


def new_name() -> str:
    """An anonymous volume's name: 64 hex digits, as docker's."""
    return os.urandom(32).hex()


def _check_options(options: dict[str, str]) -> None:
    if not options:
        return
    unknown = sorted(set(options) - {"type", "o", "device"})
    if unknown:
        raise InvalidInput(
            f"unknown volume option: {unknown[0][:40]!r}", hint="use type=, o= and device="
        )
    kind, device = options.get("type", ""), options.get("device", "")
    words = [word for word in options.get("o", "").split(",") if word]
    if kind == TMPFS:
        known = [word in _USUAL or bool(_TMPFS_DATA.fullmatch(word)) for word in words]
        hint = "use size=, mode=, uid=, gid=, nr_inodes=, noexec and ro"
    elif kind == BIND:
        known = [word in _USUAL or word in ("bind", "rbind", *PROPAGATION) for word in words]
        hint = "use bind, rbind, ro, noexec and a propagation such as rslave"
        if not device.startswith("/") or not {"bind", "rbind"} & set(words):
            raise InvalidInput(
                "a volume of type none is a directory of the host",
                hint="give --opt o=bind --opt device=/on/the/host",
            )
    else:
        raise InvalidInput(
            f"unsupported volume type: {kind[:40]!r}", hint="use type=tmpfs or type=none"
        )
    for word, is_known in zip(words, known, strict=True):
        if not is_known:
            raise InvalidInput(f"unknown word in the volume's o=: {word[:40]!r}", hint=hint)
