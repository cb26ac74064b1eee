"""A project's whole model: its files put on one another, with what they include and extend."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from wardian.compose import canonical, document, environment
from wardian.compose.document import Document, Key
from wardian.compose.merging import put_tagged
from wardian.compose.section import Section
from wardian.errors import InvalidInput

MAX_DEPTH = 16  # of files that name one another
_KINDS = ("services", "networks", "volumes", "secrets", "configs")


class _Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where what is read belongs to, and the files that led there."""

    directory: Path
    variables: Mapping[str, str]
    chain: tuple[Path, ...] = ()

    def leading_to(self, path: Path) -> _Origin:
        """The same, a file further. InvalidInput for a circle."""
        if path in self.chain or len(self.chain) >= MAX_DEPTH:
            way = " → ".join(str(one) for one in (*self.chain, path))
            raise InvalidInput(f"compose files name each other in a circle: {way[:400]}")
        return _Origin(
            directory=self.directory, variables=self.variables, chain=(*self.chain, path)
        )


def load(paths: Sequence[Path], directory: Path, variables: Mapping[str, str]) -> Document:
    """Read files, each on top of those before, in canonical form. InvalidInput with the place."""
    return _load(paths, _Origin(directory=directory, variables=variables))


def _load(paths: Sequence[Path], origin: _Origin) -> Document:
    whole = Document({})
    for path in paths:
        one = _file(path, origin.leading_to(path.resolve()))
        put_tagged(whole.tree, one.tree, one.tags)
        whole.places.update(one.places)
    return whole


def _file(path: Path, origin: _Origin) -> Document:
    """One file with what it includes, its services with what they extend."""
    found = document.read(path, origin.variables)
    canonical.write_out(found, origin.directory, origin.variables)
    family = _Family(found, origin)
    for name in list(_services(found)):
        family.settle(name)
    _include(found, origin)
    return found


def _services(one: Document) -> dict[str, Any]:
    values = one.tree.get("services")
    return values if isinstance(values, dict) else {}


# --- include -------------------------------------------------------------------------------------


def _include(into: Document, origin: _Origin) -> None:
    top = Section(into, (), into.tree)
    for number, value in enumerate(top.items("include")):
        entry = top.below(
            value if isinstance(value, Mapping) else {"path": value}, "include", str(number)
        )
        paths = [_path(origin.directory, word) for word in entry.words("path")]
        if not paths:
            raise entry.fault("it has no path", "write path: FILE")
        word = entry.text("project_directory")
        directory = _path(origin.directory, word) if word else paths[0].parent
        files = [_path(origin.directory, word) for word in entry.words("env_file")]
        entry.done()
        variables = {
            **environment.read_all(files, directory, origin.variables),
            **origin.variables,
        }
        other = _load(paths, _Origin(directory=directory, variables=variables, chain=origin.chain))
        _import(into, other)
    into.tree.pop("include", None)


def _import(into: Document, other: Document) -> None:
    """What is included may be named once: nothing is changed behind its back."""
    for kind in _KINDS:
        theirs = other.tree.get(kind) or {}
        ours = into.tree.get(kind) or {}
        for key in theirs:
            if key in ours and ours[key] != theirs[key]:
                raise InvalidInput(
                    f"{into.place((kind, key))}: it is in an included file, too,"
                    f" at {other.place((kind, key)).partition(': ')[0]}",
                    hint="call it something else, or change it in a file of -f",
                )
        if theirs:
            into.tree[kind] = {**theirs, **ours}
    into.learn(other)


def _path(directory: Path, word: str) -> Path:
    return Path(os.path.normpath(directory / os.path.expanduser(word)))


# --- extends -------------------------------------------------------------------------------------


class _Family:
    """The services of one file, of which some extend others."""

    def __init__(self, found: Document, origin: _Origin) -> None:
        self.document = found
        self.services = _services(found)
        self._origin = origin
        self._open: list[str] = []

    def settle(self, name: str) -> dict[str, Any]:
        """A service with all that it extends below it. InvalidInput."""
        values = self.services[name]
        if not isinstance(values, dict) or "extends" not in values:
            return values if isinstance(values, dict) else {}
        one = Section(self.document, ("services", name), values)
        if name in self._open:
            raise one.fault("services extend each other in a circle", "", "extends")
        self._open.append(name)
        base = self._base(name, one)
        values.pop("extends")
        put_tagged(base, values, self._tags(name))
        self.services[name] = base
        self._open.remove(name)
        return base

    def _tags(self, name: str) -> dict[Key, str]:
        """Those in a service, by where they are in it."""
        found = self.document.tags.items()
        return {key[2:]: tag for key, tag in found if key[:2] == ("services", name) and key[2:]}

    def _base(self, name: str, one: Section) -> dict[str, Any]:
        value = one.take("extends")
        extends = one.below({"service": value} if isinstance(value, str) else value, "extends")
        service, file = extends.text("service"), extends.text("file")
        extends.done()
        family = self if not file else self._other(_path(self._origin.directory, file))
        if service not in family.services:
            raise extends.fault(f"there is no service {service[:80]!r} there")
        base = copy.deepcopy(family.settle(service))
        self.document.learn(family.document, ("services", name), ("services", service))
        return base

    def _other(self, path: Path) -> _Family:
        """The services of another file, whose paths begin where it is."""
        origin = self._origin.leading_to(path)
        origin = _Origin(directory=path.parent, variables=origin.variables, chain=origin.chain)
        found = document.read(path, origin.variables)
        canonical.write_out(found, origin.directory, origin.variables)
        return _Family(found, origin)
