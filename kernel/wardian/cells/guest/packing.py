"""Messages as JSON text, whatever users put into them."""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
import numbers
from typing import Any, Callable, Dict, Optional

LARGE_CHARS = 1 << 16


def pack(message: Dict[str, Any]) -> bytes:
    """The message as UTF-8 JSON.

    What JSON has no form for is put as Jupyter puts it: bytes in base64, dates in ISO 8601,
    numbers of other libraries as numbers, iterables as lists, NaN and infinities as null.
    """
    fast = _orjson() if is_large(message.get("content", message)) else None
    if fast is not None:
        try:
            return fast(message)
        except TypeError:  # keys that are no strings, integers beyond 64 bits, lone surrogates
            pass
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
