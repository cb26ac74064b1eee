"""An image's settings from a Dockerfile's words, as ``docker import --change`` takes them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from typing import Any

from wardian.errors import InvalidInput

LISTS = {"CMD": "Cmd", "ENTRYPOINT": "Entrypoint"}
WORDS = {"USER": "User", "WORKDIR": "WorkingDir", "STOPSIGNAL": "StopSignal"}
SETS = {"EXPOSE": "ExposedPorts", "VOLUME": "Volumes"}


def settings_of(instructions: Iterable[str]) -> dict[str, Any]:
    """The ``config`` of an image's configuration (image-spec, config.md). Raises InvalidInput."""
    config: dict[str, Any] = {}
    for line in instructions:
        name, _, rest = line.strip().partition(" ")
        _apply(config, name.upper(), rest.strip(), line)
    return config


def _apply(config: dict[str, Any], name: str, rest: str, line: str) -> None:
    if not rest:
        raise InvalidInput(f"not an instruction: {line[:80]!r}", hint="like 'CMD bash'")
    if name in LISTS:
        config[LISTS[name]] = _exec_form(rest) or ["/bin/sh", "-c", rest]
    elif name in WORDS:
        config[WORDS[name]] = rest
    elif name in SETS:
        values = _exec_form(rest) or rest.split()
        if name == "EXPOSE":
            values = [value if "/" in value else f"{value}/tcp" for value in values]
        config.setdefault(SETS[name], {}).update({value: {} for value in values})
    elif name == "ENV":
        replaced = {pair.partition("=")[0]: pair for pair in config.get("Env", ())}
        replaced |= {pair.partition("=")[0]: pair for pair in _pairs(rest, line)}
        config["Env"] = list(replaced.values())
    elif name == "LABEL":
        pairs = (pair.partition("=") for pair in _pairs(rest, line))
        config.setdefault("Labels", {}).update({key: value for key, _, value in pairs})
    else:
        raise InvalidInput(
            f"not a setting of an image: {name[:40]}",
            hint=f"of these: {', '.join(sorted([*LISTS, *WORDS, *SETS, 'ENV', 'LABEL']))}",
        )


def _exec_form(text: str) -> list[str] | None:
    """The words of a JSON list, None if it is none."""
    try:
        words = json.loads(text)
    except ValueError:
        return None
    is_list = isinstance(words, list) and all(isinstance(word, str) for word in words)
    return words if is_list else None


def _pairs(text: str, line: str) -> list[str]:
    """NAME=VALUE words, quoted as in a shell; the old form ``NAME VALUE`` is one pair."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidInput(f"a quotation without an end: {line[:80]!r}") from error
    if "=" not in words[0]:
        name, _, value = text.partition(" ")
        words = [f"{name}={value.strip()}"]
    if not all("=" in word and not word.startswith("=") for word in words):
        raise InvalidInput(f"not NAME=VALUE: {line[:80]!r}")
    return words
