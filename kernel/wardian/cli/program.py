"""The root of the command tree: a command's module is imported when it is called, not before."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import click

from wardian.errors import CommandFailed, WardianError

USAGE_EXIT_CODE = 125  # as docker's
INTERRUPTED_EXIT_CODE = 130


@dataclass(frozen=True, slots=True)
class Entry:
    """One command in the help: where it is defined (``module:name``) and what it does."""

    target: str
    summary: str


Sections = Mapping[str, Mapping[str, Entry]]

SECTIONS: Sections = {
    "Containers": {
        "run": Entry("run:run", "Create and start a container, and follow it."),
        "create": Entry("run:create", "Create a container without starting it."),
        "start": Entry("life:start", "Start containers that have ended or were only created."),
        "exec": Entry("execute:execute", "Run a program in a running container."),
        "ps": Entry("listing:ps", "List containers."),
        "stop": Entry("life:stop", "End containers: a signal, then SIGKILL after a while."),
        "kill": Entry("life:kill", "Send a signal to containers' main processes."),
        "restart": Entry("life:restart", "Stop containers and start them again."),
        "pause": Entry("life:pause", "Freeze every process of containers."),
        "unpause": Entry("life:unpause", "Let frozen containers go on."),
        "wait": Entry("life:wait", "Wait until containers end and print their exit codes."),
        "update": Entry("life:update", "Change the limits of containers, at once."),
        "cp": Entry("copy:cp", "Copy files out of a container or into it."),
        "rename": Entry("life:rename", "Give a container another name."),
        "rm": Entry("life:rm", "Remove containers and their writable layers."),
        "container": Entry("container:container", "All of these, and prune."),
    },
    "Looking inside": {
        "logs": Entry("logs:logs", "Print what a container's main process has printed."),
        "inspect": Entry("inspection:inspect", "Show all that is known, as JSON."),
        "diff": Entry("inspection:diff", "List what a container changed in its files."),
        "stats": Entry("stats:stats", "Watch memory, CPU and processes against their limits."),
        "events": Entry("events:events", "Print what happens to containers, as it happens."),
        "top": Entry("top:top", "List a container's processes, host pid and container pid."),
    },
    "Images": {
        "images": Entry("images:images", "List images."),
        "pull": Entry("transfer:pull", "Get an image from its registry."),
        "push": Entry("transfer:push", "Give an image to its registry."),
        "login": Entry("login:login", "Log in to a registry."),
        "logout": Entry("login:logout", "Forget the login to a registry."),
