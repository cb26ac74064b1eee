"""A container as clients see it, put together from what the keeper knows of it."""

from __future__ import annotations

from collections.abc import Iterable

from wardian.cgroups.cgroup import Cgroup
from wardian.runtime.messages import ContainerInfo
from wardian.runtime.site import Site
from wardian.runtime.state import Record

LATEST = ":latest"  # the tag that is meant where none is named


def user_of(infos: Iterable[ContainerInfo], image: str) -> str | None:
    """The name of a container that was made of this image; None if there is none."""
    plain = image.removesuffix(LATEST)
    return next((one.name for one in infos if one.image.removesuffix(LATEST) == plain), None)


def describe(record: Record, site: Site, cgroup: Cgroup | None) -> ContainerInfo:
    """The description; the group is that of a container that runs."""
    return ContainerInfo(
        id=record.id,
        name=record.spec.name,
        image=record.spec.image,
        status=record.status,
        created_at=record.created_at,
        spec=record.spec,
        lowers=tuple(map(str, site.lowers)),
        upper=str(site.snapshot.upper),
        work=str(site.snapshot.work),
        driver=site.snapshot.driver,
        host_pid=record.host_pid,
        started_at=record.started_at,
        finished_at=record.finished_at,
        exit_code=record.exit_code,
        exit_reason=record.exit_reason,
        first_host_id=record.first_host_id,
        cgroups={name: str(path) for name, path in cgroup.paths.items()} if cgroup else {},
        warnings=record.warnings,
        log_directory=str(site.home),
        restart_count=record.restart_count,
        endpoints=record.endpoints,
        published=record.published,
        health=record.health,
        was_oom_killed=bool(record.hits.oom_kill),
        ran_s=record.ran_s(),
    )
