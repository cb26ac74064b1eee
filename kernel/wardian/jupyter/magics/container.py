"""``%container``: the notebook's containers."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING, ClassVar

from msgspec.structs import replace

from wardian.errors import InvalidInput, SetupError
from wardian.jupyter import plain, wording
from wardian.jupyter.magics.base import Call, Magic, Parser, add_limit_options, chosen_limits
from wardian.jupyter.source import MAIN, local_name

if TYPE_CHECKING:
    from wardian.jupyter.settings import Settings
    from wardian.jupyter.workspace import Workspace
    from wardian.runtime.messages import ContainerInfo

ON_BARE = ("status", "list", "restart", "reset")  # what plain processes have, too
HEADS = ("", "NAME", "IMAGE", "STATUS", "MEMORY", "CPUS", "PIDS")


class ContainerMagic(Magic):
    """Status, and the verbs that make, choose, keep and end containers."""

    name = "container"
    summary = "The containers of this notebook. Without a verb: the current one."
    example = "  %container new web --image wardian/busybox --memory 64m\n  %container use web"
    verbs: ClassVar[dict[str, str]] = {
        "list": "all containers of this notebook; * marks the current one",
        "new": "make a container; cells go on to run in the current one",
        "use": "run the following cells in another container",
        "keep": "let it run on when the kernel is shut down",
        "restart": "end its processes and start it again; files stay",
        "reset": "replace it by a new one: files and processes are lost",
        "commit": "make an image of it as it is now",
        "rm": "remove it: files and processes are lost",
    }

    def configure(self, parser: Parser) -> None:
        parser.add_verbs(self.verbs)
        for verb, one in parser.verbs.items():
            if verb == "list":
                continue
            is_named = verb in ("new", "use", "commit")
            one.add_argument("container", nargs=None if is_named else "?", metavar="NAME")
            if verb == "commit":
                one.add_argument("image", metavar="IMAGE", help="its name, like web:snapshot")
            if verb == "new":
                _add_options_of_new(one)
            if verb in ("new", "reset"):
                one.add_argument("--image", help="the image, like wardian/base")
                one.add_argument("--python", choices=("toolbox", "image"), help="whose Python")
                one.add_argument(
                    *("-v", "--volume"),
                    dest="volumes",
                    action="append",
                    metavar="SOURCE:PATH",
                    help="a volume by name, or a directory of this machine",
                )
                one.add_argument(
                    "--privileged",
                    action="store_true",
                    help="all capabilities of its user namespace, no filter, nothing hidden",
                )
                add_limit_options(one)

    async def run(self, call: Call, options: argparse.Namespace) -> None:
        verb = options.verb or "status"
        place = await call.kernel.workspaces.main.place_if_bare()
        if place is not None and verb not in ON_BARE:
            raise call.kernel.workspaces.main.no_container(f"%container {verb}")
        await getattr(self, f"_{verb}")(call, options)

    async def arguments(self, call: Call, words: list[str]) -> list[str]:
        if not words:
            return list(self.verbs)
        if len(words) == 1 and words[0] != "new":
            return [local_name(info) for info in await call.kernel.workspaces.list()]
        return []

    async def _named(self, call: Call, options: argparse.Namespace) -> Workspace:
        workspaces = call.kernel.workspaces
        return await workspaces.get(options.container) if options.container else call.workspace

    async def _status(self, call: Call, _options: argparse.Namespace) -> None:
        await call.workspace.launcher()
        if (place := call.workspace.place) is not None:
            facts = plain.facts(place, call.workspace.timeout_s)
            call.print(f"{plain.NAME}\n{wording.table([('', *fact) for fact in facts])}")
            return
        info = await asyncio.to_thread(lambda: call.workspace.container.info)
        rows = [("image", info.image), ("status", info.status.value)]
        rows += wording.limits(info.spec.limits, timeout_s=call.workspace.timeout_s)
        call.print(f"{call.workspace.name}\n{wording.table([('', *row) for row in rows])}")

    async def _list(self, call: Call, _options: argparse.Namespace) -> None:
        if await call.kernel.workspaces.main.place_if_bare() is not None:
            call.print(f"{plain.NAME}: cells run as plain processes; %container tells more")
            return
        current = call.kernel.workspaces.current.name
        infos = await call.kernel.workspaces.list()
        rows = [_row(info, current) for info in sorted(infos, key=_order)]
        known = {local_name(info) for info in infos}
        rows += [
            ("*" if name == current else "", name, "", "not started", "", "", "")
            for name in call.kernel.workspaces.names
            if name not in known
        ]
        call.print(wording.table([HEADS, *rows]))

    async def _new(self, call: Call, options: argparse.Namespace) -> None:
        workspaces = call.kernel.workspaces
        settings = replace(
            _chosen(workspaces.read_settings(), options),
            network=options.network,
            ip=options.ip,
            publish=tuple(options.publish),
            cap_add=tuple(options.cap_add),
        )
        workspace = await workspaces.new(options.container, settings)
        try:
            await workspace.launcher()
        except BaseException:
            workspaces.drop(workspace)
            raise
        call.print(f"{workspace.name}: made from {settings.image}")
        await _warn(call, workspace)

    async def _use(self, call: Call, options: argparse.Namespace) -> None:
        workspace = await call.kernel.workspaces.get(options.container)
        await workspace.launcher()
        call.kernel.workspaces.current = workspace
        call.print(f"cells run in {workspace.name} now")

    async def _keep(self, call: Call, options: argparse.Namespace) -> None:
        workspace = await self._named(call, options)
        await workspace.launcher()
        if not workspace.source.is_notebook:
            raise InvalidInput(
                "this kernel has no notebook by which the container could be found again",
                hint="save the notebook and open it in JupyterLab",
            )
        await asyncio.to_thread(workspace.source.keep_always, workspace.container)
        call.print(f"{workspace.name}: goes on when the kernel is shut down")

    async def _restart(self, call: Call, options: argparse.Namespace) -> None:
        workspace = await self._named(call, options)
        await workspace.launcher()
        await workspace.restart()
        call.print(f"{workspace.name}: restarted; files are as they were, processes are gone")

    async def _reset(self, call: Call, options: argparse.Namespace) -> None:
        workspace = await self._named(call, options)
        await workspace.discard()
        if chosen_limits(options) or options.privileged:
            workspace.choose(_chosen(call.kernel.workspaces.read_settings(), options))
        await workspace.launcher()
        origin = "new" if workspace.place else f"new from {workspace.settings.image}"
        call.print(f"{workspace.name}: {origin}")
        await _warn(call, workspace)

    async def _commit(self, call: Call, options: argparse.Namespace) -> None:
        from wardian.build.committing import commit

        workspace = await self._named(call, options)
        await workspace.launcher()
        container = workspace.container
        what = container.client, container, options.image
        try:
            await asyncio.to_thread(commit, *what)
        except SetupError:  # nothing to freeze it by; what cells have begun may go on meanwhile
            await asyncio.to_thread(commit, *what, pause=False)
        call.print(f"{options.image}: made from {workspace.name} as it is now")

    async def _rm(self, call: Call, options: argparse.Namespace) -> None:
        workspace = await self._named(call, options)
        await call.kernel.workspaces.remove(workspace.name)
        call.print(f"{workspace.name}: removed")


def _add_options_of_new(parser: Parser) -> None:
    """What only a container that is not there yet can be given, as docker spells it."""
    parser.add_argument("--network", default="", metavar="NETWORK", help="be in this network")
    parser.add_argument("--ip", default="", metavar="IPV4", help="its address there")
    parser.add_argument(
        *("-p", "--publish"),
        action="append",
        default=[],
        metavar="[[IP:]PORT:]PORT",
        help="lead a port of this machine to one of the container",
    )
    parser.add_argument(
        "--cap-add", action="append", default=[], metavar="CAP", help="one capability more"
    )


def _chosen(usual: Settings, options: argparse.Namespace) -> Settings:
    return replace(usual.with_words(chosen_limits(options)), privileged=options.privileged)


def _row(info: ContainerInfo, current: str) -> tuple[str, ...]:
    limits = dict(wording.limits(info.spec.limits))
    name = local_name(info)
    mark = "*" if name == current else ""
    return (
        mark,
        name,
        info.image,
        info.status.value,
        limits["memory"],
        limits["cpus"],
        limits["pids"],
    )


def _order(info: ContainerInfo) -> tuple[bool, str]:
    return (local_name(info) != MAIN, local_name(info))


async def _warn(call: Call, workspace: Workspace) -> None:
    """A limit that is not in force is said."""
    if workspace.place is not None:  # by the next cell, with all else
        return
    info = await asyncio.to_thread(lambda: workspace.container.info)
    for warning in info.warnings:
        call.print(f"warning: {warning}", stream="stderr")
