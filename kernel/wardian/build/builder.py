"""From a Dockerfile and a context to an image: its stages, those at once that can be."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from wardian.build import reach
from wardian.build.assembly import Assembly
from wardian.build.cache import StepCache
from wardian.build.checks import Checks
from wardian.build.context import Context
from wardian.build.faults import DockerfileError
from wardian.build.lint import warnings
from wardian.build.parser import LintWarning, parse
from wardian.build.plan import Plan
from wardian.build.progress import Event, Say
from wardian.build.remote import Remotes, notes_of
from wardian.build.schedule import in_order
from wardian.build.sources import Sources
from wardian.build.stages import recipe
from wardian.build.state import State
from wardian.images.ingest import Ingest
from wardian.images.manifest import timestamp
from wardian.images.reference import Reference
from wardian.images.registry.presence import When
from wardian.images.store import Image, ImageStore

if TYPE_CHECKING:
    from wardian.build.workshop import Workshop


UNUSED = "UnusedBuildArgs"  # no rule of BuildKit's linter, which only says the text


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asks for. ``epoch_s`` is SOURCE_DATE_EPOCH.

    ``jobs`` is how many stages are built at once. ``agents`` are the sockets of ssh-agents.
    ``uncached`` are names of stages that take nothing from the cache, ``hosts`` (name, address) for
    the /etc/hosts of RUN.
    """

    tags: tuple[str, ...] = ()
    target: str = ""
    arguments: Mapping[str, str] = msgspec.field(default_factory=dict)
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    contexts: Mapping[str, str] = msgspec.field(default_factory=dict)
    secrets: Mapping[str, Path] = msgspec.field(default_factory=dict)
    agents: Mapping[str, Path] = msgspec.field(default_factory=dict)
    network: str = msgspec.field(default_factory=reach.usual)
    use_cache: bool = True
    uncached: frozenset[str] = frozenset()
    hosts: tuple[tuple[str, str], ...] = ()
    pull: bool = False
    jobs: int = 1
    epoch_s: int | None = None
    rewrite_timestamp: bool = False


class Builder:
    """One build. What is public here is what the assemblies of its stages use, from threads."""

    def __init__(
        self,
        store: ImageStore,
        ingest: Ingest,
        context: Context,
        options: Options,
        say: Say,
        fetched: Mapping[str, Path] | None = None,
    ) -> None:
        """Raises DockerfileError for a Dockerfile that cannot be understood, InvalidInput.

        ``fetched`` is what the context was fetched as, which a named one may be, too.
        """
        self.store = store
        self.ingest = ingest
        self.context = context
        self.options = options
        self.remotes = Remotes(
            ingest.work, notes_of(store), options.agents, fetched=dict(fetched or {})
        )
        self.stop = self.remotes.stop
        self.built: dict[int, State] = {}
        self.cache = StepCache(store.root / "build" / "steps")
        when = When.ALWAYS if options.pull else When.MISSING
        self.sources = Sources(store, ingest, options.contexts, when=when, remotes=self.remotes)
        self._names = [str(Reference.parse(tag)) for tag in options.tags]
        self._say = say
        self._saying = threading.Lock()
        self._numbers = itertools.count(1)
        file = parse(context.dockerfile)
        found = recipe(file)
        self._checks = Checks.of(file)
        self._warnings = warnings(file, found)
        self.plan = Plan.of(found, options.target, options.arguments, options.contexts)

    def build(self) -> Image:
        """Build the target; the image. Raises DockerfileError, WardianError."""
        self.warn(self._warnings)
        if unused := self.plan.recipe.unused(self.options.arguments):
            text = f"One or more build-args [{' '.join(unused)}] were not consumed"
            self.say(Event(kind="warning", why=UNUSED, text=text, line=1))
        in_order(self.plan.needs, self._build, at_once=self.options.jobs, stop=self.stop.set)
        return self._commit(self.built[self.plan.target.index])

    def _build(self, index: int) -> None:
        self.built[index] = Assembly(self, self.plan.recipe.stages[index]).build()

    # --- what assemblies share -----------------------------------------------------------

    def say(self, event: Event) -> None:
        """Tell of an event, one at a time."""
        with self._saying:
            self._say(event)

    def warn(self, found: Iterable[LintWarning]) -> None:
        """Tell of lint warnings that are not skipped. Raises DockerfileError if they are errors."""
        kept = self._checks.kept(found)
        for one in kept:
            self.say(Event(kind="warning", why=one.rule, text=one.text, line=one.line))
        self._checks.judge(kept)

    def next_number(self) -> int:
        """The number of a step that begins now, among all of the build."""
        return next(self._numbers)

    def now(self) -> str:
        """The moment that is noted in the image."""
        return timestamp(time.time() if self.options.epoch_s is None else self.options.epoch_s)

    def workshop(self) -> Workshop:
        """One for an assembly of its own."""
        from wardian.build.workshop import Workshop

        latest_s = self.options.epoch_s if self.options.rewrite_timestamp else None
        return Workshop(self.store.root, self.ingest, latest_s, self.stop)

    # --- the image -----------------------------------------------------------------------

    def _commit(self, state: State) -> Image:
        whole = state.draft.whole
        if self.options.labels:
            labels = {**(state.draft.run.get("Labels") or {}), **self.options.labels}
            state.draft.run["Labels"] = labels
        whole["created"] = state.created or self.now()
        whole.pop("container", None)
        if not state.layers:
            raise DockerfileError(
                "the image would have no files at all", hint="COPY something into it"
            )
        unnamed = f"wardian-build/{self.ingest.directory.name.lstrip('.')}"
        first, *others = self._names or [str(Reference.parse(unnamed))]
        image = self.ingest.commit_image(first, whole, state.layers)
        for other in others:
            self.store.tag(first, other)
        if not self._names:
            self.store.unname(first)
            return self.store.get(image.digest)
        for name in self._names:
            self.say(Event(kind="image", text=name))
        return image
