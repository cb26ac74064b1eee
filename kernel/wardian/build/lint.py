"""Lint warnings, in BuildKit's words (frontend/dockerfile/linter/ruleset.go)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress

from wardian.build.expansion import Expander
from wardian.build.faults import DockerfileError
from wardian.build.parser import Dockerfile, LintWarning
from wardian.build.patterns import Patterns
from wardian.build.stages import (
    Instruction,
    Recipe,
    Stage,
    arg_pairs,
    global_arguments,
    platform_arguments,
)
from wardian.build.tree import quoted
from wardian.errors import InvalidInput
from wardian.images.manifest import Platform
from wardian.images.platform import fits, show
from wardian.images.reference import Reference

_SECRET = re.compile(
    r"(?:^|_)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:$|_)"
)
_NO_SECRET = re.compile(r"(?:^|_)public(?:$|_)")
_RESERVED = frozenset({"scratch", "context"})
_ONLY_LAST = frozenset({"CMD", "ENTRYPOINT", "HEALTHCHECK"})


def warnings(file: Dockerfile, recipe: Recipe) -> list[LintWarning]:
    """Everything that deserves a look before anything is built."""
    found = [*file.warnings, *_casing(file), *_names(recipe), *_bases(recipe)]
    for one in recipe.globals:
        found += _described(one, [name for name, _ in arg_pairs(one)])
    for stage in recipe.stages:
        found += _of_stage(stage)
    return found


def undefined(names: Iterable[str], known: Iterable[str], line: int) -> Iterator[LintWarning]:
    """What is to be said of variables that an instruction uses and nobody has set."""
    for name in sorted(names):
        text = f"Usage of undefined variable '${name}'"
        near = _nearest(name, known)
        yield LintWarning("UndefinedVar", f"{text} (did you mean ${near}?)" if near else text, line)


def ignored(name: str, sources: Iterable[str], patterns: Patterns, line: int) -> list[LintWarning]:
    """What is to be said of files that an instruction wants and the .dockerignore leaves out."""
    if patterns.have_exceptions:  # something below may be in again
        return []
    found = [one for one in sources if patterns.exclude(one.strip("/"))]
    text = f"Attempting to {name.capitalize()} file {{}} that is excluded by .dockerignore"
    return [LintWarning("CopyIgnoredFile", text.format(quoted(one)), line) for one in found]


def mismatch(base: str, own: Platform, wanted: Platform, line: int) -> list[LintWarning]:
    """What is to be said of a base image that is for other machines."""
    if fits(own, wanted):
        return []
    text = f"Base image {base} was pulled with platform {quoted(show(own))}, expected"
    text += f" {quoted(show(wanted))} for current build"
    return [LintWarning("InvalidBaseImagePlatform", text, line)]


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


def _bases(recipe: Recipe) -> Iterator[LintWarning]:
    declared = {name for one in recipe.globals for name, _ in arg_pairs(one)}
    values = global_arguments(recipe, {})
    known = {*declared, *platform_arguments()}
    for stage in recipe.stages:
        line, unset = stage.source.line, set[str]()
        with suppress(DockerfileError):  # whoever builds the stage says so
            expander = Expander(env=values, escape=recipe.escape, unset=unset)
            expander.word(stage.platform)
            if "$" in stage.base and not _is_reference(expander.word(stage.base)):
                text = f"Default value for ARG {stage.base} results in empty or invalid base image"
                yield LintWarning("InvalidDefaultArgInFrom", f"{text} name", line)
        for name in sorted(unset - known):
            near = _nearest(name, known)
            text = f"FROM argument '{name}' is not declared"
            text += f" (did you mean {near}?)" if near else ""
            yield LintWarning("UndefinedArgInFrom", text, line)
        if stage.platform in ("$TARGETPLATFORM", "${TARGETPLATFORM}"):
            text = f"Setting platform to predefined {stage.platform} in FROM is redundant"
            text += " as this is the default behavior"
            yield LintWarning("RedundantTargetPlatform", text, line)
        if stage.platform and "$" not in stage.platform and not _names_one(stage):
            text = f"FROM --platform flag should not use constant value {quoted(stage.platform)}"
            yield LintWarning("FromPlatformFlagConstDisallowed", text, line)


def _is_reference(word: str) -> bool:
    try:
        Reference.parse(word)
    except InvalidInput:
        return False
    return True


def _names_one(stage: Stage) -> bool:
    """Whether the stage is named after its platform's system or machine."""
    return any(part in stage.name for part in stage.platform.split("/")[:2])


def _nearest(word: str, known: Iterable[str]) -> str:
    """What differs in less than three letters, as BuildKit suggests it; "" if nothing does."""
    distance, found = min(((_distance(word, one), one) for one in known), default=(3, ""))
    return found if 0 < distance < 3 else ""


def _distance(one: str, other: str) -> int:
    """Levenshtein's: how many letters are put in, taken out or changed."""
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, 1):
        before, row[0] = row[0], number
        for place, another in enumerate(other, 1):
            cheapest = min(row[place] + 1, row[place - 1] + 1, before + (letter != another))
            before, row[place] = row[place], cheapest
    return row[-1]


def _of_stage(stage: Stage) -> Iterator[LintWarning]:
    yield from _described(stage.source, [stage.name] if stage.name else [])
    counts = Counter(one.name for one in stage.instructions)
    has_shell = False
    for one in stage.instructions:
        has_shell = has_shell or one.name == "SHELL"
        if not has_shell:  # whoever chooses a shell wants one
            yield from _of_command(one)
        yield from _of_deprecated(one)
        yield from _of_pairs(one)
        if one.name == "ARG":
            yield from _described(one, [name for name, _ in arg_pairs(one)])
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


def _of_deprecated(one: Instruction) -> Iterator[LintWarning]:
    if one.name == "MAINTAINER":
        text = "Maintainer instruction is deprecated in favor of using label"
        yield LintWarning("MaintainerDeprecated", text, one.line)
    for word in one.words if one.name == "EXPOSE" else ():
        protocol = word.partition("/")[2]
        if "$" not in word and protocol != protocol.lower():
            text = f"Defined protocol '{word}' in EXPOSE instruction should be lowercase"
            yield LintWarning("ExposeProtoCasing", text, one.line)
        if "$" not in word and ":" in word:
            text = "EXPOSE instruction should not define an IP address or host-port mapping, found"
            yield LintWarning("ExposeInvalidFormat", f"{text} '{word}'", one.line)


def _of_pairs(one: Instruction) -> Iterator[LintWarning]:
    if one.name in ("ENV", "LABEL") and one.words[2::3] == [""]:
        text = (
            f'"{one.name} key=value" should be used instead of legacy "{one.name} key value" format'
        )
        yield LintWarning("LegacyKeyValueFormat", text, one.line)
    for name in _variables(one.name, one.words):
        if _SECRET.search(name.lower()) and not _NO_SECRET.search(name.lower()):
            text = f"Do not use ARG or ENV instructions for sensitive data ({one.name} "
            yield LintWarning("SecretsUsedInArgOrEnv", f"{text}{quoted(name)})", one.line)


def _described(one: Instruction, names: list[str]) -> Iterator[LintWarning]:
    """The comment above is a description if it begins with a name."""
    if names and one.node.comments and one.node.comments[-1].split(" ")[0] not in names:
        example = names[0] if len(names) == 1 else "<arg_key>"
        text = f"Comment for {one.name} should follow the format: `# {example} <description>`"
        yield LintWarning("InvalidDefinitionDescription", text, one.line)


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
