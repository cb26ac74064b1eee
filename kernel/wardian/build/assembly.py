"""A stage being built: its instructions carried out one after another, or found in the cache."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from wardian.build.cache import Facts, Step
from wardian.build.copying import Copying
from wardian.build.draft import Draft
from wardian.build.faults import DockerfileError
from wardian.build.lint import mismatch, undefined
from wardian.build.parser import parse
from wardian.build.progress import MAX_CHANGES_TOLD, Event
from wardian.build.running import Running
from wardian.build.stages import Instruction, Stage, arg_pairs, recipe
from wardian.build.state import Made, State
from wardian.errors import WardianError
from wardian.images.ingest import NewLayer
from wardian.images.manifest import LAYER_TYPE, Descriptor, architecture, digest_of, encode
from wardian.images.platform import host_platform, parse_platform

if TYPE_CHECKING:
    from pathlib import Path

    from wardian.build.builder import Builder
    from wardian.build.expansion import Expander
    from wardian.build.workshop import Workshop

SCRATCH = "scratch"
LINKED = "--link"
Work = Running | Copying


class Assembly:
    """One stage of a build. Used by one thread; ``state`` is there once it began."""

    def __init__(self, builder: Builder, stage: Stage) -> None:
        self.builder = builder
        self.stage = stage
        self._workshop: Workshop | None = None
        self.state: State
        self._escape = builder.plan.recipe.escape
        self._number = 0
        self._step = 0
        self._declared = set[str]()
        self._steps = 1 + len(stage.instructions)
        options = builder.options
        self._uses_cache = options.use_cache and options.uncached.isdisjoint(
            {stage.name, stage.label, str(stage.index)} - {""}
        )

    def build(self) -> State:
        """The whole stage. Raises DockerfileError."""
        try:
            self._begin()
            for one in [*self._triggers(), *self.stage.instructions]:
                self.builder.stop.check()
                with _blamed(one, self.stage.source.line):
                    self._instruct(one)
        finally:
            if self._workshop is not None:
                self._workshop.close()
        return self.state

    @property
    def workshop(self) -> Workshop:
        """Where its containers are; what is in the cache needs none."""
        if self._workshop is None:
            self._workshop = self.builder.workshop()
        return self._workshop

    def source(self, word: str) -> State | Path:
        """What ``--from`` names: a stage, a named context's directory, or an image."""
        stage = self.builder.plan.stage(word, self.stage.index)
        if stage is not None:
            return self.builder.built[stage.index]
        return self.builder.sources.find(word, self._tell)

    # --- FROM ----------------------------------------------------------------------------

    def _begin(self) -> None:
        started_s = time.monotonic()
        source = self.stage.source
        base = self.builder.plan.word(self.stage.base)
        event = self._started(f"FROM {base}", source.line)
        with _blamed(source, source.line):
            self.state = self._from(base)
            _ensure_path(self.state.draft)
        seconds = time.monotonic() - started_s
        self.builder.say(Event(kind="done", cached=True, seconds=seconds, **event))

    def _from(self, base: str) -> State:
        source = self.stage.source
        if not base:
            raise source.fault(
                f"base name ({self.stage.base}) should not be blank", "give its ARG a default"
            )
        other = self.builder.plan.stage(base, self.stage.index)
        if other is not None:
            return self.builder.built[other.index].successor()
        if base == SCRATCH:
            whole = {"architecture": architecture(), "os": "linux", "config": {}, "history": []}
            return State(Draft(whole), [], [], SCRATCH)
        word = self.builder.plan.word(self.stage.platform)
        platform = parse_platform(word) if word else None
        found = self.builder.sources.find(base, self._tell, platform)
        if isinstance(found, State):
            own = found.draft.platform
            self.builder.warn(mismatch(base, own, platform or host_platform(), source.line))
            return found
        raise source.fault(f"the context {base} is a directory", "FROM an image, COPY --from this")

    def _triggers(self) -> list[Instruction]:
        """What the image's ONBUILDs say, as if it stood below FROM."""
        lines = self.state.draft.run.pop("OnBuild", None) or []
        if not lines:
            return []
        parsed = recipe(parse("FROM scratch\n" + "\n".join(lines)))
        found = parsed.stages[0].instructions
        for one in found:
            one.node.start_line = self.stage.source.line
        self._steps += len(found)
        return found

    # --- an instruction ------------------------------------------------------------------

    def _instruct(self, one: Instruction) -> None:
        started_s = time.monotonic()
        text = one.node.original.strip()
        event = self._started(text, one.line)
        expander = self.state.expander(self._escape)
        if one.name == "ARG":
            self._argument(one, expander)
            self.state.note(text, self.state.created or self.builder.now(), is_empty=True)
            self.builder.say(Event(kind="done", cached=True, **event))
            return
        found, made, why = self._found_or_made(one, expander)
        if one.name != "RUN":  # whose variables are the shell's
            names = expander.unset - self._declared
            self.builder.warn(undefined(names, expander.env, one.line))
        layer = _layer(found)
        if layer is not None:
            self.state.add(layer, self.builder.store.layer_directory(layer.diff_id))
        self.state.note(_created_by(self.state, one), found.created, is_empty=layer is None)
        event |= {"cached": made is None, "why": why, "seconds": time.monotonic() - started_s}
        self.builder.say(Event(kind="done", **event, **_told(layer, made)))

    def _found_or_made(self, one: Instruction, expander: Expander) -> tuple[Step, Made | None, str]:
        """The record of an instruction; if it was missed, what was made and why it was missed."""
        work = self._work(one, expander)
        step = self._step_of(one, work, self._facts(work))
        found, why = self._look_up(step)
        same, made = step, None
        if found is None and isinstance(work, Copying) and (facts := self._content(work)):
            # Another stage is new; what is taken from it may be as it was.
            same = self._step_of(one, work, facts)
            found, why = self._look_up(same)
        if found is None:
            self.state.was_missed = True
            made = self._do(one, work)
            found = _with(same, self.builder.now(), made.layer)
            self.builder.cache.keep(found)
        if found.key != step.key:
            result = {"created": found.created, "layer": found.layer, "same_as": found.key}
            self.builder.cache.keep(msgspec.structs.replace(step, **result))
        self._go_on(found, work)
        return found, made, why

    def _content(self, work: Copying) -> Facts | None:
        return work.content() if self._uses_cache else None

    def _go_on(self, found: Step, work: Work | None) -> None:
        """What comes next builds on this, and for ``--link`` on what was there before, too."""
        key = found.same_as or found.key
        is_linked = _is_linked(work)
        self.state.key = digest_of(f"{self.state.key} {key}".encode()) if is_linked else key

    def _look_up(self, step: Step) -> tuple[Step | None, str]:
        """The record of a step whose layer is there, or why there is none."""
        if not self._uses_cache:
            return None, "--no-cache"
        found = self.builder.cache.find(step)
        if found is not None:
            layer = _layer(found)
            if layer is None or self.builder.ingest.recall(layer) is not None:
                return found, ""
            return None, "its layer was pruned"
        if self.state.was_missed:
            return None, "an instruction above was run again"
        return None, self.builder.cache.why_missed(step)

    def _work(self, one: Instruction, expander: Expander) -> Work | None:
        if one.name == "RUN":
            return Running(self, one, expander)
        if one.name in ("COPY", "ADD"):
            return Copying(self, one, expander)
        self.state.draft.apply(one, expander)
        return None

    def _facts(self, work: Work | None) -> Facts:
        if work is None:
            return Facts(digest=digest_of(encode(self.state.draft.run)))
        return work.facts()

    def _step_of(self, one: Instruction, work: Work | None, facts: Facts) -> Step:
        text = one.node.original.strip()
        for heredoc in one.node.heredocs:
            text += f"\n{heredoc.content}{heredoc.name}"
        return Step(
            parent=LINKED if _is_linked(work) else self.state.key,
            instruction=text,
            arguments=facts.arguments,
            files=facts.files,
            files_digest=facts.digest,
        )

    def _do(self, one: Instruction, work: Work | None) -> Made:
        if work is not None:
            return work.do()
        draft, lowers = self.state.draft, self.state.lowers
        if one.name != "WORKDIR" or draft.workdir == "/":
            return Made(None, ())
        with self.workshop.lent(lowers) as place:
            self.workshop.make_directory(place, draft.workdir)
            return self.workshop.made(place, lowers)

    def _argument(self, one: Instruction, expander: Expander) -> None:
        state, given = self.state, self.builder.options.arguments
        for name, default in arg_pairs(one):
            self._declared.add(name)
            if name in given:
                state.arguments[name] = given[name]
            elif default is not None:
                state.arguments[name] = expander.word(default)
            elif name in self.builder.plan.arguments:
                state.arguments[name] = self.builder.plan.arguments[name]
            expander.env = {**state.arguments, **state.draft.env}

    # --- telling -------------------------------------------------------------------------

    def _started(self, text: str, line: int) -> dict[str, Any]:
        """Say that the next step begins; what all its events have."""
        self._step += 1
        self._number = self.builder.next_number()
        event = {
            "number": self._number,
            "step": self._step,
            "steps": self._steps,
            "stage": self.stage.label if len(self.builder.plan.recipe.stages) > 1 else "",
            "instruction": text,
            "line": line,
        }
        self.builder.say(Event(kind="start", **event))  # type: ignore[arg-type]
        return event

    def tell(self, data: bytes) -> None:
        """Say what a command printed."""
        self._tell(data.decode(errors="replace"))

    def _tell(self, text: str) -> None:
        self.builder.say(Event(kind="output", number=self._number, step=self._step, text=text))


def _ensure_path(draft: Draft) -> None:
    """``ENV PATH=/own:$PATH`` adds to something, as with BuildKit, though the image sets none."""
    if "PATH" not in draft.env:
        from wardian.runtime.spec import DEFAULT_PATH

        draft.run["Env"] = [*(draft.run.get("Env") or ()), f"PATH={DEFAULT_PATH}"]


@contextmanager
def _blamed(one: Instruction, line: int) -> Iterator[None]:
    """Let an error name the instruction."""
    try:
        yield
    except DockerfileError as error:
        raise error.at(one.line or line, one.node.source) from error
    except WardianError as error:
        raise one.fault(error.what, error.hint) from error


def _is_linked(work: Work | None) -> bool:
    return isinstance(work, Copying) and work.is_linked


def _layer(step: Step) -> NewLayer | None:
    if step.layer is None:
        return None
    diff_id, digest, size = step.layer
    return NewLayer(Descriptor(mediaType=LAYER_TYPE, digest=digest, size=size), diff_id)


def _with(step: Step, created: str, layer: NewLayer | None) -> Step:
    noted = None if layer is None else (layer.diff_id, layer.blob.digest, layer.blob.size)
    return msgspec.structs.replace(step, created=created, layer=noted)


def _told(layer: NewLayer | None, made: Made | None) -> dict[str, Any]:
    if layer is None:
        return {}
    changes = made.changes if made is not None else ()
    return {
        "layer": layer.diff_id,
        "size_bytes": layer.blob.size,
        "changes": [(c.kind.letter, c.path, c.size_bytes) for c in changes[:MAX_CHANGES_TOLD]],
        "changes_count": len(changes),
    }


def _created_by(state: State, one: Instruction) -> str:
    if one.name == "RUN" and not one.node.is_json:
        return f"RUN {' '.join(state.draft.shell)} {' '.join(one.words)}"
    return one.node.original.strip()
