"""How answers look: docker's tables, JSON lines and the useful part of its templates."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from wardian.errors import InvalidInput

Row = Mapping[str, Any]

_ACTION = re.compile(r"\{\{(.*?)\}\}")
_PATH = re.compile(r"(?:(json|upper|lower|len)\s+)?((?:\.[A-Za-z_][A-Za-z0-9_]*)+|\.)")
_ESCAPES = {"\\t": "\t", "\\n": "\n", '\\"': '"', "\\\\": "\\"}
_GAP = 3  # blanks between columns, as docker's


class Template:
    """``{{.Name}}``, ``{{.State.Pid}}``, ``{{json .Config}}`` between plain text.

    Raises InvalidInput for the rest of Go's template language and, when it is filled in, for a
    field that does not exist.
    """

    def __init__(self, text: str) -> None:
        self._parts: list[str | tuple[str, tuple[str, ...]]] = []
        position = 0
        for action in _ACTION.finditer(text):
            self._parts.append(_unescape(text[position : action.start()]))
            self._parts.append(_parse_action(action[1]))
            position = action.end()
        self._parts.append(_unescape(text[position:]))

    @property
    def fields(self) -> list[str]:
        """The names of the fields that are asked for, in order."""
        return [part[1][-1] for part in self._parts if isinstance(part, tuple) and part[1]]

    def fill(self, value: Any) -> str:
        """The text with the fields of ``value`` filled in."""
        return "".join(
            part if isinstance(part, str) else _show(_dig(value, part[1]), part[0])
            for part in self._parts
        )


def _unescape(text: str) -> str:
    return re.sub(r'\\[tn"\\]', lambda found: _ESCAPES[found[0]], text)


def _parse_action(text: str) -> tuple[str, tuple[str, ...]]:
    found = _PATH.fullmatch(text.strip())
    if not found:
        raise InvalidInput(
            f"not understood in a template: {{{{{text[:40]}}}}}",
            hint="use fields such as {{.Name}}, {{.State.Pid}} or {{json .Config}}",
        )
    return found[1] or "", tuple(found[2].strip(".").split(".")) if found[2] != "." else ()


def _dig(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            known = sorted(value) if isinstance(value, Mapping) else []
            raise InvalidInput(
                f"no such field: .{'.'.join(path)}",
                hint=f"the fields there are {', '.join(known)}" if known else "",
            )
        value = value[name]
    return value


def _show(value: Any, function: str) -> str:
    if function == "json":
        return json.dumps(value, ensure_ascii=False)
    if function == "len":
        return str(len(value) if isinstance(value, str | Sequence | Mapping) else 0)
    text = _plain(value)
    return {"upper": text.upper(), "lower": text.lower()}.get(function, text)


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def emit(
    rows: Sequence[Row],
    columns: Mapping[str, str],
    *,
    style: str | None = None,
    quiet_field: str | None = None,
) -> None:
    """Print rows as ``--format`` says: ``table`` (the default), ``json`` or a template.

    ``columns`` maps a field to its heading. With ``quiet_field`` only that field is printed.
    """
    if quiet_field is not None:
        for row in rows:
            click.echo(row[quiet_field])
    elif style is None or style == "table":
        print_table([[_plain(row[field]) for field in columns] for row in rows], columns.values())
    elif style == "json":
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False))
    elif style.startswith("table "):
        _emit_template_table(rows, columns, Template(style.removeprefix("table ")))
    else:
        template = Template(style)
        for row in rows:
            click.echo(template.fill(row))


def _emit_template_table(
    rows: Sequence[Row], columns: Mapping[str, str], template: Template
) -> None:
    headings = {field: columns.get(field, field.upper()) for field in template.fields}
    print_table(
        [template.fill(row).split("\t") for row in rows], template.fill(headings).split("\t")
    )


def print_table(cells: Sequence[Sequence[str]], headings: Sequence[str] | Any) -> None:
    """A table without lines: by rich, cut to its width, on a terminal; plain for other readers."""
    if sys.stdout.isatty():
        _print_rich(cells, list(headings))
    else:
        for line in align([list(headings), *cells]):
            click.echo(line)


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of text as columns, each as wide as its widest cell."""
    widths = [max(map(len, column)) + _GAP for column in zip(*rows, strict=True)]
    return [
        "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _print_rich(cells: Sequence[Sequence[str]], headings: Sequence[str]) -> None:
    from rich.console import Console

    Console(width=shutil.get_terminal_size().columns).print(rich_table(cells, headings))


def rich_table(cells: Sequence[Sequence[str]], headings: Sequence[str]) -> Any:
    """The table as rich's; what a container chose is text there, never markup."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, no_wrap=True, overflow="ellipsis")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    return table


# --- quantities ------------------------------------------------------------------------------

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB")


def binary_size(size_bytes: float | None) -> str:
    """``1.5MiB``: memory, in powers of 1024; ``-`` if unknown."""
    return _size(size_bytes, 1024, _BINARY)


def decimal_size(size_bytes: float | None) -> str:
    """``1.57MB``: files and images, in powers of 1000; ``-`` if unknown."""
    return _size(size_bytes, 1000, _DECIMAL)


def _size(size_bytes: float | None, base: int, units: Sequence[str]) -> str:
    if size_bytes is None:
        return "-"
    unit = 0
    while size_bytes >= base and unit < len(units) - 1:
        size_bytes /= base
        unit += 1
    return f"{size_bytes:.4g}{units[unit]}"


_STEPS: tuple[tuple[float, Callable[[float], str]], ...] = (
    (1, lambda _: "Less than a second"),
    (2, lambda _: "1 second"),
    (60, lambda s: f"{int(s)} seconds"),
    (120, lambda _: "About a minute"),
    (3600, lambda s: f"{int(s / 60)} minutes"),
    (5400, lambda _: "About an hour"),
    (48 * 3600, lambda s: f"{round(s / 3600)} hours"),
    (14 * 86400, lambda s: f"{int(s / 86400)} days"),
    (60 * 86400, lambda s: f"{int(s / 86400 / 7)} weeks"),
    (730 * 86400, lambda s: f"{int(s / 86400 / 30)} months"),
)


def duration(seconds: float) -> str:
    """How long, in docker's words: ``About a minute``, ``3 hours``."""
    for below, say in _STEPS:
        if seconds < below:
            return say(max(0.0, seconds))
    return f"{int(seconds / 86400 / 365)} years"


def timestamp(time_s: float | None) -> str:
    """RFC 3339 in UTC with nanoseconds, as docker's; the zero time if there is none."""
    if time_s is None:
        return "0001-01-01T00:00:00Z"
    from datetime import UTC, datetime

    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
