"""The containers of one notebook, by the notebook's own names for them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wardian.cells.runner import Language, Runner
from wardian.errors import AlreadyExists, InvalidInput, NotFound, WardianError
from wardian.jupyter import defaults, languages
from wardian.jupyter.notebook import Notebook
from wardian.jupyter.settings import Settings
from wardian.jupyter.source import MAIN, ContainerSource, local_name
from wardian.jupyter.workspace import Workspace

if TYPE_CHECKING:
    from wardian.jupyter.kernel import WardianKernel
    from wardian.runtime.messages import ContainerInfo


class Workspaces:
    """``main`` is the notebook's own container; ``current`` is where ordinary cells run.

    ``directory`` is the notebook's, which need not be where the process is by now.
    """

    def __init__(
        self,
        source: ContainerSource,
        read_settings: Callable[[], Settings],
        notebook: Notebook | None = None,
    ) -> None:
        self.source = source
        self.notebook = notebook
        self.directory = notebook.path.parent if notebook else Path.cwd()
        self.read_settings = read_settings
        self.main = Workspace(MAIN, read_settings, source)
        self.current = self.main
        self._known = {MAIN: self.main}
        self._kernel: WardianKernel | None = None
        self._beginning: asyncio.Task[None] | None = None

    @classmethod
    def of_kernel(
        cls, *, session_name: str, kernel_name: str, environment: Mapping[str, str] = os.environ
    ) -> Workspaces:
        """Those of the session's notebook, or, without one, of this kernel alone.

        ``kernel_name`` stays the same when the kernel is restarted (the connection file's name
        does).
        """
        notebook = Notebook.of_session(session_name, Path.cwd())

        def read_settings() -> Settings:
            settings = defaults.read().with_environment(environment)
            return settings.with_words(notebook.settings()) if notebook else settings

        if notebook is not None:
            source = ContainerSource(notebook.key, is_notebook=True, label=str(notebook.path))
        else:
            source = ContainerSource(kernel_name, is_notebook=False, label=kernel_name)
        return cls(source, read_settings, notebook)

    def bind(self, kernel: WardianKernel) -> None:
        """From now on output goes to this kernel."""
        self._kernel = kernel
        for workspace in self._known.values():
            workspace.kernel = kernel

    def language_info(self, language: Language) -> dict[str, Any]:
        """As the runner says, else as we know before it runs."""
        runner = self.main.running(language)
        said = runner.info.get("language_info") if runner else None
        return said if isinstance(said, dict) else languages.language_info(language)

    def begin(self, language: Language) -> None:
        """Start the main container and its runner; a failure waits for the first cell."""
        self._beginning = asyncio.create_task(self._begin(language))

    async def _begin(self, language: Language) -> None:
        with suppress(WardianError):
            await self.main.runner(language)

    # --- by name -------------------------------------------------------------------------

    def __iter__(self) -> Any:
        return iter(self._known.values())

    @property
    def names(self) -> list[str]:
        """The names used in this session, ``main`` first."""
        return list(self._known)

    async def get(self, name: str) -> Workspace:
        """The notebook's container of this name, started before or not. Raises NotFound."""
        if name not in self._known:
            if await self.main.place_if_bare() is not None:
                raise self.main.no_container(f"another name ({name[:40]})")
            if name != MAIN and await self.info(name) is None:
                raise NotFound(
                    f"this notebook has no container {name[:40]!r}",
                    hint=f"make it: %container new {name[:40]}",
                )
            self._add(name, self.read_settings)
        return self._known[name]

    async def new(self, name: str, settings: Settings) -> Workspace:
        """A container under a new name, not started yet. Raises AlreadyExists."""
        if name != MAIN and (name in self._known or await self.info(name) is not None):
            raise AlreadyExists(
                f"this notebook has a container {name!r} already",
                hint=f"use it: %container use {name}",
            )
        if not name.replace("-", "").replace("_", "").isalnum() or len(name) > 40:
            raise InvalidInput(f"not a name for a container: {name[:40]!r}", hint="like web or db1")
        return self._add(name, lambda: settings)

    def _add(self, name: str, read_settings: Callable[[], Settings]) -> Workspace:
        workspace = Workspace(name, read_settings, self.source)
        workspace.kernel = self._kernel
        self._known[name] = workspace
        return workspace

    def drop(self, workspace: Workspace) -> None:
        """Forget a name whose container could not be made."""
        if workspace is not self.main:
            self._known.pop(workspace.name, None)

    async def info(self, name: str) -> ContainerInfo | None:
        """What the runtime knows of the container; None if there is none."""
        return next((info for info in await self.list() if local_name(info) == name), None)

    async def list(self) -> list[ContainerInfo]:
        """The notebook's containers as the runtime knows them, oldest first."""
        is_bare = await self.main.place_if_bare() is not None
        return [] if is_bare else await asyncio.to_thread(self.source.list)

    async def remove(self, name: str) -> None:
        """Remove a container, files and all; ``main`` is made anew when it is next needed."""
        workspace = await self.get(name)
        await workspace.discard()
        if name != MAIN:
            del self._known[name]
            if self.current is workspace:
                self.current = self.main

    # --- output --------------------------------------------------------------------------

    def hold_output(self) -> None:
        """Read no output of the runners: nobody has room for it. Their cells wait."""
        for runner in self._runners:
            runner.hold_output()

    def release_output(self) -> None:
        """Read on."""
        for runner in self._runners:
            runner.release_output()

    @property
    def _runners(self) -> Iterator[Runner]:
        for workspace in self._known.values():
            for language in Language:
                if (runner := workspace.running(language)) is not None:
                    yield runner

    # --- the end -------------------------------------------------------------------------

    async def close(self, *, restart: bool) -> None:
        """The kernel ends: interpreters end; for good, other processes too. Files stay."""
        leaving, self._known = self._known, {}
        for workspace in leaving.values():
            await workspace.leave(restart=restart)
        await asyncio.to_thread(self.source.forget)
