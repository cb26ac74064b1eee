"""The keys that a chart's values may have, by its published schema, one a line.

    python -m tests.hub.chart_keys values.schema.yaml > tests/hub/NAME.keys

A line is a key's path and the types of its value; `*` ends the path of a mapping or list whose
parts the chart does not know, such as pieces of a pod, and a schema's pattern of keys counts so.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Schema = dict[str, Any]
JSON_TYPES = {
    dict: {"object"},
    list: {"array"},
    str: {"string"},
    bool: {"boolean"},
    int: {"integer", "number"},
    float: {"number"},
}


def keys_of(schema: Schema, path: str = "") -> Iterator[str]:
    """A line for each value that may be given."""
    parts = schema.get("properties", {})
    for name, part in parts.items():
        yield from keys_of(part, f"{path}.{name}" if path else name)
    is_mapping = "object" in _types(schema)
    is_closed = schema.get("additionalProperties") is False and "patternProperties" not in schema
    if not parts or (is_mapping and not is_closed and path):
        ending = ".*" if is_mapping and not is_closed else ""
        yield f"{path}{ending} {' '.join(_types(schema))}"


def _types(schema: Schema) -> list[str]:
    """With the choices of an enumeration instead of its type."""
    if "enum" in schema:
        return [json.dumps(choice) for choice in schema["enum"]]
    types = schema.get("type", "any")
    return [types] if isinstance(types, str) else list(types)


class Keys:
    """What a chart takes, read from the lines."""

    def __init__(self, text: str) -> None:
        lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
        self._types = {path: set(types) for path, *types in lines}

    def complaints(self, value: Any, path: str = "") -> list[str]:
        """What the chart would have against values."""
        if path and (types := self._types.get(path)) is not None:
            mine = JSON_TYPES.get(type(value), set()) | {json.dumps(value), "any"}
            return [] if mine & types else [f"{path}: {value!r} is none of {sorted(types)}"]
        if isinstance(value, dict) and (not path or self._has_parts(path)):
            found = []
            for name, part in value.items():
                found += self.complaints(part, f"{path}.{name}" if path else name)
            return found
        return [] if self._is_open(path) else [f"{path}: there is no such key"]

    def _has_parts(self, path: str) -> bool:
        return any(one.startswith(f"{path}.") and one != f"{path}.*" for one in self._types)

    def _is_open(self, path: str) -> bool:
        steps = path.split(".")
        return any(".".join([*steps[:end], "*"]) in self._types for end in range(1, len(steps) + 1))


if __name__ == "__main__":
    schema = yaml.safe_load(Path(sys.argv[1]).read_text())
    sys.stdout.write("\n".join(sorted(keys_of(schema))) + "\n")
