"""The addresses below ``/wardian/api``, for whom the Jupyter server lets in.

Blocking work is done in threads: the server serves others meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web
from tornado.ioloop import IOLoop

from wardian.errors import FailedPrecondition, InvalidInput, NotFound, WardianError
from wardian.jupyter import defaults
from wardian.jupyter.server import deeds
from wardian.jupyter.server.views import RESOURCE, ImageSocket, Socket, ViewSocket
from wardian.jupyter.server.watcher import PERIOD_S, Watcher
from wardian.widgets.feed import VIEWS

MOST_LINES = 5000
FASTEST_S = 0.2
STATUS = {NotFound: 404, FailedPrecondition: 409, InvalidInput: 400}
NAME = r"(?P<name>[^/]+)"


class _Handler(APIHandler):
    auth_resource = RESOURCE

    async def _do(self, act: Callable[..., Any], *arguments: Any) -> None:
        """Answer with what it returns, or with why it could not be done."""
        try:
            value = await asyncio.to_thread(act, *arguments)
        except WardianError as error:
            self.set_status(_status(error))
            value = {"message": error.what, "hint": error.hint}
        self.finish(msgspec.json.encode(value))


class Deed(_Handler):
    """``POST containers/NAME/stop``, and the other verbs of `deeds.CONTAINER`."""

    @web.authenticated
    @authorized
    async def post(self, name: str, deed: str) -> None:
        await self._do(deeds.to_container, name, deed)


class Logs(_Handler):
    """``GET containers/NAME/logs?tail=N``."""

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        tail = self.get_query_argument("tail", "500")
        if not tail.isdecimal() or not 0 < int(tail) <= MOST_LINES:
            raise web.HTTPError(400, f"tail is 1 to {MOST_LINES}")
        await self._do(deeds.log_lines, name, int(tail))


class Thing(_Handler):
    """``DELETE images/NAME``, ``volumes/NAME``, ``networks/NAME``."""

    def initialize(self, remove: Callable[[str], None]) -> None:
        self._remove = remove

    @web.authenticated
    @authorized
    async def delete(self, name: str) -> None:
        await self._do(self._remove, name)


class Defaults(_Handler):
    """``PUT defaults``: what JupyterLab's settings give notebooks that say nothing else."""

    @web.authenticated
    @authorized
    async def put(self) -> None:
        await self._do(defaults.write, self.get_json_body())


class Live(Socket):
    """What there is, now and whenever it changes, as long as the panel is looked at."""

    _watcher: Watcher | None = None

    def open(self, *arguments: Any, **named: Any) -> None:
        super().open(*arguments, **named)
        loop = IOLoop.current()

        def say(news: Any) -> None:
            loop.add_callback(self.say, msgspec.json.encode(news), binary=False)

        self._watcher = Watcher(say, max(self.period_s or PERIOD_S, FASTEST_S))
        self._watcher.start()

    def on_message(self, message: str | bytes) -> None:
        """The page has nothing to say."""

    def on_close(self) -> None:
        super().on_close()
        if self._watcher is not None:
            self._watcher.close()


def _status(error: WardianError) -> int:
    return STATUS.get(type(error), 500)


def routes(base_url: str) -> list[tuple[Any, ...]]:
    """For the server's application."""

    def at(*path: str) -> str:
        return url_path_join(base_url, "wardian", "api", *path)

    return [
        (at("live"), Live),
        (at("defaults"), Defaults),
        (at("containers", NAME, "logs"), Logs),
        (at("containers", NAME, "views", f"(?P<view>{'|'.join(VIEWS)})"), ViewSocket),
        (at("containers", NAME, "(?P<deed>[a-z]+)"), Deed),
        (at("images", "(?P<name>.+)", "view"), ImageSocket),
        (at("images", "(?P<name>.+)"), Thing, {"remove": deeds.remove_image}),
        (at("networks", NAME), Thing, {"remove": deeds.remove_network}),
        (at("volumes", NAME), Thing, {"remove": deeds.remove_volume}),
    ]
