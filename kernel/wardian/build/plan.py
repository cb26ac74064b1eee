"""What a build has to do: the stages that its target is made from, and which of them need which."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

import msgspec

from wardian.build.expansion import Expander
from wardian.build.stages import Instruction, Recipe, Stage, global_arguments

_FROM_OF_MOUNT = re.compile(r"(?:^|,)from=([^,]+)")


class Plan(msgspec.Struct, frozen=True):
    """``arguments`` are the ARGs before the first FROM; ``contexts`` the names of contexts.

    A named context stands for a stage of that name, too. ``needs`` has each stage that is to be
    built, and the stages that it needs.
    """

    recipe: Recipe
    arguments: Mapping[str, str]
    contexts: Collection[str]
    target: Stage
    needs: Mapping[int, frozenset[int]]

    @classmethod
    def of(
        cls, recipe: Recipe, target: str, given: Mapping[str, str], contexts: Collection[str]
    ) -> Plan:
        """The plan for a target. Raises DockerfileError, also for a circle of stages."""
        needs: dict[int, frozenset[int]] = {}
        wanted = recipe.target(target)
        plan = cls(recipe, global_arguments(recipe, given), contexts, wanted, needs)
        waiting = [wanted]
        while waiting:
            stage = waiting.pop()
            if stage.index not in needs:
                found = list(plan._needed_by(stage))
                needs[stage.index] = frozenset(other.index for other in found)
                waiting += found
        return plan

    @property
    def stages(self) -> list[Stage]:
        """Those that are to be built, in their order in the file."""
        return [self.recipe.stages[index] for index in sorted(self.needs)]

    def word(self, text: str) -> str:
        """A word of a FROM line with its variables."""
        return Expander(env=self.arguments, escape=self.recipe.escape).word(text)

    def stage(self, word: str, before: int | None = None) -> Stage | None:
        """The stage that FROM or ``--from`` means, among the first ``before`` ones."""
        return None if word in self.contexts else self.recipe.stage(word, before)

    def _needed_by(self, stage: Stage) -> Iterator[Stage]:
        for word, one in self._mentions(stage):
            other = self.stage(word, stage.index)
            if other is not None:
                yield other
            elif one is not stage.source and self.stage(word) is not None:
                raise one.fault(
                    f"circular dependency detected on stage: {word}",
                    "a stage can use only those that come before it",
                )

    def _mentions(self, stage: Stage) -> Iterator[tuple[str, Instruction]]:
        """What a stage takes from elsewhere, each with the instruction that says so."""
        yield self.word(stage.base), stage.source
        for one in stage.instructions:
            for flag in one.node.flags:
                name, _, value = flag.removeprefix("--").partition("=")
                if name == "from":
                    yield self.word(value), one
                elif name == "mount":
                    yield from ((found, one) for found in _FROM_OF_MOUNT.findall(value))
