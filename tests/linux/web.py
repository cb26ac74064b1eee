"""A web server on the loopback that serves a directory and notes what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LAST_MODIFIED = "Wed, 21 Oct 2015 07:28:00 GMT"
LAST_MODIFIED_S = 1445412480


@dataclass
class Web:
    """``headers`` are sent with every answer; ``etags`` by path make a server that knows them."""

    directory: Path
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


class Handler(SimpleHTTPRequestHandler):
    """Files, and what the test adds to them."""

    def __init__(self, *arguments: object, web: Web) -> None:
        self.web = web
        super().__init__(*arguments, directory=str(web.directory))  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """A file, or that it is still the same."""
        etag = self.web.etags.get(self.path, "")
        is_same = bool(etag) and self.headers.get("If-None-Match") == etag
        self.web.asked.append(f"{304 if is_same else 200} {self.path}")
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "/file")
            self.end_headers()
        elif is_same:
            self.send_response(304)
            self.end_headers()
        else:
            super().do_GET()

    def end_headers(self) -> None:
        """The usual ones and the test's."""
        if etag := self.web.etags.get(self.path, ""):
            self.send_header("ETag", etag)
        for name, value in self.web.headers.items():
            self.send_header(name, value)
        super().end_headers()

    def send_header(self, keyword: str, value: str) -> None:
        """The time of a file is the test's to say."""
        if keyword != "Last-Modified" or value == self.web.headers.get(keyword):
            super().send_header(keyword, value)

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@contextmanager
def serving(directory: Path) -> Iterator[Web]:
    """The server, as long as it is needed."""
    web = Web(directory)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, web=web))
    web.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
