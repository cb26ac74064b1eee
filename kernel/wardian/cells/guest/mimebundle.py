"""What an object looks like: its ``_repr_*_`` methods asked as IPython asks them."""

from __future__ import annotations

import base64
from typing import Any, Dict, Tuple

METHODS = {
    "text/html": "_repr_html_",
    "text/markdown": "_repr_markdown_",
    "image/svg+xml": "_repr_svg_",
    "image/png": "_repr_png_",
    "image/jpeg": "_repr_jpeg_",
    "application/pdf": "_repr_pdf_",
    "text/latex": "_repr_latex_",
    "application/json": "_repr_json_",
    "application/javascript": "_repr_javascript_",
}


def mimebundle(value: Any) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """Data and metadata by mime type; always with text/plain."""
    data: Dict[str, Any] = {}
    metadata: Dict[str, Any] = {}
    if not isinstance(value, type):
        _from_methods(value, data, metadata)
        _from_bundle(value, data, metadata)
    if "text/plain" not in data:
        data["text/plain"] = repr(value)
    return data, metadata


def _from_methods(value: Any, data: Dict[str, Any], metadata: Dict[str, Any]) -> None:
    for mime, name in METHODS.items():
        method = getattr(value, name, None)
        shown = method() if callable(method) else None
        if isinstance(shown, tuple):
            shown, metadata[mime] = shown
        if isinstance(shown, bytes):
            shown = base64.b64encode(shown).decode("ascii")
        if shown is not None:
            data[mime] = shown


def _from_bundle(value: Any, data: Dict[str, Any], metadata: Dict[str, Any]) -> None:
    method = getattr(value, "_repr_mimebundle_", None)
    if not callable(method):
        return
    shown = method(include=None, exclude=None)
    if isinstance(shown, tuple):
        shown, more = shown
        metadata.update(more)
    if shown:
        data.update(shown)
