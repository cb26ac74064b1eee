"""Which project is meant, and which of its services."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from wardian.errors import NotFound

if TYPE_CHECKING:
    from wardian.compose.document import Document
    from wardian.compose.project import Project
    from wardian.runtime.client import Client
    from wardian.runtime.messages import ContainerInfo


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Which project is meant."""

    files: tuple[str, ...]
    name: str
    directory: str
    env_files: tuple[str, ...]
    profiles: tuple[str, ...]

    def variables(self, directory: Path) -> dict[str, str]:
        """The environment over ``.env``."""
        from wardian.compose.environment import read_all

        files = [Path(word) for word in self.env_files]
        return {**read_all(files, directory, os.environ), **os.environ}

    def load(self) -> tuple[Project, Document]:
        """The project and its tree. Raises WardianError."""
        from wardian.compose import document, model, reading
        from wardian.compose.project import project_name, usual_name

        words = self.files or tuple(filter(None, os.environ.get("COMPOSE_FILE", "").split(":")))
        paths = [Path(word).absolute() for word in words]
        paths = paths or document.find(Path(self.directory or os.curdir).absolute())
        directory = Path(self.directory).absolute() if self.directory else paths[0].parent
        variables = self.variables(directory)
        found = model.load(paths, directory, variables)
        chosen = self.name or variables.get("COMPOSE_PROJECT_NAME") or found.tree.get("name")
        name = project_name(str(chosen)) if chosen else usual_name(directory)
        project = reading.project(
            found, name=name, directory=directory, files=paths, variables=variables
        )
        return project, found

    def project_name(self) -> str:
        """The name alone: a file is not needed for it."""
        if self.name:
            from wardian.compose.project import project_name

            return project_name(self.name)
        return self.load()[0].name

    def profiles_chosen(self) -> list[str]:
        """Those of the flags, or of the environment."""
        return [*self.profiles] or os.environ.get("COMPOSE_PROFILES", "").split(",")


def services_argument(function: Any) -> Any:
    """``[SERVICE...]``."""
    return click.argument("services", metavar="[SERVICE...]", nargs=-1)(function)


def say(kind: str, name: str, state: str) -> None:
    """Tell what became of something, on stderr as docker does."""
    click.echo(f" {kind} {name}  {state}", err=True)


def containers_of(
    client: Client, project_name: str, services: Sequence[str], *, one_off: bool = False
) -> list[ContainerInfo]:
    """The containers of these services, or of all. NotFound for a service without one."""
    from wardian.compose.running import containers, service_of

    infos = containers(client, project_name, one_off=one_off)
    for service in services:
        if not any(service_of(info) == service for info in infos):
            raise NotFound(
                f"no such service: {service[:128]}", hint="`wardian compose ps -a` lists them"
            )
    return [info for info in infos if not services or service_of(info) in services]


def one_of(client: Client, project_name: str, service: str, number: int | None) -> ContainerInfo:
    """The service's container of this number, else its first. NotFound."""
    from wardian.compose.running import number_of

    infos = sorted(containers_of(client, project_name, [service]), key=number_of)
    for info in infos:
        if number in (None, number_of(info)):
            return info
    raise NotFound(
        f"service {service[:128]} has no container {number}",
        hint=f"there are {', '.join(str(number_of(info)) for info in infos)}",
    )
