"""Which lint warnings count: ``# check=skip=RULE,…;error=true``, as BuildKit reads it.

Rules that are experimental there count only where ``experimental=RULE,…`` asks for them.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from wardian.build.faults import DockerfileError
from wardian.build.parser import Dockerfile, LintWarning

_TRUE, _FALSE = frozenset({"1", "t", "true"}), frozenset({"0", "f", "false"})
_EXPERIMENTAL = frozenset({"CopyIgnoredFile", "InvalidDefinitionDescription"})
_HINT = "write # check=skip=RULE,RULE and # check=error=true, with a semicolon between"


class Checks(msgspec.Struct, frozen=True):
    """What the directive asks for. ``are_errors`` makes what is found the end of the build."""

    skipped: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    are_errors: bool = False

    @classmethod
    def of(cls, file: Dockerfile) -> Checks:
        """Those of a file. Raises DockerfileError for an option that is none."""
        skipped = experimental = frozenset[str]()
        are_errors = False
        for option in filter(None, file.directives.get("check", "").split(";")):
            name, equals, value = (part.strip() for part in option.partition("="))
            if name == "skip" and equals:
                skipped = _rules(value)
            elif name == "experimental" and equals:
                experimental = _rules(value)
            elif name == "error" and value.lower() in _TRUE | _FALSE:
                are_errors = value.lower() in _TRUE
            else:
                raise DockerfileError(
                    f"invalid check option {option.strip()[:60]!r}", hint=_HINT, line=1
                )
        return cls(skipped, experimental, are_errors)

    def kept(self, found: Iterable[LintWarning]) -> list[LintWarning]:
        """Those that are not skipped, by their lines."""
        return sorted((one for one in found if self._counts(one.rule)), key=lambda one: one.line)

    def _counts(self, rule: str) -> bool:
        if rule in _EXPERIMENTAL:
            return bool({"all", rule} & self.experimental)
        return not {"all", rule} & self.skipped

    def judge(self, found: Iterable[LintWarning]) -> None:
        """Raise DockerfileError if what was found is to end the build."""
        rules = sorted({one.rule for one in found})
        if self.are_errors and rules:
            raise DockerfileError(
                f"lint violation found for rules: {', '.join(rules)}",
                hint="mend what the warnings say, or skip a rule: # check=skip=RULE;error=true",
            )


def _rules(words: str) -> frozenset[str]:
    return frozenset(rule.strip() for rule in words.split(","))
