"""Jupyter Server's part: what the side panel shows and does, below ``/wardian/api``.

It answers on the server's own port, to whom the server lets in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "wardian.jupyter.server"}]


def _load_jupyter_server_extension(app: ServerApp) -> None:
    from wardian.jupyter.server.routes import routes

    app.web_app.add_handlers(".*$", routes(app.base_url))  # type: ignore[no-untyped-call]
