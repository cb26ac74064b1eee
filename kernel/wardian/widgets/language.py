"""The views' words for a page that is not JupyterLab's, and asks for those of its language.

JupyterLab has them from its server. They are data of that server's extension, where it looks for
them, and are read from there, too: an import would bring the server.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec

_LOCALE = Path(__file__).parents[1] / "jupyter/server/locale"
_KOREAN = _LOCALE / "ko_KR/LC_MESSAGES/wardian.json"


def words_asked_for(content: object) -> bytes | None:
    """The message that answers a page's, if it asks for words that there are."""
    if not isinstance(content, dict) or content.get("kind") != "words":
        return None
    return _korean() if content.get("language") == "ko" else None


@cache
def _korean() -> bytes:
    catalogue = msgspec.Raw(_KOREAN.read_bytes())
    return msgspec.json.encode({"kind": "words", "catalogue": catalogue})
