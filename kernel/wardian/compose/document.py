"""Compose files: found, read, filled in with variables.

A file is read as YAML 1.2 has it, as docker's reader does: ``yes`` and ``on`` are words, ``22:22``
is no number. Every value knows its place, so that what is wrong can be pointed at.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from wardian.compose.interpolation import interpolated
from wardian.errors import InvalidInput, NotFound

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
MAX_BYTES = 4 << 20
MAX_VALUES = 100_000  # aliases can make more of a short file
MAX_DEPTH = 64
Key = tuple[str, ...]
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS = {"true": True, "True": True, "false": False, "False": False}
_NULLS = ("", "~", "null", "Null", "NULL")
# YAML's own tags, of which most stand for nothing that is written.
_TAG = "tag:yaml.org,2002:"
# compose-spec, 13-merge.md: below such a value nothing counts of files that came before; and of one
# that is reset, nothing at all.
RESET, OVERRIDE = "!reset", "!override"
_KINDS = {"map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge", "value"}


class Document(msgspec.Struct):
    """The tree of values, in which file and line each key is, and which bear a tag of compose's."""

    tree: dict[str, Any]
    places: dict[Key, str] = msgspec.field(default_factory=dict)
    tags: dict[Key, str] = msgspec.field(default_factory=dict)

    def learn(self, other: Document, here: Key = (), there: Key = ()) -> None:
        """What comes from another document stands where it stood there."""
        for key, place in list(other.places.items()):
            if key[: len(there)] == there and len(key) > len(there):
                self.places.setdefault((*here, *key[len(there) :]), place)

    def place(self, key: Key) -> str:
        """``compose.yaml:12: services.web.ports``, or the nearest that is known."""
        for length in range(len(key), 0, -1):
            if found := self.places.get(key[:length]):
                return f"{found}: {'.'.join(key)}"
        return ".".join(key)


def find(directory: Path) -> list[Path]:
    """The compose file of a directory or of one above it, and its override. NotFound."""
    for folder in (directory, *directory.parents):
        for name in NAMES:
            if (folder / name).is_file():
                stem, _, ending = name.rpartition(".")
                overrides = [folder / f"{stem}.override.{end}" for end in (ending, "yml", "yaml")]
                more = next((one for one in overrides if one.is_file()), None)
                return [folder / name, *([more] if more else [])]
    raise NotFound(
        f"no compose file in {directory} or above it",
        hint=f"name one with -f, or make {NAMES[0]}",
    )


def read(path: Path, variables: Mapping[str, str]) -> Document:
    """Read one file. Raises InvalidInput with the place, NotFound."""
    return _Reader(path, variables).read()


class _Reader:
    """One file."""

    def __init__(self, path: Path, variables: Mapping[str, str]) -> None:
        self._path = path
        relative = os.path.relpath(path)
        self._label = str(path) if relative.startswith("..") else relative
        self._variables = variables
        self._values = 0
        self._places: dict[Key, str] = {}
        self._tags: dict[Key, str] = {}

    def read(self) -> Document:
        try:
            data = self._path.read_bytes()
        except OSError as error:
            raise NotFound(f"cannot read {self._path}: {error.strerror}") from error
        if len(data) > MAX_BYTES:
            raise InvalidInput(f"{self._label} is too big to be a compose file")
        loader = yaml.SafeLoader(data)
        try:
            node = loader.get_single_node()
            tree = self._item(loader, node, ()) if node is not None else {}
        except (yaml.YAMLError, RecursionError) as error:
            raise InvalidInput(f"{self._label}: {_why(error)}", hint="it is no YAML") from error
        finally:
            loader.dispose()
        if not isinstance(tree, dict):
            raise InvalidInput(
                f"{self._label}: the file is no mapping", hint="begin with services:"
            )
        return Document(tree, self._places, self._tags)

    def _tagged(self, loader: yaml.SafeLoader, node: yaml.Node, key: Key) -> Any:
        """The value of a key: nothing if it is reset."""
        if node.tag not in (RESET, OVERRIDE):
            self._understand(node, key)
            return self._value(loader, node, key)
        self._tags[key] = node.tag
        return None if node.tag == RESET else self._value(loader, node, key)

    def _understand(self, node: yaml.Node, key: Key) -> None:
        if node.tag.removeprefix(_TAG) not in _KINDS:
            raise self._fault(node, key, f"tags are not understood: {node.tag[:60]}")

    def _value(self, loader: yaml.SafeLoader, node: yaml.Node, key: Key) -> Any:
        self._values += 1
        if self._values > MAX_VALUES or len(key) > MAX_DEPTH:
            raise InvalidInput(f"{self._label}: it has too many values", hint="mind its aliases")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(loader, node, key)
        if isinstance(node, yaml.SequenceNode):
            return [self._item(loader, one, (*key, str(n))) for n, one in enumerate(node.value)]
        return self._scalar(node, key)

    def _item(self, loader: yaml.SafeLoader, node: yaml.Node, key: Key) -> Any:
        self._understand(node, key)
        return self._value(loader, node, key)

    def _mapping(self, loader: yaml.SafeLoader, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        own = {id(one) for one, _ in node.value}
        loader.flatten_mapping(node)  # `<<`: what is merged comes first
        found: dict[str, Any] = {}
        seen: set[str] = set()
        for name_node, value_node in node.value:
            if not isinstance(name_node, yaml.ScalarNode):
                raise self._fault(name_node, key, "a key is no word")
            name = str(name_node.value)
            if id(name_node) in own and name in seen:
                raise self._fault(name_node, (*key, name), "the key is there twice")
            seen |= {name} if id(name_node) in own else set()
            here = (*key, name)
            self._places[here] = f"{self._label}:{name_node.start_mark.line + 1}"
            found[name] = self._tagged(loader, value_node, here)
        return found

    def _scalar(self, node: yaml.Node, key: Key) -> Any:
        text = str(node.value)
        try:
            filled = interpolated(text, self._variables)
        except InvalidInput as error:
            raise InvalidInput(f"{self._at(node, key)}: {error.what}", hint=error.hint) from error
        is_plain = isinstance(node, yaml.ScalarNode) and node.style is None
        return _typed(filled) if is_plain and (filled or not text) else filled

    def _at(self, node: yaml.Node, key: Key) -> str:
        return f"{self._label}:{node.start_mark.line + 1}: {'.'.join(key)}"

    def _fault(self, node: yaml.Node, key: Key, what: str) -> InvalidInput:
        return InvalidInput(f"{self._at(node, key)}: {what}")


def _typed(text: str) -> Any:
    """The core schema of YAML 1.2."""
    if text in _WORDS:
        return _WORDS[text]
    if text in _NULLS:
        return None
    if _INT.fullmatch(text):
        is_old_octal = re.fullmatch(r"0[0-7]+", text) is not None  # docker's reader takes it, too
        return int(text, 8 if is_old_octal else 0 if text[:2] in ("0o", "0x") else 10)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _why(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "it cannot be read"
    return f"line {mark.line + 1}: {problem}" if mark else str(problem)
