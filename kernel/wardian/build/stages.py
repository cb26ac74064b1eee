"""A Dockerfile as its stages: what each is made from, its instructions, what it can be given."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from wardian.build.expansion import Expander
from wardian.build.faults import DockerfileError
from wardian.build.parser import FORMS, Dockerfile
from wardian.build.tree import Node

STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*")
INSTRUCTIONS = frozenset({*FORMS, "onbuild"})
PREDEFINED = frozenset(
    name
    for word in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
    for name in (word, word.upper())
)


class Instruction(msgspec.Struct, frozen=True):
    """One instruction of a stage; ``name`` is in capitals."""

    name: str
    node: Node

    @property
    def words(self) -> list[str]:
        """Its arguments as they are written."""
        return self.node.words

    @property
    def line(self) -> int:
        """Where it begins, from 1."""
        return self.node.start_line

    def fault(self, reason: str, hint: str = "", place: str = "") -> DockerfileError:
        """An error that points here, at ``place`` if that is in the instruction."""
        return DockerfileError(
            reason, line=self.line, text=self.node.source, hint=hint, place=place
        )


class Stage(msgspec.Struct, kw_only=True):
    """One stage. ``base`` is as written; ``name`` is "" where it has none."""

    index: int
    name: str
    base: str
    platform: str
    source: Instruction
    instructions: list[Instruction] = msgspec.field(default_factory=list)

    @property
    def label(self) -> str:
        """What it is called in messages: its name or its number."""
        return self.name or f"stage-{self.index}"


class Recipe(msgspec.Struct):
    """The whole: ARGs before the first FROM, and the stages."""

    globals: list[Instruction]
    stages: list[Stage]
    escape: str

    def stage(self, word: str, before: int | None = None) -> Stage | None:
        """The stage of this name or number, among the first ``before`` ones."""
        known = self.stages[:before]
        for stage in reversed(known):
            if stage.name and stage.name == word.lower():
                return stage
        is_number = word.isascii() and word.isdigit() and len(word) < 6
        return known[int(word)] if is_number and int(word) < len(known) else None

    def unused(self, given: Iterable[str]) -> list[str]:
        """Those of the names that no ARG takes, and that RUN does not see without one."""
        all_of_them = [*self.globals, *(one for each in self.stages for one in each.instructions)]
        taken = {name for one in all_of_them if one.name == "ARG" for name, _ in arg_pairs(one)}
        known = {*taken, *PREDEFINED, *platform_arguments(), "SOURCE_DATE_EPOCH"}
        return sorted(name for name in set(given) - known if not name.startswith("BUILDKIT_"))

    def target(self, word: str) -> Stage:
        """The stage that ``--target`` names, the last one for "". Raises DockerfileError."""
        if not word:
            return self.stages[-1]
        if (stage := self.stage(word)) is None:
            names = ", ".join(stage.label for stage in self.stages)
            raise DockerfileError(
                f"target stage {word[:60]!r} could not be found", hint=f"there are: {names}"
            )
        return stage


def recipe(file: Dockerfile) -> Recipe:
    """Sort the instructions into stages. Raises DockerfileError for an unknown one."""
    found = Recipe([], [], file.escape)
    for node in file.root.children:
        one = Instruction(node.value.upper(), node)
        if node.value.lower() not in INSTRUCTIONS:
            raise one.fault(
                f"unknown instruction: {node.value[:60]}", _nearest(node.value), node.value
            )
        if one.name == "ONBUILD":
            _check_trigger(one)
        if one.name == "FROM":
            found.stages.append(_stage(one, len(found.stages)))
        elif found.stages:
            found.stages[-1].instructions.append(one)
        elif one.name == "ARG":
            found.globals.append(one)
        else:
            raise one.fault("no build stage in current context", "begin with FROM IMAGE")
    if not found.stages:
        raise DockerfileError("no build stage in current context", hint="add a line FROM IMAGE")
    return found


def _check_trigger(one: Instruction) -> None:
    following = one.node.next
    if following is None or not following.children:
        raise one.fault("ONBUILD requires at least one argument", "write ONBUILD INSTRUCTION …")
    trigger = following.children[0].value
    if trigger.upper() == "ONBUILD":
        reason = "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"
        raise one.fault(reason, "write it once", trigger)
    if trigger.upper() in ("FROM", "MAINTAINER"):
        raise one.fault(
            f"{trigger.upper()} isn't allowed as an ONBUILD trigger", "leave it out", trigger
        )
    if trigger.lower() not in INSTRUCTIONS:
        raise one.fault(f"unknown instruction: {trigger[:60]}", _nearest(trigger), trigger)


def _nearest(word: str) -> str:
    from difflib import get_close_matches

    known = sorted(name.upper() for name in INSTRUCTIONS)
    near = get_close_matches(word.upper(), known, 1, 0.6)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"


def _stage(one: Instruction, index: int) -> Stage:
    base, *rest = one.words or [""]
    name = ""
    if rest:
        if len(rest) != 2 or rest[0].lower() != "as":
            raise one.fault(
                "FROM requires either one or three arguments", "write FROM IMAGE [AS NAME]"
            )
        name = rest[1].lower()
        if not STAGE_NAME.fullmatch(name):
            raise one.fault(
                f"invalid name for build stage: {rest[1][:60]!r}, name can't start with a number "
                "or contain symbols",
                "use letters, digits, '-', '_' and '.'",
            )
    if not base:
        raise one.fault("FROM requires either one or three arguments", "write FROM IMAGE [AS NAME]")
    flags = flag_values(one, {"platform"})
    return Stage(
        index=index, name=name, base=base, platform=flags.get("platform", [""])[-1], source=one
    )


def flag_values(one: Instruction, known: set[str]) -> dict[str, list[str]]:
    """An instruction's flags by name, each with its values; "" for a bare one."""
    values: dict[str, list[str]] = {}
    for flag in one.node.flags:
        name, _, value = flag.removeprefix("--").partition("=")
        if name not in known:
            listed = ", ".join(f"--{word}" for word in sorted(known))
            raise one.fault(
                f"unknown flag: --{name[:40]}",
                f"{one.name} takes {listed}" if listed else f"{one.name} takes no flags",
            )
        values.setdefault(name, []).append(value)
    return values


def is_set(values: Mapping[str, Sequence[str]], name: str, *, usual: bool = False) -> bool:
    """Whether a flag that needs no value is there and not ``=false``."""
    return values[name][-1] not in ("false", "0") if name in values else usual


def arg_pairs(one: Instruction) -> list[tuple[str, str | None]]:
    """The names of an ARG and their defaults as written."""
    if not one.words:
        raise one.fault("ARG requires at least one argument", "write ARG NAME[=DEFAULT]")
    pairs: list[tuple[str, str | None]] = []
    for word in one.words:
        name, equals, default = word.partition("=")
        if not name:
            raise one.fault("ARG names can not be blank", "write ARG NAME[=DEFAULT]")
        pairs.append((name, default if equals else None))
    return pairs


def global_arguments(found: Recipe, given: Mapping[str, str]) -> dict[str, str]:
    """ARGs before the first FROM with their values, for FROM lines and for ARGs of stages."""
    values: dict[str, str] = dict(platform_arguments())
    for one in found.globals:
        for name, default in arg_pairs(one):
            if name in given:
                values[name] = given[name]
            elif default is not None:
                values[name] = Expander(env=values, escape=found.escape).word(default)
    return values


def platform_arguments() -> dict[str, str]:
    """The ARGs that say for what is built, which is always this machine."""
    from wardian.images.manifest import architecture

    values: dict[str, str] = {}
    for kind in ("BUILD", "TARGET"):
        values[f"{kind}PLATFORM"] = f"linux/{architecture()}"
        values[f"{kind}OS"] = "linux"
        values[f"{kind}ARCH"] = architecture()
        values[f"{kind}VARIANT"] = ""
    return values


def outline(found: Recipe, target: str = "") -> dict[str, Any]:
    """What a build of the target can be given, and its stages, as a value for JSON."""
    wanted = found.target(target)
    return {
        "target": wanted.label,
        "args": [entry for one in _arguments(found, wanted) for entry in one],
        "stages": [
            {
                "index": stage.index,
                "name": stage.name,
                "base": stage.base,
                "description": _description(stage.source, stage.name),
                "line": stage.source.line,
                "instructions": [one.node.original.strip() for one in stage.instructions],
                "onbuild": [
                    one.node.original.strip() for one in stage.instructions if one.name == "ONBUILD"
                ],
            }
            for stage in found.stages
        ],
        "secrets": _mounts(wanted.instructions, "secret"),
        "ssh": _mounts(wanted.instructions, "ssh"),
    }


def _arguments(found: Recipe, wanted: Stage) -> list[list[dict[str, Any]]]:
    own = [one for one in wanted.instructions if one.name == "ARG"]
    return [
        [
            {
                "name": name,
                "value": default,
                "line": one.line,
                "description": _description(one, name),
            }
            for name, default in arg_pairs(one)
        ]
        for one in [*found.globals, *own]
    ]


def _description(one: Instruction, name: str) -> str:
    """What the comment above says of it, if that begins with the name (BuildKit's rule)."""
    told = (line for line in one.node.comments if line.startswith(f"{name} "))
    return next(told, "").removeprefix(f"{name} ")


def _mounts(instructions: Sequence[Instruction], kind: str) -> list[dict[str, Any]]:
    named: list[dict[str, Any]] = []
    for one in instructions:
        for flag in one.node.flags:
            name, _, value = flag.removeprefix("--").partition("=")
            fields = dict(part.partition("=")[::2] for part in value.split(","))
            if name == "mount" and fields.get("type") == kind:
                label = fields.get("id") or fields.get("target", "default").rpartition("/")[2]
                named.append({"name": label, "required": "required" in fields, "line": one.line})
    return named
