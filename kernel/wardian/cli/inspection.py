"""``wardian inspect`` and ``wardian diff``."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

import click

from wardian.cli.disk import container_sizer
from wardian.cli.health import described, described_check
from wardian.cli.mounted import describe_volume, host_binds, mounts_of, wanted_volumes
from wardian.cli.networking import network_settings, port_bindings
from wardian.cli.params import complete_container, container_argument
from wardian.cli.program import Command, complain
from wardian.cli.sharing import borrowers, modes
from wardian.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable

    from wardian.cgroups.limits import DeviceRate, Limits
    from wardian.runtime.client import Client
    from wardian.runtime.messages import ContainerInfo
    from wardian.runtime.spec import ContainerSpec, ProcessSpec

HINTS = {"container": "wardian ps -a", "image": "wardian images", "volume": "wardian volume ls"}


@click.command(cls=Command)
@click.option("-f", "--format", "style", metavar="TEMPLATE", help="Like '{{.State.Pid}}'.")
@click.option("-s", "--size", is_flag=True, help="What containers' files take, in bytes.")
@click.option(
    "--type",
    "kind",
    type=click.Choice(["container", "image", "volume"]),
    help="What the names are.",
)
@click.argument(
    "names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_container
)
def inspect(*, names: tuple[str, ...], style: str | None, kind: str | None, size: bool) -> int:
    """Show all that is known of containers (or images, volumes), as JSON in docker's fields.

    \b
    wardian inspect --format '{{.GraphDriver.Data.UpperDir}}' web
    wardian inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' web
    """  # noqa: D301
    from wardian.runtime.client import Client

    with Client.connect() as client:
        everybody = cache(client.list)
        sizer = container_sizer() if size else None

        def whole(info: ContainerInfo) -> dict[str, Any]:
            found = describe(info)
            found["Wardian"]["LendsTo"] = borrowers(info, everybody())
            if sizer is not None:
                found["SizeRw"], found["SizeRootFs"] = sizer(info)
            return found

        return show_each(names, lambda name: _find(client, name, kind, whole), style=style)


def show_each(
    names: Sequence[str], find: Callable[[str], dict[str, Any]], *, style: str | None
) -> int:
    """Print what is known of each name, as JSON or by a template; 1 if one of them is not there."""
    from wardian.cli.template import Template

    template = Template(style) if style not in (None, "json") else None
    found = []
    for name in names:
        try:
            found.append(find(name))
        except NotFound as error:
            complain(error.what, error.hint)
    if template is None:
        click.echo(json.dumps(found, indent=None if style else 4, ensure_ascii=False))
    else:
        for value in found:
            click.echo(template.fill(value))
    return 0 if len(found) == len(names) else 1


def _find(
    client: Client,
    name: str,
    kind: str | None,
    whole: Callable[[ContainerInfo], dict[str, Any]],
) -> dict[str, Any]:
    from wardian.cli.images import describe_image
    from wardian.storage.volumes import Volumes

    ways: dict[str, Callable[[], dict[str, Any]]] = {
        "container": lambda: whole(client.container(name).info),
        "image": lambda: describe_image(client.root, name),
        "volume": lambda: describe_volume(Volumes(client.root).get(name)),
    }
    for way in [ways[kind]] if kind else ways.values():
        with suppress(NotFound):
            return way()
    raise NotFound(
        f"no such {kind or 'container, image or volume'}: {name[:128]}",
        hint=f"see `{HINTS[kind]}`" if kind else "see `wardian ps -a` and `wardian images`",
    )


def describe(info: ContainerInfo) -> dict[str, Any]:
    """A container in the fields of ``docker inspect``; what docker has not is below Wardian."""
    from wardian.cli.format import timestamp
    from wardian.linux.signal_names import signal_name

    main = info.spec.process
    return {
        "Id": info.id,
        "Created": timestamp(info.created_at),
        "Path": main.argv[0] if main else "",
        "Args": list(main.argv[1:]) if main else [],
        "State": _state(info),
        "Image": info.image,
        "LogPath": f"{info.log_directory}/log.jsonl",
        "Name": info.name,
        "RestartCount": info.restart_count,
        "GraphDriver": {"Name": info.driver.value, "Data": _graph(info)},
        "HostConfig": _host_config(info),
        "Mounts": mounts_of(info),
        "NetworkSettings": network_settings(info),
        "Config": {
            "Hostname": info.spec.hostname,
            "Domainname": info.spec.domainname,
            "User": main.user if main else "",
            "Env": [f"{name}={value}" for name, value in main.env.items()] if main else [],
            "Cmd": list(main.argv) if main else [],
            "Image": info.image,
            "Volumes": wanted_volumes(info.spec),
            "WorkingDir": main.workdir if main else "/",
            "Labels": info.spec.labels,
            "Tty": info.spec.tty,
            "OpenStdin": info.spec.open_stdin,
            "StopSignal": signal_name(info.spec.stop_signal),
            "StopTimeout": info.spec.stop_timeout_s,
            **({"Healthcheck": described_check(check)} if (check := info.spec.healthcheck) else {}),
        },
        "Wardian": {
            "Keep": info.spec.keep.value,
            "FirstHostId": info.first_host_id,
            "Cgroups": info.cgroups,
            "BestEffort": info.spec.best_effort,
            "Warnings": list(info.warnings),
        },
    }


def _state(info: ContainerInfo) -> dict[str, Any]:
    from wardian.cli.format import timestamp
    from wardian.runtime.state import Status

    return {
        "Status": info.status.value,
        "Running": info.status in (Status.RUNNING, Status.PAUSED),
        "Paused": info.status is Status.PAUSED,
        "OOMKilled": info.was_oom_killed,
        "Pid": info.host_pid or 0,
        "ExitCode": info.exit_code or 0,
        "Error": info.exit_reason,
        "StartedAt": timestamp(info.started_at),
        "FinishedAt": timestamp(info.finished_at),
        **({"Health": described(info.health)} if info.health else {}),
    }


def _host_config(info: ContainerInfo) -> dict[str, Any]:
    spec, limits = info.spec, info.spec.limits
    return {
        "Binds": host_binds(spec),
        "Tmpfs": {tmpfs.target: f"mode={tmpfs.mode:o}" for tmpfs in spec.tmpfs},
        **modes(info),
        "PortBindings": port_bindings(spec.ports),
        "Dns": list(spec.dns.servers),
        "DnsSearch": list(spec.dns.search),
        "DnsOptions": list(spec.dns.options),
        "UsernsMode": spec.user_namespace.value,
        "ReadonlyRootfs": spec.read_only,
        "LogConfig": {
            "Type": spec.log.driver,
            "Config": {
                "max-size": str(spec.log.max_bytes),
                "max-file": str(spec.log.max_files),
                "labels": ",".join(spec.log.labels),
                "env": ",".join(spec.log.env),
            },
        },
        "RestartPolicy": {
            "Name": spec.restart.when.value,
            "MaximumRetryCount": spec.restart.most,
        },
        "AutoRemove": spec.remove_on_exit or spec.keep.value == "never",
        "CapAdd": list(spec.cap_add),
        "CapDrop": list(spec.cap_drop),
        "SecurityOpt": [
            "no-new-privileges",
            *([f"apparmor={spec.apparmor}"] if spec.apparmor else ()),
            *_seccomp(spec.seccomp),
            *_rules(spec),
        ],
        "Devices": [
            {
                "PathOnHost": bind.source,
                "PathInContainer": bind.target,
                "CgroupPermissions": bind.device_access,
            }
            for bind in spec.binds
            if bind.is_device
        ],
        "CgroupParent": spec.cgroup_parent,
        "Annotations": spec.annotations,
        "Sysctls": spec.sysctls,
        "Privileged": not spec.hides_paths and spec.cap_add == ("ALL",),
        "Init": True,
        "ExtraHosts": [f"{name}:{address}" for name, address in spec.extra_hosts],
        "ShmSize": next(
            (t.size_bytes for t in spec.tmpfs if t.target == "/dev/shm"),  # noqa: S108
            64 << 20,
        ),
        **_process_config(spec.process),
        **_resources(limits),
    }


def _resources(limits: Limits) -> dict[str, Any]:
    return {
        "Memory": limits.memory_bytes or 0,
        "MemorySwap": limits.memory_swap_bytes or 0,
        "MemoryReservation": limits.memory_reservation_bytes or 0,
        "MemoryHigh": limits.memory_high_bytes or 0,
        "MemorySwappiness": limits.memory_swappiness,
        "OomKillDisable": bool(limits.oom_kill_disable),
        "OomGroup": bool(limits.oom_group),
        "NanoCpus": round((limits.cpus or 0) * 1e9),
        "CpuShares": limits.cpu_shares or 0,
        "CpuPeriod": limits.cpu_period_usec or 0,
        "CpuQuota": limits.cpu_quota_usec or 0,
        "CpuBurst": limits.cpu_burst_usec or 0,
        "CpuRealtimePeriod": limits.cpu_rt_period_usec or 0,
        "CpuRealtimeRuntime": limits.cpu_rt_runtime_usec or 0,
        "CpusetCpus": limits.cpuset_cpus or "",
        "CpusetMems": limits.cpuset_mems or "",
        "PidsLimit": limits.pids,
        "BlkioWeight": limits.blkio_weight or 0,
        "BlkioDeviceReadBps": _rates(limits.device_read_bps),
        "BlkioDeviceWriteBps": _rates(limits.device_write_bps),
        "BlkioDeviceReadIOps": _rates(limits.device_read_iops),
        "BlkioDeviceWriteIOps": _rates(limits.device_write_iops),
        "DeviceCgroupRules": [str(rule) for rule in limits.device_rules if rule.allow],
        "HugepageLimits": [
            {"PageSize": pages.page_size, "Limit": pages.limit_bytes} for pages in limits.hugetlb
        ],
    }


def _rates(rates: tuple[DeviceRate, ...]) -> list[dict[str, Any]]:
    return [{"Path": f"{one.major}:{one.minor}", "Rate": one.per_second} for one in rates]


def _process_config(main: ProcessSpec | None) -> dict[str, Any]:
    return {
        "GroupAdd": list(main.groups) if main else [],
        "OomScoreAdj": main.oom_score_adj if main else 0,
        "Ulimits": [
            {"Name": ulimit.name, "Soft": ulimit.soft, "Hard": ulimit.hard}
            for ulimit in (main.ulimits if main else ())
        ],
    }


def _seccomp(profile: str) -> list[str]:
    return [] if profile == "default" else [f"seccomp={profile}"]


def _graph(info: ContainerInfo) -> dict[str, Any]:
    """Docker's fields of overlay2; of a copy there is but the one directory."""
    if not info.driver.has_upper:
        return {"RootDir": info.upper, "MergedDir": info.merged}
    return {
        "LowerDir": ":".join(info.lowers),
        "UpperDir": info.upper,
        "MergedDir": info.merged,
        "WorkDir": info.work,
    }


def _rules(spec: ContainerSpec) -> list[str]:
    hidden = [] if spec.hides_paths else ["systempaths=unconfined"]
    return [*hidden, *(f"landlock={rule.path}:{rule.access}" for rule in spec.landlock)]


@click.command(cls=Command)
@container_argument
def diff(name: str) -> None:
    """List what a container changed in its files: A added, C changed, D deleted."""
    from wardian.observe.label import label
    from wardian.runtime.changed import changes_of
    from wardian.runtime.client import Client

    with Client.connect() as client:
        info = client.container(name).info
    found = {
        f"/{change.path.lstrip('/')}": change.kind.docker_letter for change in changes_of(info)
    }
    for path, letter in sorted(found.items()):
        click.echo(f"{letter} {label(path)}")
