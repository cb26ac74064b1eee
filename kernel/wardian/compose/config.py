"""``wardian compose config``: a project's file as it is understood."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from wardian.cli.program import Command
from wardian.compose.choice import Choice, services_argument

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wardian.compose.document import Document
    from wardian.compose.project import Project

_LISTS = ("services", "volumes", "networks", "images", "profiles")


def _list_options(function: Any) -> Any:
    for name in reversed(_LISTS):
        text = f"Only the {name}' names."
        function = click.option(f"--{name}", f"only_{name}", is_flag=True, help=text)(function)
    return function


@click.command(cls=Command)
@click.option("--format", "style", type=click.Choice(["yaml", "json"]), default="yaml")
@click.option("-q", "--quiet", is_flag=True, help="Only say what is wrong.")
@_list_options
@services_argument
@click.pass_obj
def config(
    choice: Choice, /, *, services: tuple[str, ...], style: str, quiet: bool, **only: bool
) -> None:
    """Show the file as it is understood: what it includes and extends, variables filled in.

    Short forms are written out and paths absolute; what is printed is a compose file itself.
    """
    from wardian.compose.ordering import wanted

    project, document = choice.load()
    chosen = {one.name for one in wanted(project, services, choice.profiles_chosen())}
    if quiet:
        return
    for name in _LISTS:
        if only[f"only_{name}"]:
            click.echo("\n".join(_names(project, name, chosen)))
            return
    tree = doubled(resolved(project, document, chosen))
    if style == "json":
        click.echo(json.dumps(tree, indent=2, ensure_ascii=False))
        return
    import yaml

    yaml.safe_dump(tree, sys.stdout, sort_keys=False, allow_unicode=True)


def _names(project: Project, kind: str, chosen: set[str]) -> Iterable[str]:
    if kind == "profiles":
        found = (word for one in project.services.values() for word in one.profiles)
        return sorted(set(found))
    services = [one for one in project.services.values() if one.name in chosen]
    if kind == "images":
        return [one.image for one in services]
    if kind == "services":
        return [one.name for one in services]
    return project.volumes if kind == "volumes" else project.networks


def resolved(project: Project, document: Document, chosen: set[str]) -> dict[str, Any]:
    """The model of the services that are wanted, with all names as they are on this host."""
    given = {key: one for key, one in document.tree.items() if key not in ("version", "name")}
    tree: dict[str, Any] = {"name": project.name, **given}
    services = tree.get("services") or {}
    tree["services"] = {
        name: _service(project, name, values) for name, values in services.items() if name in chosen
    }
    for kind, entries in (("networks", project.networks), ("volumes", project.volumes)):
        if entries:
            written = tree.get(kind) or {}
            tree[kind] = {
                key: {"name": one.name, **(written.get(key) or {})} for key, one in entries.items()
            }
    return tree


def _service(project: Project, name: str, values: dict[str, Any]) -> dict[str, Any]:
    """One service; what its files of variables say is in its environment."""
    service = project.services[name]
    found = {key: value for key, value in values.items() if key != "env_file"}
    given = values.get("environment") or {}
    environment = {
        **dict.fromkeys(key for key, text in given.items() if text is None),
        **dict(word.partition("=")[::2] for word in service.flags["env"]),
    }
    if environment:
        found["environment"] = environment
    if service.attachments and "networks" not in found:
        found["networks"] = {"default": None}
    return found


def doubled(value: Any) -> Any:
    """Every dollar as ``$$``, as variables are filled in already."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, dict):
        return {key: doubled(one) for key, one in value.items()}
    return [doubled(one) for one in value] if isinstance(value, list) else value
