"""From a Dockerfile and a context to an image: its stages, one instruction after another."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wardian.build.cache import Step, StepCache
from wardian.build.context import Context
from wardian.build.copying import Copying
from wardian.build.draft import Draft
from wardian.build.expansion import Expander
from wardian.build.faults import DockerfileError
from wardian.build.parser import parse
from wardian.build.progress import MAX_CHANGES_TOLD, Event, Say
from wardian.build.running import Running
from wardian.build.stages import (
    PREDEFINED,
    Instruction,
    Recipe,
    Stage,
    arg_pairs,
    global_arguments,
    recipe,
)
from wardian.build.workshop import Made, Workshop
from wardian.errors import CommandFailed, InvalidInput, WardianError
from wardian.images.ingest import Ingest, NewLayer
from wardian.images.manifest import architecture, digest_of, encode, timestamp
from wardian.images.reference import Reference
from wardian.images.resolve import resolve
from wardian.images.store import Image, ImageStore
from wardian.runtime.client import Client
from wardian.runtime.spec import DEFAULT_PATH

SCRATCH = "scratch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asks for. ``epoch_s`` is SOURCE_DATE_EPOCH."""

    tags: tuple[str, ...] = ()
    target: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    contexts: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Path] = field(default_factory=dict)
    network: str = "default"
    use_cache: bool = True
    epoch_s: int | None = None
    rewrite_timestamp: bool = False


@dataclass(slots=True)
class State:
    """A stage as far as it is built. ``layers`` and ``lowers`` are lowest first."""

    draft: Draft
    layers: list[NewLayer]
    lowers: list[Path]
    key: str
    arguments: dict[str, str] = field(default_factory=dict)
    was_missed: bool = False
    created: str = ""

    def expander(self, escape: str) -> Expander:
        """With the variables that are in force."""
        return Expander(env={**self.arguments, **self.draft.env}, escape=escape)


class Builder:
    """One build."""

    def __init__(
        self,
        client: Client,
        store: ImageStore,
        ingest: Ingest,
        context: Context,
        options: Options,
        say: Say,
    ) -> None:
        self.options = options
        self.context = context
        self.root = client.root
        self._store = store
        self._ingest = ingest
        self.say = say
        self._cache = StepCache(client.root / "build" / "steps")
        latest = options.epoch_s if options.rewrite_timestamp else None
        self.workshop = Workshop(client, ingest, latest)
        self._recipe: Recipe
        self._globals: dict[str, str] = {}
        self._built: dict[int, State] = {}
        self._step = 0
        self._steps = 0
        self._instruction: Instruction | None = None

    def build(self) -> Image:
        """Build the target; the image. Raises DockerfileError, CommandFailed, WardianError."""
        names = [str(Reference.parse(tag)) for tag in self.options.tags]
        file = parse(self.context.dockerfile)
        self._recipe = recipe(file)
        from wardian.build.lint import warnings

        for warning in warnings(file, self._recipe):
            self.say(Event(kind="warning", why=warning.rule, text=warning.text, line=warning.line))
        self._globals = global_arguments(self._recipe, self.options.arguments)
        target = self._recipe.target(self.options.target)
        needed = self._needed(target)
        self._steps = sum(1 + len(stage.instructions) for stage in needed)
        for stage in needed:
            self._built[stage.index] = self._stage(stage)
        return self._commit(self._built[target.index], names)

    # --- which stages --------------------------------------------------------------------

    def _needed(self, target: Stage) -> list[Stage]:
        """The target and the stages that it is made from, in their order."""
        found: dict[int, Stage] = {}
        waiting = [target]
        while waiting:
            stage = waiting.pop()
            if stage.index in found:
                continue
            found[stage.index] = stage
            for word, one in self._mentions(stage):
                other = self._recipe.stage(word, stage.index)
                if other is not None:
                    waiting.append(other)
                elif self._recipe.stage(word) is not None and one is not stage.source:
                    raise one.fault(
                        f"circular dependency detected on stage: {word}",
                        "a stage can use only those that come before it",
                    )
        return [found[index] for index in sorted(found)]

    def _mentions(self, stage: Stage) -> list[tuple[str, Instruction]]:
        expander = Expander(env=self._globals, escape=self._recipe.escape)
        words = [(expander.word(stage.base), stage.source)]
        for one in stage.instructions:
            for flag in one.node.flags:
                name, _, value = flag.removeprefix("--").partition("=")
                if name == "from":
                    words.append((expander.word(value), one))
                elif name == "mount":
                    words += [(found, one) for found in re.findall(r"(?:^|,)from=([^,]+)", value)]
        return words

    # --- a stage -------------------------------------------------------------------------

    def _stage(self, stage: Stage) -> State:
        self._step += 1
        started_s = time.monotonic()
        base = Expander(env=self._globals, escape=self._recipe.escape).word(stage.base)
        event = {"step": self._step, "steps": self._steps, "stage": stage.label}
        event |= {"instruction": f"FROM {base}", "line": stage.source.line}
        self.say(Event(kind="start", **event))  # type: ignore[arg-type]
        state = self._from(stage, base)
        seconds = time.monotonic() - started_s
        self.say(Event(kind="done", cached=True, seconds=seconds, **event))  # type: ignore[arg-type]
        triggers = state.draft.run.pop("OnBuild", None) or []
        inherited = self._triggers(triggers, stage)
        self._steps += len(inherited)
        for one in [*inherited, *stage.instructions]:
            self._step += 1
            self._instruction = one
            try:
                self._instruct(stage, state, one)
            except DockerfileError as error:
                raise error.at(one.line or stage.source.line, one.node.source) from error
            except CommandFailed:
                raise
            except WardianError as error:
                raise one.fault(error.what, error.hint) from error
        return state

    def _triggers(self, lines: list[str], stage: Stage) -> list[Instruction]:
        if not lines:
            return []
        parsed = recipe(parse("FROM scratch\n" + "\n".join(lines)))
        for one in parsed.stages[0].instructions:
            one.node.start_line = stage.source.line
        return parsed.stages[0].instructions

    def _from(self, stage: Stage, base: str) -> State:
        if not base:
            raise stage.source.fault(
                f"base name ({stage.base}) should not be blank", "give its ARG a default"
            )
        other = self._recipe.stage(base, stage.index)
        if other is not None and other.index in self._built:
            done = self._built[other.index]
            return State(
                Draft(done.draft.whole),
                list(done.layers),
                list(done.lowers),
                done.key,
                created=done.created,
            )
        if base == SCRATCH:
            whole = {"architecture": architecture(), "os": "linux", "config": {}, "history": []}
            whole["config"] = {"Env": [f"PATH={DEFAULT_PATH}"]}
            return State(Draft(whole), [], [], SCRATCH)
        try:
            image = resolve(self._store, self.options.contexts.get(base, base).removeprefix(_IMAGE))
        except WardianError as error:
            raise stage.source.fault(error.what, error.hint) from error
        return self.state_of(image)

    def state_of(self, image: Image) -> State:
        """An image as the state that a stage begins with."""
        layers = self._ingest.layers_of(image)
        lowers = [self._store.layer_directory(layer.diff_id) for layer in layers]
        created = str(image.config.get("created") or "")
        key = self._store.manifest(image).config.digest
        return State(Draft(image.config), layers, lowers, key, created=created)

    def source(self, word: str) -> State | Path:
        """What ``--from`` names: a stage, a named context's directory, or an image."""
        stage = self._recipe.stage(word)
        if stage is not None and stage.index in self._built:
            return self._built[stage.index]
        named = self.options.contexts.get(word, word)
        if named != word and not named.startswith(_IMAGE):
            if not os.path.isdir(named):
                raise InvalidInput(f"the context {word} is no directory: {named}")
            return Path(named)
        return self.state_of(resolve(self._store, named.removeprefix(_IMAGE)))

    # --- an instruction ------------------------------------------------------------------

    def _instruct(self, stage: Stage, state: State, one: Instruction) -> None:
        started_s = time.monotonic()
        text = one.node.original.strip()
        event: dict[str, Any] = {
            "step": self._step,
            "steps": self._steps,
            "stage": stage.label,
            "instruction": text,
            "line": one.line,
        }
        self.say(Event(kind="start", **event))
        expander = state.expander(self._recipe.escape)
        if one.name == "ARG":
            self._argument(state, one, expander)
            self._history(state, text, self._now(), is_empty=True)
            self.say(Event(kind="done", cached=True, **event))
            return
        work = self._work(state, one, expander)
        step, why = self._step_of(state, one, work, expander), ""
        found = self._cache.find(step) if self.options.use_cache else None
        layer = None if found is None or found.layer is None else _layer(found.layer)
        if found is not None and layer is not None and self._ingest.recall(layer) is None:
            found, why = None, "its layer was pruned"
        if found is None and not why:
            why = self._why(state, step)
        made = Made(None, None, ())
        if found is None:
            state.was_missed = True
            made = self._do(state, one, work)
            layer = made.layer
            created = self._now()
            self._cache.keep(_with(step, created, layer))
        else:
            created = found.created
        state.key = step.key
        if layer is not None:
            state.layers.append(layer)
            state.lowers.append(self._store.layer_directory(layer.diff_id))
        self._history(state, _created_by(state, one), created, is_empty=layer is None)
        event |= {"cached": found is not None, "why": why}
        event |= {"seconds": time.monotonic() - started_s} | _told(layer, made)
        self.say(Event(kind="done", **event))

    def _why(self, state: State, step: Step) -> str:
        if not self.options.use_cache:
            return "--no-cache"
        if state.was_missed:
            return "an instruction above was run again"
        return self._cache.why_missed(step)

    def _work(self, state: State, one: Instruction, expander: Expander) -> Running | Copying | None:
        if one.name == "RUN":
            return Running(self, state.draft, state.arguments, state.lowers, one)
        if one.name in ("COPY", "ADD"):
            return Copying(self, state.draft, state.lowers, one, expander)
        state.draft.apply(one, expander)
        return None

    def _step_of(
        self, state: State, one: Instruction, work: Running | Copying | None, expander: Expander
    ) -> Step:
        text = one.node.original.strip()
        for heredoc in one.node.heredocs:
            text += f"\n{heredoc.content}{heredoc.name}"
        arguments: dict[str, str] = {}
        files: dict[str, str] = {}
        digest = ""
        if isinstance(work, Running):
            own = state.draft.env
            arguments = {
                name: value
                for name, value in state.arguments.items()
                if name not in PREDEFINED and name not in own
            }
        elif isinstance(work, Copying):
            sent = work.look()
            files, digest = sent.files, sent.digest
            arguments = {"": expander.word(" ".join(work.words))} if work.words else {}
        else:
            digest = digest_of(encode(state.draft.run))
        return Step(
            parent=state.key,
            instruction=text,
            arguments=arguments,
            files=files,
            files_digest=digest,
        )

    def _do(self, state: State, one: Instruction, work: Running | Copying | None) -> Made:
        if work is not None:
            return work.do(self._tell)
        if one.name != "WORKDIR" or state.draft.workdir == "/":
            return Made(None, None, ())
        with self.workshop.lent(state.lowers) as container:
            self.workshop.make_directory(container, state.draft.workdir)
            return self.workshop.made(container, state.lowers)

    def _tell(self, data: bytes) -> None:
        self.say(Event(kind="output", step=self._step, text=data.decode(errors="replace")))

    def _argument(self, state: State, one: Instruction, expander: Expander) -> None:
        for name, default in arg_pairs(one):
            if name in self.options.arguments:
                state.arguments[name] = self.options.arguments[name]
            elif default is not None:
                state.arguments[name] = expander.word(default)
            elif name in self._globals:
                state.arguments[name] = self._globals[name]
            expander.env = {**state.arguments, **state.draft.env}

    # --- the image -----------------------------------------------------------------------

    def _now(self) -> str:
        return timestamp(time.time() if self.options.epoch_s is None else self.options.epoch_s)

    def _history(self, state: State, text: str, created: str, *, is_empty: bool) -> None:
        state.created = created if not text.startswith("ARG") else state.created or created
        entry: dict[str, Any] = {
            "created": state.created,
            "created_by": text,
            "comment": "wardian build",
        }
        if is_empty:
            entry["empty_layer"] = True
        state.draft.whole["history"] = [*(state.draft.whole.get("history") or []), entry]

    def _commit(self, state: State, names: list[str]) -> Image:
        whole = state.draft.whole
        if self.options.labels:
            labels = {**(state.draft.run.get("Labels") or {}), **self.options.labels}
            state.draft.run["Labels"] = labels
        whole["created"] = state.created or self._now()
        whole.pop("container", None)
        if not state.layers:
            raise DockerfileError(
                "the image would have no files at all", hint="COPY something into it"
            )
        unnamed = f"wardian-build/{self._ingest.directory.name.lstrip('.')}"
        first, *others = names or [str(Reference.parse(unnamed))]
        image = self._ingest.commit_image(first, whole, state.layers)
        for other in others:
            self._store.tag(first, other)
        if not names:
            self._store.unname(first)
            return self._store.get(image.digest)
        for name in names:
            self.say(Event(kind="image", text=name))
        return image


_IMAGE = "docker-image://"


def _layer(noted: tuple[str, str, int]) -> NewLayer:
    from wardian.images.manifest import LAYER_TYPE, Descriptor

    diff_id, digest, size = noted
    return NewLayer(Descriptor(mediaType=LAYER_TYPE, digest=digest, size=size), diff_id)


def _with(step: Step, created: str, layer: NewLayer | None) -> Step:
    import msgspec

    noted = None if layer is None else (layer.diff_id, layer.blob.digest, layer.blob.size)
    return msgspec.structs.replace(step, created=created, layer=noted)


def _told(layer: NewLayer | None, made: Made) -> dict[str, Any]:
    if layer is None:
        return {}
    listed = [(c.kind.letter, c.path, c.size_bytes) for c in made.changes[:MAX_CHANGES_TOLD]]
    return {
        "layer": layer.diff_id,
        "size_bytes": layer.blob.size,
        "changes": listed,
        "changes_count": len(made.changes),
    }


def _created_by(state: State, one: Instruction) -> str:
    if one.name == "RUN" and not one.node.is_json:
        return f"RUN {' '.join(state.draft.shell)} {' '.join(one.words)}"
    return one.node.original.strip()
