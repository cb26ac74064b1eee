"""The short forms of a compose file written out: what is put on one another has one form only.

Paths become absolute here, as each file has a directory of its own that they begin at.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wardian.build.remote import is_remote
from wardian.compose.document import Document
from wardian.compose.project import OF_SERVICE, STARTED
from wardian.compose.section import Section
from wardian.errors import InvalidInput
from wardian.network import ports

_WORDS = ("dns", "dns_search", "expose", "profiles", "tmpfs")
_SHORT_MODES = ("ro", "rw", "z", "Z", "nocopy")


def write_out(document: Document, directory: Path, variables: Mapping[str, str]) -> None:
    """Change a file's tree to its long forms. InvalidInput, with the place, for what is none."""
    top = Section(document, (), document.tree)
    writer = _Writer(directory, variables)
    for kind in ("secrets", "configs"):
        for key, one in top.sections(kind):
            writer.path(document.tree[kind][key], "file", one)
    for key, one in top.sections("services"):
        if one.names():
            writer.service(one, document.tree["services"][key])


class _Writer:
    """Writes out what one file says."""

    def __init__(self, directory: Path, variables: Mapping[str, str]) -> None:
        self._directory = directory
        self._variables = variables

    def path(self, values: dict[str, Any] | None, name: str, one: Section) -> None:
        """Make a path absolute, if there is one."""
        if values and values.get(name) is not None:
            values[name] = self._absolute(one.text(name))

    def _absolute(self, word: str) -> str:
        return os.path.normpath(os.path.join(self._directory, os.path.expanduser(word)))

    def service(self, one: Section, values: dict[str, Any]) -> None:
        """Change the values of a service."""
        made: dict[str, Any] = {
            "build": self._build,
            "command": lambda one: one.command("command"),
            "entrypoint": lambda one: one.command("entrypoint"),
            "environment": lambda one: self._filled(one.pairs("environment")),
            "labels": lambda one: one.pairs("labels"),
            "depends_on": _depends_on,
            "env_file": self._env_files,
            "networks": lambda one: _by_name(one, "networks"),
            "volumes": self._volumes,
            "ports": _ports,
            "secrets": lambda one: _granted(one, "secrets"),
            "configs": lambda one: _granted(one, "configs"),
            "healthcheck": _healthcheck,
            **{name: lambda one, name=name: one.words(name) for name in _WORDS},
        }
        for name in [name for name in values if name in made and values[name] is not None]:
            values[name] = made[name](one)

    def _filled(self, pairs: Mapping[str, str | None]) -> dict[str, str | None]:
        """What has no value has that of the environment, if it is there."""
        return {
            key: self._variables.get(key) if text is None else text for key, text in pairs.items()
        }

    def _build(self, one: Section) -> dict[str, Any]:
        value = one.take("build")
        given = {"context": value} if isinstance(value, str) else value
        build = one.below(given, "build")
        args = build.pairs("args")
        found: dict[str, Any] = {"context": ".", **given}
        self._place(found, "context", build.text("context") or ".")
        if args:
            found["args"] = self._filled(args)
        if contexts := build.pairs("additional_contexts"):
            found["additional_contexts"] = {}
            for name, word in contexts.items():
                self._place(found["additional_contexts"], name, word or "")
        if "secrets" in build:
            found["secrets"] = _granted(build, "secrets")
        if "ssh" in build:
            agents = build.pairs("ssh")
            found["ssh"] = [f"{key}={path}" if path else key for key, path in agents.items()]
        return found

    def _place(self, values: dict[str, Any], name: str, word: str) -> None:
        """A directory of the host's, or an address, which stays as it is."""
        is_address = is_remote(word) or "://" in word or word.startswith(OF_SERVICE)
        values[name] = word if is_address else self._absolute(word)

    def _env_files(self, one: Section) -> list[dict[str, Any]]:
        found = []
        for number, value in enumerate(one.items("env_file")):
            given = {"path": value} if isinstance(value, str) else value
            entry = one.below(given, "env_file", str(number))
            if not entry.text("path"):
                raise entry.fault("it has no path", "write path: FILE")
            found.append({**given, "path": self._absolute(entry.text("path"))})
        return found

    def _volumes(self, one: Section) -> list[Any]:
        found = []
        for number, value in enumerate(one.items("volumes")):
            entry = dict(value) if isinstance(value, Mapping) else _short(one, value, str(number))
            if entry.get("type") == "bind":
                self.path(entry, "source", one.below(entry, "volumes", str(number)))
            found.append(entry)
        return found


def _depends_on(one: Section) -> Any:
    value = one.take("depends_on")
    usual = {"condition": STARTED, "required": True}
    if isinstance(value, list):
        return {name: dict(usual) for name in one.words("depends_on")}
    return {
        name: {**usual, **each} if isinstance(each, Mapping) else each
        for name, each in one.section("depends_on").items_by_name()
    }


def _by_name(one: Section, name: str) -> Any:
    value = one.take(name)
    return dict.fromkeys(one.words(name)) if isinstance(value, list) else value


def _short(one: Section, value: object, number: str) -> dict[str, Any]:
    """``[SOURCE:]TARGET[:MODE]``."""
    word = str(value)
    parts = word.split(":")
    if len(parts) == 1:
        return {"type": "volume", "target": word}
    source, target, *rest = parts
    kind = "bind" if source.startswith(("/", ".", "~")) else "volume"
    found: dict[str, Any] = {"type": kind, "source": source, "target": target}
    modes = [mode for mode in ",".join(rest).split(",") if mode]
    for mode in modes:
        if mode not in _SHORT_MODES:
            raise one.fault(f"unknown option: {mode[:40]}", "use ro", "volumes", number)
    if "ro" in modes:
        found["read_only"] = True
    if "nocopy" in modes:
        found["volume"] = {"nocopy": True}
    return found


def _ports(one: Section) -> list[Any]:
    found: list[Any] = []
    for number, value in enumerate(one.items("ports")):
        if isinstance(value, Mapping):
            found.append({"mode": "ingress", "protocol": "tcp", **value})
            continue
        try:
            parsed = ports.parse(str(value))
        except InvalidInput as error:
            raise one.fault(error.what, error.hint, "ports", str(number)) from error
        for port in parsed:
            entry: dict[str, Any] = {"mode": "ingress", "target": port.container_port}
            if port.host_ip:
                entry["host_ip"] = port.host_ip
            if port.host_port:
                last = f"-{port.host_port_end}" if port.host_port_end > port.host_port else ""
                entry["published"] = f"{port.host_port}{last}"
            found.append({**entry, "protocol": port.protocol.value})
    return found


def _granted(one: Section, kind: str) -> list[Any]:
    return [{"source": each} if isinstance(each, str) else each for each in one.items(kind)]


def _healthcheck(one: Section) -> Any:
    value = one.take("healthcheck")
    if isinstance(value, Mapping) and isinstance(value.get("test"), str):
        return {**value, "test": ["CMD-SHELL", value["test"]]}
    return value
