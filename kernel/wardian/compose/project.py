"""An application as its compose file describes it: immutable values."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import msgspec

from wardian.errors import InvalidInput, NotFound
from wardian.network.definition import Attachment

STARTED, HEALTHY, COMPLETED = (
    "service_started",
    "service_healthy",
    "service_completed_successfully",
)
OF_SERVICE = "service:"  # a context of a build that is another service's image
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


class Dependency(msgspec.Struct, frozen=True, kw_only=True):
    """What must be so of another service before this one starts."""

    service: str
    condition: str = STARTED
    restart: bool = False
    required: bool = True


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A secret or config of the project: a file of the host, or what is to be in one."""

    key: str
    path: str = ""
    content: bytes = b""

    def __repr__(self) -> str:
        """Without what is in it: it may end up in a log."""
        return f"FileEntry(key={self.key!r}, path={self.path!r})"

    @property
    def digest(self) -> str:
        """Of what is to be in it; a file of the host may change meanwhile."""
        return "" if self.path else hashlib.sha256(self.content).hexdigest()


class Build(msgspec.Struct, frozen=True, kw_only=True):
    """How a service's image is made. ``inline`` is the Dockerfile itself.

    ``secrets`` are by their ids; what is in them is told nowhere.
    """

    context: str
    dockerfile: str | None = None
    inline: str = ""
    target: str = ""
    arguments: dict[str, str] = msgspec.field(default_factory=dict)
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    contexts: dict[str, str] = msgspec.field(default_factory=dict)
    tags: tuple[str, ...] = ()
    network: str = "default"
    ssh: tuple[str, ...] = ()
    no_cache: bool = False
    pull: bool = False
    secrets: dict[str, FileEntry] = msgspec.field(default_factory=dict)


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A secret or config as a service has it: read-only, at ``target`` in the container."""

    entry: FileEntry
    target: str
    owner: tuple[int, int] = (0, 0)
    mode: int = 0o444

    @property
    def description(self) -> str:
        """What it is, without what is in it."""
        return repr([self.entry.path, self.entry.digest, self.target, self.owner, self.mode])


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One service.

    There are ``scale`` containers of it, in the network of the service ``lender`` if it has one.

    ``flags`` are fields of `wardian.cli.request.Request`. ``described`` is all of it, by which a
    container is known to be of another description. ``test`` is that of its healthcheck, if it has
    a program of its own.
    """

    name: str
    image: str
    build: Build | None
    flags: dict[str, Any]
    described: str
    attachments: tuple[Attachment, ...] = ()
    volumes: tuple[str, ...] = ()
    depends_on: tuple[Dependency, ...] = ()
    test: tuple[str, ...] = ()
    container_name: str = ""
    profiles: tuple[str, ...] = ()
    scale: int = 1
    lender: str = ""
    grants: tuple[Grant, ...] = ()


class NetworkEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A network of the project; an external one is somebody else's and has to be there."""

    key: str
    name: str
    external: bool = False
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    labels: dict[str, str] = msgspec.field(default_factory=dict)


class VolumeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A volume of the project; likewise."""

    key: str
    name: str
    external: bool = False
    options: dict[str, str] = msgspec.field(default_factory=dict)
    labels: dict[str, str] = msgspec.field(default_factory=dict)


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """The whole application."""

    name: str
    directory: Path
    files: tuple[Path, ...]
    services: dict[str, Service]
    networks: dict[str, NetworkEntry]
    volumes: dict[str, VolumeEntry]

    def service(self, name: str) -> Service:
        """NotFound."""
        try:
            return self.services[name]
        except KeyError:
            raise NotFound(
                f"no such service: {name[:128]}", hint=f"there are {', '.join(self.services)}"
            ) from None


def project_name(word: str) -> str:
    """A name that somebody chose. InvalidInput."""
    if not _NAME.fullmatch(word):
        raise InvalidInput(
            f"not a project name: {word[:40]!r}",
            hint="use lower-case letters, digits, '_' and '-', the first a letter or digit",
        )
    return word


def usual_name(directory: Path) -> str:
    """The name of a project in this directory, as docker's."""
    plain = re.sub(r"[^a-z0-9_-]", "", directory.name.lower()).lstrip("_-")
    return plain or "default"
