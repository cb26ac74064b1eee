"""The spec's schemas: each of its fields is known to us, by effect or by refusal."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest

from wardian.errors import InvalidInput
from wardian.oci import config, description, schema

OTHER_SYSTEMS = {"solaris", "windows", "vm", "zos", "freebsd"}


def fields(rule: Mapping[str, Any], home: str, at: str = "") -> Iterator[str]:
    """Every property that a schema has, by dotted path; arrays are their items."""
    while "$ref" in rule:
        rule, home = schema._resolve(rule["$ref"], home)
    if "items" in rule:
        yield from fields(rule["items"], home, at)
    for each in (*rule.get("anyOf", ()), *rule.get("allOf", ())):
        yield from fields(each, home, at)
    for name, inner in rule.get("properties", {}).items():
        path = f"{at}.{name}" if at else name
        yield path
        yield from fields(inner, home, path)


def is_typed(path: str) -> bool:
    """Whether our types have the field; what is free below a dict or Any counts as had."""
    kind: Any = config.Config
    for name in path.split("."):
        found = list(structs(kind))
        if not found:
            return True
        hints = {
            each.encode_name: each.type for one in found for each in msgspec.structs.fields(one)
        }
        if name not in hints:
            return False
        kind = hints[name]
    return True


def structs(kind: Any) -> Iterator[type[msgspec.Struct]]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    elif isinstance(kind, types.UnionType) or typing.get_origin(kind) is tuple:
        for each in typing.get_args(kind):
            yield from structs(each)


@pytest.mark.parametrize(
    "path", sorted(set(fields(schema.document("config-schema.json"), "config-schema.json")))
)
def test_each_field_of_the_spec_is_honoured_or_refused_by_its_name(path: str) -> None:
    if path.split(".", maxsplit=1)[0] in OTHER_SYSTEMS:
        return
    prefixes = [path[:end] for end in range(len(path) + 1)]
    assert is_typed(path) or set(prefixes) & set(config.UNSUPPORTED)


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({}, "ociVersion is missing"),
        ({"ociVersion": 1}, "ociVersion: expected string"),
        ({"ociVersion": "1.0.0", "process": {"cwd": "/", "terminal": 1}}, "process.terminal"),
        ({"ociVersion": "1.0.0", "hooks": {"poststop": [{"args": []}]}}, "poststop[0].path"),
        ({"ociVersion": "1.0.0", "process": {"cwd": "/", "user": {"uid": -1}}}, "user.uid: -1"),
        ({"ociVersion": "1.0.0", "annotations": {"a": 1}}, "annotations.a: expected string"),
        ({"ociVersion": "1.0.0", "linux": {"resources": {"devices": [{}]}}}, "allow is missing"),
        ({"ociVersion": "1.0.0", "linux": {"rootfsPropagation": "x"}}, "'x' is none of private"),
    ],
)
def test_the_schema_names_what_is_wrong(tree: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        schema.check(tree)
    assert said in caught.value.what


def test_what_we_write_keeps_to_the_schemas() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    referencing = pytest.importorskip("referencing")
    from referencing.jsonschema import DRAFT4

    registry = referencing.Registry().with_resources(
        (path.name, DRAFT4.create_resource(schema.document(path.name)))
        for path in schema.FOLDER.glob("*.json")
    )
    for name, tree in (
        ("features-schema.json", description.features()),
        ("config-schema.json", description.example()),
    ):
        rule = {**schema.document(name)}
        rule["properties"] = {
            key: each for key, each in rule["properties"].items() if key not in OTHER_SYSTEMS
        }
        jsonschema.Draft4Validator(rule, registry=registry).validate(
            msgspec.json.decode(msgspec.json.encode(tree))
        )
        schema.check(tree, f"{name}#")
