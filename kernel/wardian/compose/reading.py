"""From the tree of a compose file to the project that it describes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wardian.compose import mounting
from wardian.compose.document import Document
from wardian.compose.environment import read as read_variables
from wardian.compose.project import (
    COMPLETED,
    HEALTHY,
    STARTED,
    Build,
    Dependency,
    NetworkEntry,
    Project,
    Service,
    VolumeEntry,
)
from wardian.compose.section import Section
from wardian.errors import InvalidInput
from wardian.network.definition import Attachment

DEFAULT = "default"


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
    reader = _ServiceReader(name, directory, variables, networks, volumes)
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
        directory: Path,
        variables: Mapping[str, str],
        networks: Mapping[str, NetworkEntry],
        volumes: Mapping[str, VolumeEntry],
    ) -> None:
        self._project = project_name
        self._directory = directory
        self._variables = variables
        self._networks = networks
        self._volumes = volumes

    def read(self, name: str, one: Section) -> Service:
        """One of them. Raises InvalidInput."""
        build = self._build(one)
        image = one.text("image") or (f"{self._project}-{name}" if build else "")
        if not image:
            raise one.fault("it has neither an image nor a build", "add image: NAME")
        attachments, networks = self._attachments(name, one)
        mounts, volumes = mounting.words(one, self._directory, self._volumes)
        health, test = _health(one)
        flags: dict[str, Any] = {
            "image": image,
            **_command(one),
            "env": tuple(self._environment(one)),
            "publish": tuple(_ports(one)),
            "network": networks,
            "mount": tuple(mounts),
            "tmpfs": tuple(one.words("tmpfs")),
            "health": health,
            "limits": _limits(one.section("deploy")),
            **_plain(one),
        }
        service = Service(
            name=name,
            image=image,
            build=build,
            flags=flags,
            described=json.dumps([flags, test, repr(build), repr(attachments)], sort_keys=True),
            attachments=attachments,
            volumes=tuple(volumes),
            depends_on=tuple(_dependencies(one)),
            test=test,
            container_name=one.text("container_name"),
            profiles=tuple(one.words("profiles")),
        )
        one.done()
        return service

    def _build(self, one: Section) -> Build | None:
        if "build" not in one:
            return None
        if isinstance(value := one.take("build"), str):
            return Build(context=self._path(value))
        build = one.below(value, "build")
        found = Build(
            context=self._path(build.text("context", ".")),
            dockerfile=build.text("dockerfile") or None,
            target=build.text("target"),
            arguments={
                key: self._variables.get(key, "") if text is None else text
                for key, text in build.pairs("args").items()
            },
            labels=_filled(build.pairs("labels")),
        )
        build.done()
        return found

    def _path(self, word: str) -> str:
        return os.path.normpath(os.path.join(self._directory, os.path.expanduser(word)))

    def _environment(self, one: Section) -> list[str]:
        found: dict[str, str] = {}
        for number, value in enumerate(one.items("env_file")):
            entry = one.below({"path": value} if isinstance(value, str) else value, "env_file")
            path, required = entry.text("path"), entry.take("required")
            entry.done()
            if not path:
                raise one.fault("it has no path", "", "env_file", str(number))
            if required is False and not os.path.exists(self._path(path)):
                continue
            found.update(read_variables(Path(self._path(path)), self._variables))
        for key, text in one.pairs("environment").items():
            if text is not None:
                found[key] = text
            elif key in self._variables:
                found[key] = self._variables[key]
        return [f"{key}={value}" for key, value in found.items()]

    def _attachments(
        self, name: str, one: Section
    ) -> tuple[tuple[Attachment, ...], tuple[str, ...]]:
        """Its networks by their names on this host; or none, in the words of ``--network``."""
        if mode := one.text("network_mode"):
            if mode not in ("none", "host") or "networks" in one:
                raise one.fault(
                    f"not supported: {mode[:40]}", "use none or host, or networks:", "network_mode"
                )
            return (), (mode,)
        value = one.take("networks")
        if value is None:
            value = [DEFAULT]
        if isinstance(value, list):
            value = dict.fromkeys(map(str, value))
        listed = one.below(value, "networks")
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
    }


def _ports(one: Section) -> list[str]:
    found = []
    for number, value in enumerate(one.items("ports")):
        if not isinstance(value, Mapping):
            found.append(str(value))
            continue
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


def _dependencies(one: Section) -> list[Dependency]:
    value = one.take("depends_on")
    if isinstance(value, list):
        return [Dependency(service=str(name)) for name in value]
    listed = one.below(value, "depends_on")
    found = []
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
