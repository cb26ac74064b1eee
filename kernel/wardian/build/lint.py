"""Lint warnings, in BuildKit's words (frontend/dockerfile/linter/ruleset.go)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from wardian.build.parser import Dockerfile, LintWarning
from wardian.build.stages import Instruction, Recipe, Stage
from wardian.build.tree import quoted

_SECRET = re.compile(
    r"(?:^|_)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:$|_)"
)
_RESERVED = frozenset({"scratch", "context"})
_ONLY_LAST = frozenset({"CMD", "ENTRYPOINT", "HEALTHCHECK"})


def warnings(file: Dockerfile, recipe: Recipe) -> list[LintWarning]:
    """Everything that deserves a look; ``# check=skip=…`` leaves rules out."""
    found = [*file.warnings, *_casing(file), *_names(recipe)]
    for stage in recipe.stages:
        found += _of_stage(stage)
    check = file.directives.get("check", "")
    skipped = check.partition("skip=")[2].partition(";")[0].split(",")
    if "all" in skipped:
        return []
    kept = [one for one in found if one.rule not in skipped]
    return sorted(kept, key=lambda one: one.line)


def _casing(file: Dockerfile) -> Iterator[LintWarning]:
    words = [(node.value, node.start_line) for node in file.root.children]
    counts = Counter("upper" if word.isupper() else "lower" for word, _ in words)
    majority = "lowercase" if counts["lower"] > counts["upper"] else "uppercase"
    for word, line in words:
        if word != (word.lower() if majority == "lowercase" else word.upper()):
            text = f"Command '{word}' should match the case of the command majority ({majority})"
            yield LintWarning("ConsistentInstructionCasing", text, line)


def _names(recipe: Recipe) -> Iterator[LintWarning]:
    seen: set[str] = set()
    for stage in recipe.stages:
        line, words = stage.source.line, stage.source.words
        if len(words) == 3:
            keyword = stage.source.node.value
            if keyword.isupper() != words[1].isupper():
                text = f"'{words[1]}' and '{keyword}' keywords' casing do not match"
                yield LintWarning("FromAsCasing", text, line)
            if words[2] != words[2].lower():
                text = f"Stage name '{words[2]}' should be lowercase"
                yield LintWarning("StageNameCasing", text, line)
        if stage.name in _RESERVED:
            text = f"Stage name should not use the same name as reserved stage {quoted(stage.name)}"
            yield LintWarning("ReservedStageName", text, line)
        if stage.name and stage.name in seen:
            text = f"Duplicate stage name {quoted(stage.name)}, stage names should be unique"
            yield LintWarning("DuplicateStageName", text, line)
        seen.add(stage.name)


def _of_stage(stage: Stage) -> Iterator[LintWarning]:
    counts = Counter(one.name for one in stage.instructions)
    for one in stage.instructions:
        yield from _of_command(one)
        yield from _of_pairs(one)
        if one.name in _ONLY_LAST and counts[one.name] > 1:
            counts[one.name] -= 1
            text = (
                f"Multiple {one.name} instructions should not be used in the same stage because"
                " only the last one will be used"
            )
            yield LintWarning("MultipleInstructionsDisallowed", text, one.line)
    yield from _relative_workdirs(stage)


def _of_command(one: Instruction) -> Iterator[LintWarning]:
    if one.name in ("CMD", "ENTRYPOINT") and not one.node.is_json:
        text = (
            f"JSON arguments recommended for {one.name} to prevent unintended behavior"
            " related to OS signals"
        )
        yield LintWarning("JSONArgsRecommended", text, one.line)
    if one.name == "MAINTAINER":
        text = "Maintainer instruction is deprecated in favor of using label"
        yield LintWarning("MaintainerDeprecated", text, one.line)


def _of_pairs(one: Instruction) -> Iterator[LintWarning]:
    if one.name in ("ENV", "LABEL") and one.words[2::3] == [""]:
        text = (
            f'"{one.name} key=value" should be used instead of legacy "{one.name} key value" format'
        )
        yield LintWarning("LegacyKeyValueFormat", text, one.line)
    for name in _variables(one.name, one.words):
        if _SECRET.search(name.lower()):
            text = f"Do not use ARG or ENV instructions for sensitive data ({one.name} "
            yield LintWarning("SecretsUsedInArgOrEnv", f"{text}{quoted(name)})", one.line)


def _relative_workdirs(stage: Stage) -> Iterator[LintWarning]:
    for one in stage.instructions:
        if one.name != "WORKDIR" or not one.words:
            continue
        if one.words[0].startswith(("/", "$")):
            return
        text = f"Relative workdir {quoted(one.words[0])} can have unexpected results if the base"
        yield LintWarning("WorkdirRelativePath", f"{text} image changes", one.line)


def _variables(name: str, words: list[str]) -> list[str]:
    if name == "ENV":
        return words[::3]
    return [word.partition("=")[0] for word in words] if name == "ARG" else []
