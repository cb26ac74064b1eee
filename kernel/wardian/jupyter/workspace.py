"""A container of the notebook, and the runners that run cells in it.

On a host that allows no containers it is a `wardian.bare.place.Place` instead: ``place`` says so,
and whatever asks for the ``container`` hears why there is none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec
from msgspec.structs import replace

from wardian.cells.runner import (
    Interpreter,
    Language,
    Launcher,
    Runner,
    Setting,
    SpawnedProcess,
)
from wardian.cgroups.limits import Limits
from wardian.errors import FailedPrecondition, SetupError, WardianError
from wardian.jupyter.settings import Settings
from wardian.jupyter.source import (
    MAIN,
    STOP_TIMEOUT_S,
    ContainerSource,
    NoContainers,
    StartConfig,
    ensure_rung,
)
from wardian.runtime.spec import ProcessSpec

if TYPE_CHECKING:
    from wardian.bare.place import Place
    from wardian.cgroups.cgroup import Cgroup
    from wardian.jupyter.cost import Gauge
    from wardian.jupyter.kernel import WardianKernel
    from wardian.observe.subject import Group, Subject
    from wardian.runtime.container import Container
    from wardian.widgets.feed import Sight

# What a shell and Python need to speak UTF-8 and to break lines alike everywhere.
ENVIRONMENT = {"LANG": "C.UTF-8", "TERM": "xterm-color", "COLUMNS": "80"}


class _Announcing(msgspec.Struct, frozen=True):
    """A launcher that says when it has started a process."""

    launcher: Launcher
    loop: asyncio.AbstractEventLoop
    spawned: asyncio.Event

    def spawn(self, process: ProcessSpec, fds: Mapping[int, int] | None = None) -> SpawnedProcess:
        """Start a process; called in another thread than the loop's."""
        started = self.launcher.spawn(process, fds)
        self.loop.call_soon_threadsafe(self.spawned.set)
        return started


class Workspace:
    """One container under the notebook's own name for it; started when it is first needed."""

    def __init__(
        self, name: str, read_settings: Callable[[], Settings], source: ContainerSource
    ) -> None:
        self.name = name
        self.source = source
        self.settings = Settings()
        self.timeout_s: float | None = None
        self.kernel: WardianKernel | None = None
        self.gauge: Gauge | None = None
        self.spawned = asyncio.Event()
        self.warnings: list[str] = []  # what is not in force, until it was said
        self.place: Place | None = None
        self._no_containers: NoContainers | None = None
        self._limits: Limits | None = None  # of a place that was; a container keeps its own
        self._read_settings = read_settings
        self._launching: asyncio.Task[Launcher] | None = None
        self._runners: dict[Language, asyncio.Task[Runner]] = {}
        self._cgroup: Cgroup | None = None

    # --- opening -------------------------------------------------------------------------

    async def launcher(self) -> Launcher:
        """The container, got if that has not been tried or has failed. Raises WardianError."""
        if await self._has_died():
            await self._let_go()  # it is started again, with its files
        if self._launching is None or _has_failed(self._launching):
            self._launching = asyncio.create_task(asyncio.to_thread(self._launch))
        return await asyncio.shield(self._launching)

    async def _has_died(self) -> bool:
        """Whether the container that we have got has ended since."""
        return self.is_open and not await asyncio.to_thread(self.is_container_running)

    def _launch(self) -> Launcher:
        """Get the container; blocks."""
        self.settings = self._read_settings()
        self.timeout_s = self.settings.timeout_s
        if (required := self.settings.require) is not None:
            ensure_rung(required)
        try:
            container = self.source.obtain(self.name, self.settings)
        except NoContainers as refused:
            if self.name != MAIN:
                raise refused.refusing(f"the name {self.name}") from refused
            return self._open_place(refused)
        self.warnings = [f"warning: {warning}" for warning in container.info.warnings]
        return container

    def _open_place(self, refused: NoContainers) -> Place:
        """Cells run as plain processes: this host allows no container."""
        from wardian.jupyter import plain

        try:
            place = plain.open_place(self.source)
        except SetupError as error:
            raise SetupError(
                f"no container can be started here: {refused.what}; nor plain processes: "
                f"{error.what}",
                hint=f"{error.hint or refused.hint} (`wardian doctor` says more)",
            ) from error
        limits = self._limits or self.settings.limits
        missing = [*plain.not_in_force(self.settings), *place.limit(limits)]
        self.warnings = [f"warning: {one}" for one in missing]
        if self._no_containers is None:  # said once
            self.warnings[:0] = plain.first_words(place, refused)
        self._no_containers = refused
        self.place = place
        return place

    def no_container(self, word: str) -> FailedPrecondition:
        """Why what this word stands for cannot be had here."""
        assert self._no_containers is not None
        return self._no_containers.refusing(word)

    async def place_if_bare(self) -> Place | None:
        """The place, if that is where this workspace's cells run; waits for a start under way."""
        if self._launching is not None:
            await asyncio.wait({self._launching})
        return self.place

    @property
    def is_open(self) -> bool:
        """Whether the container is there, as far as we know."""
        task = self._launching
        return task is not None and task.done() and not _has_failed(task)

    @property
    def container(self) -> Container:
        """The container. Raises FailedPrecondition if there is none (yet)."""
        if self.place is not None:
            raise self.no_container("this")
        if self._launching is None or not self.is_open:
            raise FailedPrecondition(
                f"container {self.name} is not started yet", hint="run a cell in it first"
            )
        launcher: Any = self._launching.result()
        return cast("Container", launcher)

    @property
    def limits(self) -> Limits:
        """The limits as they are now; none are known before the start. Blocks."""
        if self.place is not None:
            return self.place.limits
        try:
            return self.container.info.spec.limits
        except WardianError:
            return Limits()

    def limit(self, limits: Limits) -> list[str]:
        """Put limits in force; what is not, is returned in words. Blocks. Raises WardianError."""
        if self.place is not None:
            return self.place.limit(limits)
        return list(self.container.update(limits).warnings)

    def pause(self) -> None:
        """Freeze every process. Blocks. Raises WardianError."""
        self.container.pause()

    def unpause(self) -> None:
        """Thaw every process. Blocks. Raises WardianError."""
        self.container.unpause()

    @property
    def cgroup(self) -> Cgroup | None:
        """The container's group, for its figures; None if it cannot be told. Blocks."""
        if self._cgroup is None and self.is_open and self.place is None:
            from wardian.observe.subject import Subject

            with suppress(WardianError):
                self._cgroup = cast("Cgroup", Subject.of(self.container.info).group)
        return self._cgroup

    @property
    def group(self) -> Group | None:
        """Who is there, and what they use; None if that cannot be told. Blocks."""
        return self.place.group if self.place is not None else self.cgroup

    @property
    def whereabouts(self) -> str:
        """Where cells run, as far as it is known by now."""
        if self.place is not None:
            return "no container: cells run as plain processes on this host"
        if self.is_open:
            return "every cell runs in the notebook's own container"
        return "%container tells where cells run"

    def subject(self) -> Subject:
        """What the live views look at. Blocks; raises FailedPrecondition if there is nothing."""
        from wardian.observe.subject import Subject

        if self.place is not None:
            from wardian.jupyter import plain

            subject = plain.subject(self.place)
        else:
            subject = Subject.of(self.container.info)
        cells = None if self.kernel is None else self.kernel.cells
        return replace(subject, cells=cells)

    def sight(self, view: str) -> Sight:
        """What this view looks at. Blocks; raises WardianError if there is nothing."""
        from wardian.observe.network_frame import NetworkFrame
        from wardian.observe.surroundings import Surroundings

        if view == NetworkFrame.view:
            return Surroundings.of(self.container)
        return self.subject()

    def is_container_running(self) -> bool:
        """Whether the container still has its PID 1, or the place its init. Blocks."""
        if self.place is not None:
            return self.place.is_running()
        try:
            return self.container.info.host_pid is not None
        except WardianError:
            return False

    # --- runners -------------------------------------------------------------------------

    async def runner(self, language: Language) -> Runner:
        """The runner of this language, started if need be. Raises WardianError."""
        task = self._runners.get(language)
        if task is None or (task.done() and _is_unusable(task)):
            is_again = task is not None and not _has_failed(task)
            task = asyncio.create_task(self._start(language, is_again=is_again))
            self._runners[language] = task
        return await asyncio.shield(task)

    def running(self, language: Language) -> Runner | None:
        """The runner of this language if it is there and alive."""
        task = self._runners.get(language)
        if task is None or not task.done() or _is_unusable(task):
            return None
        return task.result()

    async def _start(self, language: Language, *, is_again: bool) -> Runner:
        if is_again and not await asyncio.to_thread(self.is_container_running):
            await self._let_go()
        launcher = await self.launcher()
        from wardian.jupyter.outputs import RunnerOutput

        sink = RunnerOutput(self)
        setting = await asyncio.to_thread(self._setting)
        starting = asyncio.create_task(
            Runner.start(
                _Announcing(launcher, asyncio.get_running_loop(), self.spawned),
                language=language,
                sink=sink,
                setting=setting,
            )
        )
        if self.gauge is None:  # while the interpreter starts
            await asyncio.sleep(0)
            self.gauge = await asyncio.to_thread(self._make_gauge)
        sink.runner = await starting
        return sink.runner

    def _make_gauge(self) -> Gauge:
        if self.place is not None:
            from wardian.jupyter import plain

            return plain.gauge(self.place)
        from wardian.jupyter.cost import Gauge

        gauge = Gauge(self.cgroup)
        with suppress(WardianError):
            gauge.watch(Path(self.container.info.upper))
        return gauge

    def _setting(self) -> Setting:
        if self.place is not None:
            directory = self.place.directory
            return Setting(
                env={**ENVIRONMENT, **directory.environment()},
                workdir=str(directory.home),
                interpreter=Interpreter.HOST,
            )
        start = StartConfig.of_container(self.container.info)
        return Setting(
            env={**ENVIRONMENT, **start.env},
            workdir=start.workdir,
            user=start.user,
            interpreter=Interpreter(self.settings.python),
        )

    async def close_runners(self) -> None:
        """End the interpreters; all else in the container goes on."""
        tasks, self._runners = self._runners, {}
        for task in tasks.values():
            if not task.done():
                task.cancel()
            elif not _is_unusable(task):
                await task.result().close()

    def choose(self, settings: Settings) -> None:
        """What the next container under this name is to be made from."""
        self._read_settings = lambda: settings

    # --- the container's life ------------------------------------------------------------

    async def reopen(self) -> None:
        """The container was stopped or replaced: what was known of it is void."""
        await self.close_runners()
        await self._let_go()

    async def _let_go(self) -> None:
        self._launching = self._cgroup = None
        self._drop_gauge()
        place, self.place = self.place, None
        if place is not None:
            self._limits = place.limits
            await asyncio.to_thread(place.close)

    async def _settle(self) -> None:
        """Wait until nothing is being started any more."""
        for task in (self._launching, *self._runners.values()):
            if task is not None:
                await asyncio.wait({task})

    async def restart(self) -> None:
        """End every process and start anew; files stay."""
        await self._settle()
        container = None if self.place is not None else self.container
        await self.close_runners()
        if container is not None:
            await asyncio.to_thread(container.stop, timeout_s=STOP_TIMEOUT_S)
        await self.reopen()
        await self.launcher()

    async def discard(self) -> None:
        """Remove the container, files and all."""
        await self._settle()
        place = self.place
        await self.reopen()
        self._limits = None
        if place is not None:
            await asyncio.to_thread(place.directory.discard)
        else:
            await asyncio.to_thread(self.source.discard, self.name)

    async def leave(self, *, restart: bool) -> None:
        """The kernel ends: prepare for the next one, or end the processes."""
        if self._launching is not None:
            await asyncio.wait({self._launching})
        is_open, place = self.is_open, self.place
        await self.close_runners()
        if is_open and place is None:
            end = self.source.prepare_restart if restart else self.source.stop
            with suppress(WardianError):
                await asyncio.to_thread(end, self.container)
        await self._let_go()
        if place is not None and not restart and not self.source.is_notebook:
            await asyncio.to_thread(place.directory.discard)

    def _drop_gauge(self) -> None:
        if self.gauge is not None:
            self.gauge.close()
            self.gauge = None


def _has_failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _is_unusable(task: asyncio.Task[Runner]) -> bool:
    return _has_failed(task) or task.result().exited.done()
