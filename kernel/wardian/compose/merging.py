"""Compose files put on one another: which values replace and which are added (compose-spec, 13)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Of these lists a later file's come after an earlier one's; others are replaced.
_ADDED = {
    *("ports", "expose", "tmpfs", "env_file", "cap_add", "cap_drop", "dns", "dns_search"),
    *("extra_hosts", "profiles"),
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


def _place(one: object) -> str:
    if not isinstance(one, Mapping):
        return repr(one)
    return str(one.get("target") or one.get("source"))
