"""``volumes`` of a service in their long form, as words of ``--mount``."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from wardian.compose.project import VolumeEntry
from wardian.compose.section import Section


def words(one: Section, known: Mapping[str, VolumeEntry]) -> tuple[list[str], list[str]]:
    """The words, and the keys of the project's volumes that are among them. InvalidInput."""
    found: list[str] = []
    keys: list[str] = []
    for number, value in enumerate(one.items("volumes")):
        parts = _long(one.below(value, "volumes", str(number)))
        source = parts.get("src", "")
        if parts["type"] == "volume" and source:
            if source not in known:
                raise one.fault(
                    f"there is no volume {source[:80]}",
                    f"add it below the file's volumes:, or write ./{source[:80]} for a directory",
                    "volumes",
                    str(number),
                )
            keys.append(source)
            parts["src"] = known[source].name
        found.append(line([f"{key}={text}" for key, text in parts.items() if text]))
    return found, keys


def _long(one: Section) -> dict[str, str]:
    kind = one.text("type", "volume")
    if kind not in ("volume", "bind", "tmpfs"):
        raise one.fault(f"unknown type: {kind[:40]}", "use volume, bind or tmpfs", "type")
    found = {"type": kind, "src": one.text("source"), "dst": one.text("target")}
    if one.switch("read_only"):
        found["readonly"] = "true"
    for name, options in _OPTIONS.items():
        if name in one and name != kind:
            raise one.fault(f"it is of type {kind}", "leave it out", name)
        section = one.section(name)
        found |= {flag: text for key, flag in options if (text := section.text(key)) and flag}
        section.done()
    if "tmpfs-mode" in found:
        found["tmpfs-mode"] = f"{int(found['tmpfs-mode']):o}"  # YAML has read it as a number
    one.take("consistency")
    one.done()
    return found


# What each type can have, and the word of ``--mount`` for it.
_OPTIONS: Mapping[str, Sequence[tuple[str, str]]] = {
    "volume": (("nocopy", "volume-nocopy"),),
    "bind": (("propagation", "bind-propagation"), ("create_host_path", ""), ("selinux", "")),
    "tmpfs": (("size", "tmpfs-size"), ("mode", "tmpfs-mode")),
}


def line(parts: list[Any]) -> str:
    """As `csv` reads it."""
    output = io.StringIO()
    csv.writer(output, lineterminator="").writerow(parts)
    return output.getvalue()
