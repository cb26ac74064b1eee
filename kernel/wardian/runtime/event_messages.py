"""What clients and the keeper say to each other about events, as typed values."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

# What a command does by itself, by a look at a container's files or processes; docker's words.
NotedAction = Literal["archive-path", "extract-to-dir", "export", "commit", "top", "detach"]


class Event(Struct, frozen=True):
    """Something happened to a container (or, by name alone, to a volume or a network).

    Docker's words: create, start, attach, detach, exec_create: …, exec_start: …, exec_detach,
    exec_die, health_status: …, kill, stop, oom, die, pause, unpause, update, rename, top,
    archive-path, extract-to-dir, export, commit, destroy. ``attributes`` has the container's
    labels and what else docker tells of it. In their manner: limit_hit: pids.

    There is no resize: a command sets the size at the terminal itself, and no keeper is asked.
    """

    time: float
    action: str
    id: str
    name: str
    image: str
    exit_code: int | None = None
    attributes: dict[str, str] = {}
    type: str = "container"


class EventsCall(Struct, frozen=True):
    """``events``: those since a moment that are remembered, and those to come until another."""

    since: float | None = None
    until: float | None = None


class NoteCall(Struct, frozen=True):
    """``note``: what a command did to a container without the keeper's help."""

    name: str
    action: NotedAction
    attributes: dict[str, str] = {}
