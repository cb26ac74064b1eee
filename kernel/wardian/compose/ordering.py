"""Which services are wanted, and in which order they start."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from graphlib import CycleError, TopologicalSorter

from wardian.compose.project import Project, Service
from wardian.errors import InvalidInput


def wanted(
    project: Project, names: Sequence[str], profiles: Collection[str], *, alone: bool = False
) -> list[Service]:
    """The services to start, each after those it depends on.

    Without names all whose profiles are chosen (or that have none). What a service depends on comes
    along, unless they are to start ``alone``. Raises NotFound, InvalidInput.
    """
    chosen = [project.service(name).name for name in names] or [
        one.name for one in project.services.values() if _is_on(one, profiles)
    ]
    waiting, found = list(chosen), dict.fromkeys(chosen)
    while waiting and not alone:
        service = project.service(waiting.pop())
        for dependency in service.depends_on:
            other = dependency.service
            if other in found or not (dependency.required or other in project.services):
                continue
            if not _is_on(project.service(other), profiles) and other not in names:
                if not dependency.required:
                    continue
                raise InvalidInput(
                    f"service {service.name} depends on {other}, whose profile is not chosen",
                    hint=f"add --profile {project.service(other).profiles[0]}",
                )
            found[other] = None
            waiting.append(other)
    return [project.services[name] for name in in_order(project) if name in found]


def in_order(project: Project) -> list[str]:
    """Every service after those it depends on; InvalidInput for a circle."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for service in project.services.values():
        needs = [one.service for one in service.depends_on if one.service in project.services]
        sorter.add(service.name, *needs)
    try:
        return list(sorter.static_order())
    except CycleError as error:
        circle = " → ".join(error.args[1])
        raise InvalidInput(f"services depend on each other in a circle: {circle}") from error


def _is_on(service: Service, profiles: Collection[str]) -> bool:
    return not service.profiles or "*" in profiles or bool(set(service.profiles) & set(profiles))
