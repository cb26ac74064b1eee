"""The runtime-spec's own JSON schemas, held against a file: the words of draft 4 that they use.

Not by the jsonschema package: importing it takes longer than all of `run` may.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from wardian.errors import InvalidInput

FOLDER = Path(__file__).with_name("schemas")
_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
}


def check(tree: object, reference: str = "config-schema.json#") -> None:
    """InvalidInput names the first field that the schema does not allow."""
    if wrong := _wrong(tree, *_resolve(reference, ""), ""):
        raise InvalidInput(
            f"config.json: {wrong}", hint="config.md of the OCI runtime-spec has the rules"
        )


@functools.cache
def document(name: str) -> Any:
    """One of the schemas; those of other systems than Linux are not taken along."""
    path = FOLDER / name
    return msgspec.json.decode(path.read_bytes()) if path.exists() else None


def _resolve(reference: str, home: str) -> tuple[Mapping[str, Any], str]:
    name, _, pointer = reference.partition("#")
    found = document(name or home)
    for step in filter(None, pointer.split("/")):
        found = found[step] if found is not None else None
    return (found if found is not None else {}), name or home


def _wrong(value: object, rule: Mapping[str, Any], home: str, at: str) -> str:
    """What is wrong with a value at a dotted path; nothing if it is right."""
    while "$ref" in rule:
        rule, home = _resolve(rule["$ref"], home)
    for each in rule.get("allOf", ()):
        if wrong := _wrong(value, each, home, at):
            return wrong
    choices = rule.get("anyOf", ())
    if choices and all(_wrong(value, each, home, at) for each in choices):
        return f"{at or 'the whole'} is none of what it may be"
    if wrong := _wrong_kind(value, rule):
        return f"{at or 'the file'}: {wrong}"
    if isinstance(value, dict):
        return _wrong_object(value, rule, home, at)
    if isinstance(value, list):
        for number, item in enumerate(value):
            if wrong := _wrong(item, rule.get("items", {}), home, f"{at}[{number}]"):
                return wrong
    return ""


def _wrong_kind(value: Any, rule: Mapping[str, Any]) -> str:
    kind = rule.get("type")
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if kind is not None and (
        not isinstance(value, _TYPES[kind]) or (kind == "integer" and not is_number)
    ):
        return f"expected {kind}, got {type(value).__name__}"
    if "enum" in rule and value not in rule["enum"]:
        return f"{str(value)[:40]!r} is none of {', '.join(map(str, rule['enum']))}"
    if is_number and not rule.get("minimum", value) <= value <= rule.get("maximum", value):
        return f"{value} is out of range"
    if isinstance(value, str) and not re.search(rule.get("pattern", ""), value):
        return f"{value[:40]!r} does not match {rule['pattern']}"
    if isinstance(value, list) and len(value) < rule.get("minItems", 0):
        return "it has too few items"
    return ""


def _wrong_object(value: Mapping[str, Any], rule: Mapping[str, Any], home: str, at: str) -> str:
    prefix = f"{at}." if at else ""
    for name in rule.get("required", ()):
        if name not in value:
            return f"{prefix}{name} is missing"
    properties = rule.get("properties", {})
    patterns = rule.get("patternProperties", {})
    others = rule.get("additionalProperties", {})
    for name, item in value.items():
        rules = [each for pattern, each in patterns.items() if re.search(pattern, name)]
        if name in properties:
            rules.append(properties[name])
        elif not rules and isinstance(others, dict):
            rules.append(others)
        elif not rules and others is False:
            return f"{prefix}{name[:60]} is not of the spec"
        for each in rules:
            if wrong := _wrong(item, each, home, prefix + name[:60]):
                return wrong
    return ""
