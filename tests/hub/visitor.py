"""A user of a hub, as the page is one: logs in by the form, starts a server, runs cells."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.hub.real_hub import PASSWORD, RealHub, User

PATIENCE_S = 1800.0  # of a class on a machine that has other work
Message = dict[str, Any]
AsyncHTTPClient.configure(None, max_clients=1000)  # a browser for each, not ten for all


@dataclass(frozen=True, slots=True)
class Said:
    """What came of a cell."""

    status: str
    text: str
    error: str


@dataclass(slots=True)
class Visitor:
    """One browser. ``first_result_s`` is from the login to what the first cell said."""

    hub: RealHub
    user: User
    first_result_s: float = 0.0
    _token: str = ""
    _kernel: str = ""
    _socket: WebSocketClientConnection | None = None
    _cookies: dict[str, str] = field(default_factory=dict)

    async def come(self, first: str) -> Said:
        """Log in, start a server and a Python notebook's kernel, run a first cell."""
        began = time.monotonic()
        await self.log_in()
        await self.start_server()
        await self.open_kernel("wardian-python")
        said = await self.run(first)
        self.first_result_s = time.monotonic() - began
        return said

    async def log_in(self) -> None:
        """By the form, and for a token of one's own."""
        page = await self._fetch("/hub/login")
        words = {"username": self.user.name, "password": PASSWORD, "_xsrf": self._cookies["_xsrf"]}
        assert page.code == 200
        await self._fetch("/hub/login", "POST", urlencode(words), follow_redirects=False)
        self._cookies.pop("_xsrf")
        await self._fetch("/hub/home")
        path = f"/hub/api/users/{self.user.name}/tokens"
        headers = {"X-XSRFToken": self._cookies["_xsrf"], "Content-Type": "application/json"}
        answer = await self._fetch(path, "POST", "{}", headers=headers)
        self._token = json.loads(answer.body)["token"]

    async def start_server(self) -> None:
        """Until it answers, which the hub tells as it goes on."""
        path = f"/hub/api/users/{self.user.name}/server"
        await self.ask(path, "POST", "")
        headers = {"Authorization": f"token {self._token}"}
        told = await self._fetch(f"{path}/progress", headers=headers, with_cookies=False)
        last = told.body.decode().strip().rpartition("data: ")[2]
        assert json.loads(last).get("ready"), (last, self.hub.log[-5000:])

    async def open_kernel(self, name: str) -> None:
        """Start a kernel and connect with it."""
        kernel = await self.ask(f"{self._own}/api/kernels", "POST", json.dumps({"name": name}))
        self._kernel = kernel["id"]
        await self.connect()

    async def connect(self) -> None:
        """A WebSocket to the kernel that there is, in place of one that was."""
        await self.leave()
        address = f"ws{self.hub.url[4:]}{self._own}/api/kernels/{self._kernel}/channels"
        request = HTTPRequest(
            address,
            headers={"Authorization": f"token {self._token}"},
            connect_timeout=PATIENCE_S,
            request_timeout=PATIENCE_S,
        )
        self._socket = await websocket_connect(request)

    async def run(self, code: str) -> Said:
        """A cell, until the kernel is idle again."""
        assert self._socket is not None
        asked = uuid.uuid4().hex
        header = {"msg_id": asked, "msg_type": "execute_request", "session": "page"}
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
        parts = {"parent_header": {}, "metadata": {}, "channel": "shell", "content": content}
        header |= {"username": "", "version": "5.3", "date": ""}
        await self._socket.write_message(json.dumps({"header": header, **parts}))
        text, error, status, waits = "", "", "", {"reply", "idle"}
        while waits:
            heard = await asyncio.wait_for(self._socket.read_message(), PATIENCE_S)
            assert heard is not None, f"the kernel's connection was closed during {code!r}"
            if isinstance(heard, bytes):
                continue  # of a view
            message: Message = json.loads(heard)
            if message["parent_header"].get("msg_id") != asked:
                continue
            kind, said = message["msg_type"], message["content"]
            if kind == "execute_reply":
                status = said["status"]
                waits.discard("reply")
            elif kind == "status" and said["execution_state"] == "idle":
                waits.discard("idle")
            elif kind == "stream":
                text += said["text"]
            elif kind in ("execute_result", "display_data"):
                text += said["data"].get("text/plain", "")
            elif kind == "error":
                error = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(said["traceback"]))
        return Said(status, text, error)

    async def leave(self) -> None:
        """Close the page."""
        if self._socket is not None:
            self._socket.close()
            while await asyncio.wait_for(self._socket.read_message(), PATIENCE_S) is not None:
                pass
            self._socket = None

    async def ask(self, path: str, method: str = "GET", body: str | None = None) -> Any:
        """The hub's API or the user's server's, with the user's own token."""
        headers = {"Authorization": f"token {self._token}"}
        answer = await self._fetch(path, method, body, headers=headers, with_cookies=False)
        return json.loads(answer.body) if answer.body else None

    async def status_of(self, path: str) -> int:
        """What a request with the user's own token comes to."""
        headers = {"Authorization": f"token {self._token}"}
        answer = await self._fetch(
            path, headers=headers, with_cookies=False, raises=False, follow_redirects=False
        )
        return answer.code

    @property
    def _own(self) -> str:
        return f"/user/{self.user.name}"

    async def _fetch(
        self,
        path: str,
        method: str = "GET",
        body: str | None = None,
        *,
        headers: dict[str, str] | None = None,
        with_cookies: bool = True,
        raises: bool = True,
        follow_redirects: bool = True,
    ) -> HTTPResponse:
        sent = dict(headers or {})
        if with_cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        request = HTTPRequest(
            f"{self.hub.url}{path}",
            method=method,
            body=body,
            headers=sent,
            follow_redirects=follow_redirects,
            connect_timeout=PATIENCE_S,
            request_timeout=PATIENCE_S,
        )
        answer = await AsyncHTTPClient().fetch(request, raise_error=False)
        for line in answer.headers.get_list("Set-Cookie"):
            name, value = line.partition(";")[0].split("=", 1)
            self._cookies[name] = value
        if raises and answer.code >= 400:
            raise AssertionError((path, answer.code, answer.body[:500], self.hub.log[-3000:]))
        return answer
