"""From the tree of a compose file to the project that it describes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wardian.cli.pulling import WHEN
from wardian.compose import building, granting, mounting
from wardian.compose.document import Document
from wardian.compose.environment import read as read_variables
from wardian.compose.project import (
    COMPLETED,
    HEALTHY,
    STARTED,
    Build,
    Dependency,
    FileEntry,
    NetworkEntry,
    Project,
    Service,
    VolumeEntry,
)
from wardian.compose.section import Section
from wardian.errors import InvalidInput
from wardian.network.definition import Attachment

DEFAULT = "default"
LENT = "service:"
MAX_SCALE = 1000


def project(
    document: Document,
    *,
    name: str,
    directory: Path,
    files: Sequence[Path],
    variables: Mapping[str, str],
) -> Project:
    """Read all of it. Raises InvalidInput, with the place, for what is not supported."""
    top = Section(document, (), document.tree)
    top.take("version")
    top.take("name")
    volumes = {key: _volume(key, one, name) for key, one in top.sections("volumes")}
    networks = {key: _network(key, one, name) for key, one in top.sections("networks")}
    granted = {
        kind: granting.entries(top, kind, variables)
        for kind in (granting.SECRETS, granting.CONFIGS)
    }
    reader = _ServiceReader(name, variables, networks, volumes, granted)
    services = {key: reader.read(key, one) for key, one in top.sections("services")}
    top.done()
    if not services:
        raise InvalidInput("the compose file has no services", hint="describe one below services:")
    for key, service in services.items():
        for dependency in service.depends_on:
            if dependency.service not in services and dependency.required:
                where = document.place(("services", key, "depends_on"))
                raise InvalidInput(f"{where}: there is no service {dependency.service}")
    used = {one.network for service in services.values() for one in service.attachments}
    if DEFAULT not in networks and f"{name}_{DEFAULT}" in used:
        networks[DEFAULT] = NetworkEntry(key=DEFAULT, name=f"{name}_{DEFAULT}")
    return Project(
        name=name,
        directory=directory,
        files=tuple(files),
        services=services,
        networks=networks,
        volumes=volumes,
    )


# --- top level -----------------------------------------------------------------------------------


def _volume(key: str, one: Section, project_name: str) -> VolumeEntry:
    external = one.switch("external")
    if (driver := one.text("driver", "local")) != "local":
        raise one.fault(f"there is no volume driver {driver[:40]}", "use local", "driver")
    entry = VolumeEntry(
        key=key,
        name=one.text("name") or (key if external else f"{project_name}_{key}"),
        external=external,
        options=_filled(one.pairs("driver_opts")),
        labels=_filled(one.pairs("labels")),
    )
    one.done()
    return entry


def _network(key: str, one: Section, project_name: str) -> NetworkEntry:
    external = one.switch("external")
    if (driver := one.text("driver", "bridge")) != "bridge":
        raise one.fault(f"there is no network driver {driver[:40]}", "use bridge", "driver")
    options: dict[str, Any] = {
        "internal": one.switch("internal"),
        "ipv6": one.switch("enable_ipv6"),
        **_ipam(one.section("ipam")),
    }
    for option, value in _filled(one.pairs("driver_opts")).items():
        if option != "com.docker.network.driver.mtu" or not value.isdigit():
            raise one.fault(f"this option is not supported: {option[:60]}", "", "driver_opts")
        options["mtu"] = int(value[:6])
    entry = NetworkEntry(
        key=key,
        name=one.text("name") or (key if external else f"{project_name}_{key}"),
        external=external,
        options=options,
        labels=_filled(one.pairs("labels")),
    )
    one.done()
    return entry


def _ipam(section: Section) -> dict[str, Any]:
    if section.text("driver", "default") != "default":
        raise section.fault("there is one driver of addresses", "leave it out", "driver")
    blocks = section.items("config")
    section.done()
    found: dict[str, list[str]] = {"subnets": [], "gateways": [], "ip_ranges": []}
    for number, values in enumerate(blocks):
        block = section.below(values, "config", str(number))
        for field, key in (
            ("subnets", "subnet"),
            ("gateways", "gateway"),
            ("ip_ranges", "ip_range"),
        ):
            if word := block.text(key):
                found[field].append(word)
        block.done()
    return {field: tuple(words) for field, words in found.items()}


def _filled(pairs: Mapping[str, str | None]) -> dict[str, str]:
    return {key: value or "" for key, value in pairs.items()}


# --- services ------------------------------------------------------------------------------------


class _ServiceReader:
    """Reads the services of one project."""

    def __init__(
        self,
        project_name: str,
        variables: Mapping[str, str],
        networks: Mapping[str, NetworkEntry],
        volumes: Mapping[str, VolumeEntry],
        files: Mapping[str, Mapping[str, FileEntry]],
    ) -> None:
        self._project = project_name
        self._variables = variables
        self._networks = networks
        self._volumes = volumes
        self._files = files

    def read(self, name: str, one: Section) -> Service:
        """One of them. Raises InvalidInput."""
        build = self._build(one)
        image = one.text("image") or (f"{self._project}-{name}" if build else "")
        if not image:
            raise one.fault("it has neither an image nor a build", "add image: NAME")
        attachments, networks = self._attachments(name, one)
        lender = networks[0].removeprefix(LENT) if networks[0].startswith(LENT) else ""
        mounts, volumes = mounting.words(one, self._volumes)
        granted = [
            grant
            for kind, known in self._files.items()
            for grant in granting.grants(one, kind, known)
        ]
        health, test = _health(one)
        deploy = one.section("deploy")
        container_name, scale = one.text("container_name"), _scale(one, deploy)
        if container_name and scale > 1:
            what = f"{scale} containers cannot have one name"
            raise one.fault(what, "take container_name out", "container_name")
        flags: dict[str, Any] = {
            "image": image,
            **_command(one),
            "env": tuple(self._environment(one)),
            "publish": tuple(_ports(one)),
            "network": networks,
            "mount": tuple(mounts),
            "tmpfs": tuple(one.words("tmpfs")),
            "health": health,
            "limits": _limits(deploy),
            **_plain(one),
        }
        told = [flags, test, repr(build), repr(attachments), [one.description for one in granted]]
        service = Service(
            name=name,
            image=image,
            build=build,
            flags=flags,
            described=json.dumps(told, sort_keys=True),
            attachments=attachments,
            volumes=tuple(volumes),
            depends_on=tuple(_dependencies(one, lender)),
            test=test,
            container_name=container_name,
            profiles=tuple(one.words("profiles")),
            scale=scale,
            lender=lender,
            grants=tuple(granted),
        )
        one.done()
        return service

    def _build(self, one: Section) -> Build | None:
        if "build" not in one:
            return None
        return building.described(one.section("build"), self._files[granting.SECRETS])

    def _environment(self, one: Section) -> list[str]:
        found: dict[str, str] = {}
        for number, value in enumerate(one.items("env_file")):
            entry = one.below(value, "env_file", str(number))
            path, form = entry.text("path"), entry.text("format")
            is_required = "required" not in entry or entry.switch("required")
            entry.take("required")
            entry.done()
            if form not in ("", "raw"):
                raise entry.fault(f"no such format: {form[:40]}", "use raw, or none", "format")
            if is_required or os.path.exists(path):
                found.update(read_variables(Path(path), self._variables, is_raw=form == "raw"))
        for key, text in one.pairs("environment").items():
            if text is None:
                found.pop(key, None)
            else:
                found[key] = text
        return [f"{key}={value}" for key, value in found.items()]

    def _attachments(
        self, name: str, one: Section
    ) -> tuple[tuple[Attachment, ...], tuple[str, ...]]:
        """Its networks by their names on this host; or none, in the words of ``--network``."""
        if mode := one.text("network_mode"):
            if "networks" in one:
                raise one.fault("networks: excludes it", "leave out one of them", "network_mode")
            is_others = any(mode.startswith(one) and mode != one for one in (LENT, "container:"))
            if mode not in ("none", "host") and not is_others:
                hint = "use none, host, service:NAME or container:NAME"
                raise one.fault(f"not supported: {mode[:40]}", hint, "network_mode")
            return (), (mode,)
        listed = one.below(one.take("networks") or {DEFAULT: None}, "networks")
        found = []
        for key in listed.names():
            wish = listed.section(key)
            if key not in self._networks and key != DEFAULT:
                raise wish.fault("there is no such network below networks:")
            entry = self._networks.get(key)
            aliases = dict.fromkeys((*wish.words("aliases"), name))
            found.append(
                Attachment(
                    network=entry.name if entry else f"{self._project}_{DEFAULT}",
                    ip=wish.text("ipv4_address"),
                    ip6=wish.text("ipv6_address"),
                    mac=wish.text("mac_address"),
                    aliases=tuple(aliases),
                )
            )
            wish.done()
        return tuple(found), tuple(each.network for each in found) or ("none",)


def _command(one: Section) -> dict[str, Any]:
    """``--entrypoint`` takes one word: the others begin the command."""
    entrypoint, command = one.command("entrypoint"), one.command("command") or []
    if entrypoint is None:
        return {"command": tuple(command)}
    first = entrypoint[0] if entrypoint else ""
    return {"entrypoint": first, "command": (*entrypoint[1:], *command)}


def _plain(one: Section) -> dict[str, Any]:
    """What has a flag of the same meaning."""
    hosts = one.take("extra_hosts") or []
    if isinstance(hosts, Mapping):
        hosts = [f"{name}:{address}" for name, address in hosts.items()]
    grace_s = one.duration_s("stop_grace_period")
    one.take("init")  # there is one always
    return {
        "user": one.text("user") or None,
        "workdir": one.text("working_dir") or None,
        "hostname": one.text("hostname"),
        "label": tuple(f"{key}={value or ''}" for key, value in one.pairs("labels").items()),
        "cap_add": tuple(one.words("cap_add")),
        "cap_drop": tuple(one.words("cap_drop")),
        "read_only": one.switch("read_only"),
        "restart": one.text("restart", "no"),
        "stop_timeout": grace_s,
        "stop_signal": one.text("stop_signal") or None,
        "tty": one.switch("tty"),
        "interactive": one.switch("stdin_open"),
        "add_host": tuple(map(str, hosts)),
        "dns": tuple(one.words("dns")),
        "expose": tuple(one.words("expose")),
        "shm_size": one.text("shm_size") or None,
        "pulling": _pulling(one),
    }


def _pulling(one: Section) -> dict[str, str]:
    policy = one.text("pull_policy")
    when = {"if_not_present": "missing"}.get(policy, policy)
    if when not in ("", *WHEN):
        raise one.fault(f"no such policy: {policy[:40]}", f"use {', '.join(WHEN)}", "pull_policy")
    return {"pull": when} if when else {}


def _ports(one: Section) -> list[str]:
    found = []
    for number, value in enumerate(one.items("ports")):
        port = one.below(value, "ports", str(number))
        target, published = port.text("target"), port.text("published")
        host_ip, protocol = port.text("host_ip"), port.text("protocol", "tcp")
        port.take("name")
        port.take("mode")  # host or ingress: without a swarm they are the same
        port.done()
        address = f"[{host_ip}]:" if ":" in host_ip else f"{host_ip}:" if host_ip else ""
        host = f"{address}{published}:" if published or address else ""
        found.append(f"{host}{target}/{protocol}")
    return found


def _dependencies(one: Section, lender: str) -> list[Dependency]:
    """Those that it names; whose network it has must run, too."""
    listed = one.section("depends_on")
    found = [Dependency(service=lender)] if lender and lender not in listed else []
    for name in listed.names():
        each = listed.section(name)
        condition = each.text("condition", STARTED)
        if condition not in (STARTED, HEALTHY, COMPLETED):
            raise each.fault(
                f"no such condition: {condition[:40]}",
                f"use {STARTED}, {HEALTHY} or {COMPLETED}",
                "condition",
            )
        required = "required" not in each or each.switch("required")
        each.take("required")
        found.append(Dependency(service=name, condition=condition, required=required))
        each.take("restart")
        each.done()
    return found


def _health(one: Section) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Flags of `run`, and the test if that is a program of its own and no shell's line."""
    health = one.section("healthcheck")
    test = health.take("test")
    words = [str(word) for word in test] if isinstance(test, list) else []
    flags: dict[str, Any] = {
        f"health_{key}": health.text(key) or None
        for key in ("interval", "timeout", "start_period", "start_interval")
    }
    flags["health_retries"] = health.number("retries")
    if health.switch("disable") or words == ["NONE"]:
        flags = {"no_healthcheck": True}
    elif isinstance(test, str):
        flags["health_cmd"] = test
    elif words[:1] == ["CMD-SHELL"] and len(words) == 2:
        flags["health_cmd"] = words[1]
    elif words[:1] == ["CMD"] and len(words) > 1:
        flags["health_cmd"] = " ".join(words[1:])
    elif test is not None:
        raise health.fault("not a test", "write a line, or a list after CMD or CMD-SHELL", "test")
    health.done()
    return flags, tuple(words) if words[:1] == ["CMD"] else ()


def _scale(one: Section, deploy: Section) -> int:
    mode = deploy.text("mode", "replicated")
    if mode != "replicated":
        raise deploy.fault(f"there is no swarm for it: {mode[:40]}", "leave it out", "mode")
    counts = {one.number("scale"), deploy.number("replicas")} - {None}
    if len(counts) > 1:
        raise one.fault("deploy.replicas says another number", "leave out one of them", "scale")
    count = counts.pop() if counts else 1
    assert count is not None
    if count > MAX_SCALE:
        raise one.fault(f"too many containers: {count}", f"at most {MAX_SCALE}", "scale")
    return count


def _limits(deploy: Section) -> dict[str, Any]:
    resources = deploy.section("resources")
    limits = resources.section("limits")
    reservations = resources.section("reservations")
    found = {
        "memory": limits.text("memory") or None,
        "cpus": limits.text("cpus") or None,
        "pids_limit": limits.text("pids") or None,
        "memory_reservation": reservations.text("memory") or None,
    }
    for section in (limits, reservations, resources, deploy):
        section.done()
    return found
