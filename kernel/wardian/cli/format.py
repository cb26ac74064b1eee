"""How answers look: docker's tables, JSON lines and the useful part of its templates."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from wardian.cli.template_functions import as_data, plain

if TYPE_CHECKING:
    from wardian.cli.template import Template

Row = Mapping[str, Any]

_GAP = 3  # blanks between columns, as docker's


def is_asked(field: str, style: str | None) -> bool:
    """Whether a template shows this field, which may cost something."""
    if style in (None, "table", "json"):
        return False
    from wardian.cli.template import Template

    return field in Template(str(style)).fields


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
        print_table([[plain(row[field]) for field in columns] for row in rows], columns.values())
    elif style == "json":
        for row in rows:
            click.echo(json.dumps(as_data(row), ensure_ascii=False))
    else:
        _emit_filled(rows, columns, style)


def _emit_filled(rows: Sequence[Row], columns: Mapping[str, str], style: str) -> None:
    from wardian.cli.template import Template  # only who writes one pays for its import

    if style.startswith("table "):
        _emit_template_table(rows, columns, Template(style.removeprefix("table ")))
        return
    template = Template(style)
    for row in rows:
        click.echo(template.fill(row))


def _emit_template_table(
    rows: Sequence[Row], columns: Mapping[str, str], template: Template
) -> None:
    headings: dict[str, Any] = {
        field: columns.get(field, field.upper()) for field in template.fields
    }
    for field in headings.keys() & {"Label"}:  # its heading is the label's name
        headings[field] = lambda key: key.rpartition(".")[2].upper()
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
    from shutil import get_terminal_size

    from rich.console import Console

    Console(width=get_terminal_size().columns).print(rich_table(cells, headings))


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


def labels_in_brief(labels: Mapping[str, str]) -> str:
    """``key=value,…``."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


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
