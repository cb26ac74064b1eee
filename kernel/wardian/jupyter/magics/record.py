"""``%record``: what the views show, kept beside the notebook and shown again anywhere."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, ClassVar

from wardian.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    SetupError,
    WardianError,
)
from wardian.jupyter import wording
from wardian.jupyter.magics.base import Call, Magic, Parser
from wardian.jupyter.magics.view import show_made
from wardian.observe import recording
from wardian.observe.label import label

if TYPE_CHECKING:
    from pathlib import Path

    from wardian.jupyter.workspace import Workspace
    from wardian.jupyter.workspaces import Workspaces

VIEWS = ("layers", "processes", "resources", "network")
BARE_VIEWS = ("processes", "resources")  # what plain processes have, too
SECONDS = 600.0
_NAME = re.compile(r"\w[\w. -]{0,79}")
_MOST_LISTED = 1000


class Record(Magic):
    """Record views while cells run; replay them where there is no container either."""

    name = "record"
    summary = "Record what the views of the container show, and replay it anywhere."
    example = "  %record start fork --views processes,layers\n  %record stop\n  %record show fork"
    verbs: ClassVar[dict[str, str]] = {
        "start": "record the current container's views, whether they are seen or not",
        "stop": "keep what was recorded, in a file beside the notebook",
        "list": "the recordings beside the notebook",
        "show": "replay one; no container and no rights are needed",
    }

    def configure(self, parser: Parser) -> None:
        parser.add_verbs(self.verbs, needs_one=True)
        start, show = parser.verbs["start"], parser.verbs["show"]
        start.add_argument("recording", nargs="?", metavar="NAME", help="default: the notebook's")
        show.add_argument("recording", metavar="NAME", help="a name, or the path of a file")
        for one in (start, show):
            one.add_argument("--views", metavar="VIEW,…", help=f"some of {', '.join(VIEWS)}")
        start.add_argument("--seconds", type=float, default=SECONDS, help="stop after so many")
        start.add_argument("--replace", action="store_true", help="even if there is one")
        show.add_argument("--text", action="store_true", help="text only: the last frames")
        parser.verbs["list"].add_argument(
            "--details", action="store_true", help="with time, machine and size"
        )

    async def run(self, call: Call, options: argparse.Namespace) -> None:
        await getattr(self, f"_{options.verb}")(call, options)

    async def arguments(self, call: Call, words: list[str]) -> list[str]:
        if not words:
            return list(self.verbs)
        if words[-1] == "--views":
            return list(VIEWS)
        if words in (["show"], ["start"]):
            found = await asyncio.to_thread(_found, call.kernel.workspaces.directory)
            return [_bare_name(path) for path in found]
        return []

    async def _start(self, call: Call, options: argparse.Namespace) -> None:
        from wardian.widgets.recorder import Recorder

        kernel = call.kernel
        if kernel.recorder is not None and kernel.recorder.is_running:
            raise FailedPrecondition("a recording is under way", hint="end it: %record stop")
        if not 0 < options.seconds <= recording.MOST_SECONDS:
            raise InvalidInput("--seconds is out of range", hint="use at most 3600")
        workspaces = kernel.workspaces
        path = _path(workspaces, options.recording)
        if not os.access(path.parent, os.W_OK):
            raise SetupError(
                "the notebook's directory cannot be written: a recording is kept there",
                hint="copy the notebook to a directory of yours",
            )
        if path.exists() and not options.replace:
            raise AlreadyExists(
                f"there is a recording {path.name}", hint="use another name, or --replace"
            )
        await call.workspace.launcher()
        views = _views(options.views) or _usual_views(call.workspace)
        recorder = Recorder(
            recording.Head.now(call.workspace.name, _notebook_name(workspaces)),
            call.workspace.sight,
            path,
            seconds=options.seconds,
        )
        try:
            await asyncio.to_thread(recorder.start, views, needs_all=bool(options.views))
        except BaseException:
            recorder.discard()
            raise
        kernel.recorder = recorder
        recorder.mark(call.request.count, begins=True)
        call.print(f"recording {', '.join(recorder.views)} of {call.workspace.name}")
        for view, error in recorder.missing.items():
            call.print(f"not recorded: {view}: {error.what}", stream="stderr")

    async def _stop(self, call: Call, _options: argparse.Namespace) -> None:
        kernel = call.kernel
        recorder = kernel.recorder
        if recorder is None:
            raise FailedPrecondition("nothing is being recorded", hint="begin: %record start")
        kernel.recorder = None
        await asyncio.to_thread(recorder.stop)
        call.print(f"recorded {', '.join(recorder.views)} in {recorder.path.name}")
        if recorder.why:
            call.print(f"the recording has ended before: {recorder.why}", stream="stderr")

    async def _list(self, call: Call, options: argparse.Namespace) -> None:
        kernel = call.kernel
        found = await asyncio.to_thread(_found, kernel.workspaces.directory)
        rows = [await asyncio.to_thread(_row, path) for path in found]
        if kernel.recorder is not None and kernel.recorder.is_running:
            name = _bare_name(kernel.recorder.path)
            rows = [row for row in rows if row[0] != name]
            rows.append((name, "(being recorded)", "", "", "", ""))
        if not rows:
            call.print("no recordings beside the notebook")
            return
        heads = ("NAME", "CONTAINER", "NOTEBOOK", "WHEN (UTC)", "MACHINE", "SIZE")
        shown = len(heads) if options.details else 3
        call.print(wording.table([row[:shown] for row in (heads, *rows)]))

    async def _show(self, call: Call, options: argparse.Namespace) -> None:
        from wardian.widgets.recording_still import chosen
        from wardian.widgets.recording_still import forms as forms_of

        name = options.recording.removesuffix(recording.SUFFIX)
        path = call.kernel.workspaces.directory / f"{name}{recording.SUFFIX}"
        recorded = await asyncio.to_thread(recording.load, path)
        views = chosen(recorded, _views(options.views))
        forms = forms_of(recorded, views)
        if options.text:
            call.print(forms["text/plain"])
        else:
            show_made(call, lambda made: made.replay(recorded, *views), forms, forms)


async def show_recorded(call: Call, view: str, refused: WardianError) -> bool:
    """Replay this view as the lesson's recording has it, if there is one; say why it is not live.

    The course has its recordings in a folder beside those of its languages.
    """
    from wardian.widgets.recording_still import forms as forms_of

    notebook = call.kernel.workspaces.notebook
    if not view or notebook is None:
        return False
    name = f"{notebook.path.stem}{recording.SUFFIX}"
    path = notebook.path.parent.parent / "recordings" / name
    try:
        recorded = await asyncio.to_thread(recording.load, path)
    except (InvalidInput, NotFound, SetupError):
        return False
    if view not in recorded.last:
        return False
    call.print(f"recorded on another machine: {refused.what}", stream="stderr")
    forms = forms_of(recorded, [view])
    show_made(call, lambda made: made.replay(recorded, view), forms, forms)
    return True


def _usual_views(workspace: Workspace) -> tuple[str, ...]:
    return VIEWS if workspace.place is None else BARE_VIEWS


def _views(words: str | None) -> tuple[str, ...]:
    """Those that are named, in our order. Raises InvalidInput."""
    named = {word.strip() for word in (words or "").split(",")} - {""}
    if unknown := sorted(named.difference(VIEWS)):
        raise InvalidInput(f"no such view: {unknown[0][:40]!r}", hint=f"one of {', '.join(VIEWS)}")
    return tuple(view for view in VIEWS if view in named)


def _notebook_name(workspaces: Workspaces) -> str:
    return workspaces.notebook.path.name if workspaces.notebook else ""


def _path(workspaces: Workspaces, name: str | None) -> Path:
    """Where a recording of this name is kept: beside the notebook. Raises InvalidInput."""
    if name is None:
        name = workspaces.notebook.path.stem if workspaces.notebook else "recording"
    elif not _NAME.fullmatch(name):
        raise InvalidInput(f"not a name for a recording: {name[:40]!r}", hint="like fork or lab-2")
    return workspaces.directory / f"{name}{recording.SUFFIX}"


def _found(directory: Path) -> list[Path]:
    """The recordings in a directory, by name."""
    found = (path for path in directory.glob(f"*{recording.SUFFIX}") if path.is_file())
    return sorted(islice(found, _MOST_LISTED))


def _bare_name(path: Path) -> str:
    return label(path.name.removesuffix(recording.SUFFIX))


def _row(path: Path) -> tuple[str, ...]:
    try:
        head = recording.load_head(path)
    except (InvalidInput, NotFound, SetupError):
        return _bare_name(path), "(not readable)", "", "", "", ""
    when = datetime.fromtimestamp(head.begun_s, UTC).strftime("%Y-%m-%d %H:%M:%S")
    size = wording.size(path.stat().st_size)
    return _bare_name(path), head.container, head.notebook, when, head.machine, size
