"""Compose files put on one another: which values replace and which are added (compose-spec, 13)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wardian.compose.document import RESET, Key

# Of these lists a later file's come after an earlier one's; others are replaced.
_ADDED = {
    *("ports", "expose", "tmpfs", "env_file", "cap_add", "cap_drop", "dns", "dns_search"),
    *("extra_hosts", "profiles", "tags"),
}
# And of these one replaces another of the same place in the container.
_BY_PLACE = {"volumes", "secrets", "configs"}


def put_on(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    """Change ``below`` to what comes of it with ``above`` on top; both in canonical form."""
    for key, value in above.items():
        old = below.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            put_on(old, value)
        elif isinstance(old, list) and isinstance(value, list) and key in _ADDED:
            below[key] = [*old, *(one for one in value if one not in old)]
        elif isinstance(old, list) and isinstance(value, list) and key in _BY_PLACE:
            below[key] = [*{_place(one): one for one in (*old, *value)}.values()]
        else:
            below[key] = value


def put_tagged(below: dict[str, Any], above: Mapping[str, Any], tags: Mapping[Key, str]) -> None:
    """The same, minding the tags of what comes on top (`document.RESET`, `document.OVERRIDE`)."""
    for key in tags:
        _cut(below, key)
    put_on(below, above)
    for key in [key for key, tag in tags.items() if tag == RESET]:
        _cut(below, key)


def _cut(values: Any, key: Key) -> None:
    for name in key[:-1]:
        values = values.get(name) if isinstance(values, dict) else None
    if isinstance(values, dict):
        values.pop(key[-1], None)


def _place(one: object) -> str:
    if not isinstance(one, Mapping):
        return repr(one)
    return str(one.get("target") or one.get("source"))
