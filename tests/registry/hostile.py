"""A registry that does what it is told to, good or bad: for faults that no real one shows."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.registry.images import CONFIG, layer
from wardian.images.manifest import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE

# What to do with a request; True if the request has been answered by that.
Trick = Callable[["Handler"], bool]


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class Content:
    """What there is to serve, by path, and what goes wrong with it."""

    paths: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    trick: Trick = lambda _: False
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    uploads: dict[str, bytes] = field(default_factory=dict)
    released: threading.Event = field(default_factory=threading.Event)
    name: str = ""

    def add_blob(self, data: bytes, path: str = "x") -> str:
        self.paths[f"/v2/{path}/blobs/{digest(data)}"] = ("application/octet-stream", data)
        return digest(data)

    def add_manifest(self, tag: str, fields: dict[str, Any] | bytes, path: str = "x") -> str:
        data = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
        kind = MANIFEST_TYPE if isinstance(fields, bytes) else fields.get("mediaType", "")
        for one in (tag, digest(data)):
            self.paths[f"/v2/{path}/manifests/{one}"] = (kind, data)
        return digest(data)

    def add_image(self, tag: str = "1", *, size_bytes: int = 1000, **config: Any) -> bytes:
        """An image of one layer; the layer's archive."""
        import gzip

        archive = layer(size_bytes)
        rootfs = {"type": "layers", "diff_ids": [digest(gzip.decompress(archive))]}
        described = json.dumps({**CONFIG, "rootfs": rootfs, **config}).encode()
        self.add_manifest(tag, manifest(described, archive))
        self.add_blob(described)
        self.add_blob(archive)
        return archive

    def asked(self, method: str, part: str) -> list[dict[str, str]]:
        """The headers of the requests so far whose path has this part."""
        return [headers for one, path, headers in self.seen if one == method and part in path]


def manifest(config: bytes, archive: bytes, **more: Any) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": digest(config), "size": len(config)},
        "layers": [
            {
                "mediaType": f"{LAYER_TYPE}+gzip",
                "digest": digest(archive),
                "size": len(archive),
            }
        ],
        **more,
    }


class Handler(BaseHTTPRequestHandler):
    """Serves GET and HEAD with ranges, and takes uploads."""

    protocol_version = "HTTP/1.1"
    content: Content

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its signature
        """Keep quiet."""

    def do_GET(self) -> None:
        self.content.seen.append((self.command, self.path, dict(self.headers)))
        if self.content.trick(self):
            return
        if self.path == "/v2/":
            self.answer(200, b"{}")
        elif (found := self.content.paths.get(self.path)) is not None:
            self.serve(*found)
        elif "/uploads/" in self.path:
            held = self.content.uploads.get(self.path.partition("?")[0], b"")
            self.answer(204, b"", Range=f"0-{len(held) - 1}", Location=self.path)
        else:
            self.answer(404, b'{"errors": [{"code": "X", "message": "nothing\\nhere"}]}')

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        self._note()
        if not self.content.trick(self):
            self.answer(202, b"", Location="/v2/x/blobs/uploads/u1")

    def do_PATCH(self) -> None:
        self._note()
        if not self.content.trick(self):
            self.take(int(self.headers["Content-Length"]))
            self.answer(202, b"", Location=self.path)

    def do_PUT(self) -> None:
        self._note()
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.content.trick(self):
            self.content.paths[self.path] = (self.headers.get("Content-Type", ""), data)
            self.answer(201, b"")

    def _note(self) -> None:
        self.content.seen.append((self.command, self.path, dict(self.headers)))

    def take(self, count: int) -> None:
        """Add so much of the request's body to the upload."""
        data = self.rfile.read(count)
        self.content.uploads[self.path] = self.content.uploads.get(self.path, b"") + data

    def serve(self, kind: str, data: bytes, *, only: int | None = None) -> None:
        """The data or the range that is asked for; ``only`` so many bytes, then cut the line."""
        start = int(self.headers.get("Range", "bytes=0-").partition("=")[2].partition("-")[0])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if self.command != "HEAD":
            end = len(data) if only is None else start + only
            self.wfile.write(data[start:end])
        if only is not None:
            self.cut()

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def cut(self) -> None:
        self.wfile.flush()
        self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the tests."""


@contextmanager
def hostile() -> Iterator[Content]:
    """Serve some content on a free port."""
    content = Content()
    handler = type("Bound", (Handler,), {"content": content})
    with _Server(("127.0.0.1", 0), handler) as server:
        content.name = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02))
        thread.start()
        try:
            yield content
        finally:
            content.released.set()
            server.shutdown()
            thread.join()
