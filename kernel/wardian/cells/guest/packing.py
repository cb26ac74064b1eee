"""Messages as JSON text, whatever users put into them."""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
import numbers
from typing import Any, Callable, Dict, Iterator, List, Optional

LARGE_CHARS = 1 << 16
PIECE_CHARS = 1 << 18  # a piece and its JSON fit into the cache of a core


def pack(message: Any) -> bytes:
    """The message as UTF-8 JSON.

    What JSON has no form for is put as Jupyter puts it: bytes in base64, dates in ISO 8601,
    numbers of other libraries as numbers, iterables as lists, NaN and infinities as null.
    """
    try:
        text = json.dumps(
            message, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain
        )
    except (TypeError, ValueError):
        text = json.dumps(_clean(message), ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


class Pieces:
    """The JSON text of a large Jupyter content, made piece by piece: never whole in memory.

    What can change is packed at once; large strings, which cannot, are kept as they are.
    """

    def __init__(self, content: Dict[str, Any]) -> None:
        self._parts: List[bytes | str] = []
        self._dumps = _orjson() or pack
        self._add_object(content, is_outermost=True)
        self.size = sum(map(len, self))

    def __iter__(self) -> Iterator[bytes | memoryview]:
        for part in self._parts:
            if isinstance(part, bytes):
                yield part
            else:
                for start in range(0, len(part), PIECE_CHARS):
                    yield memoryview(self._text(part[start : start + PIECE_CHARS]))[1:-1]

    def _add_object(self, value: Dict[str, Any], *, is_outermost: bool = False) -> None:
        before = b"{"
        for name, item in value.items():
            self._parts.append(before + pack(str(name)) + b":")
            if is_outermost and name == "data" and isinstance(item, dict):
                self._add_object(item)
            elif isinstance(item, str) and len(item) > LARGE_CHARS:
                self._parts += [b'"', item, b'"']
            else:
                self._parts.append(pack(item))
            before = b","
        self._parts.append(b"}" if before == b"," else b"{}")

    def _text(self, text: str) -> bytes:
        try:
            return self._dumps(text)
        except TypeError:  # a lone surrogate
            return pack(text)


def _orjson() -> Optional[Callable[..., bytes]]:
    """A faster ``dumps``, which the toolbox has; worth its import from a few pages of text on."""
    try:
        import orjson
    except ImportError:
        return None
    dumps: Callable[..., bytes] = orjson.dumps
    return dumps


def is_large(content: Any) -> bool:
    """Whether this Jupyter content has data of more than a few pages."""
    try:
        return any(
            isinstance(value, str) and len(value) > LARGE_CHARS
            for value in content["data"].values()
        )
    except (AttributeError, KeyError, TypeError):
        return False


def _plain(value: Any) -> Any:
    """What json.dumps calls for a value that it does not know."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(bytes(value)).decode("ascii")
    if isinstance(value, (dt.datetime, dt.date)):
        return value.isoformat()
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if hasattr(value, "__iter__"):
        return list(value)
    raise TypeError(f"{value!r} is not JSON serializable")


def _clean(value: Any) -> Any:
    """A copy that json.dumps takes for sure."""
    if value is None or isinstance(value, (bool, str, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_clean(item) for item in value]
    return _clean(_plain(value))
