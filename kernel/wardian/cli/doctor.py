"""``wardian doctor``: what this machine allows, and the line that lifts what it does not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from wardian.cli.program import Command

if TYPE_CHECKING:
    from wardian.runtime.doctor import Diagnosis, Probe

MARKS = {"works": "ok", "partly": "partly", "missing": "missing"}
STYLES = {"works": "green", "partly": "yellow", "missing": "red"}


@click.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="Only the rung.")
def doctor(*, as_json: bool, quiet: bool) -> int:
    """Try what this machine allows: each thing is done for real and undone.

    The rung is full, rootless, pod (no fresh /proc) or bare (no containers: a notebook's cells are
    plain processes). For everything that is missing there is the line that lifts it. The exit code
    is 0 if containers can be started.
    """
    from wardian.runtime.doctor import diagnose
    from wardian.runtime.paths import state_root

    found = diagnose(state_root())
    if as_json:
        _print_json(found)
    elif quiet:
        click.echo(found.rung.value)
    else:
        _print(found)
    return 1 if found.blocking else 0


def _print_json(found: Diagnosis) -> None:
    import msgspec

    value = {
        **msgspec.to_builtins(found),
        "blocking": [probe.name for probe in found.blocking],
        "not_in_force": [probe.name for probe in found.not_in_force],
    }
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def _print(found: Diagnosis) -> None:
    from wardian.cli.format import align

    if sys.stdout.isatty():
        _print_rich(found)
    else:
        rows = [[p.area.value, p.name, MARKS[p.outcome.value], p.detail] for p in found.probes]
        for line in align([["AREA", "PROBE", "RESULT", "DETAIL"], *rows]):
            click.echo(line)
    click.echo(f"\nrung: {found.rung.value} ({found.meaning})")
    for line in found.not_isolated:
        click.echo(f"  {line}")
    _print_list("no container can be started:", found.blocking)
    _print_list("not in force:", found.not_in_force)
    extras = [p for p in found.probes if p.lift and p not in (*found.blocking, *found.not_in_force)]
    _print_list("conveniences that are missing:", extras)


def _print_rich(found: Diagnosis) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for heading in ("area", "probe", "result", "detail"):
        table.add_column(heading, no_wrap=heading != "detail")
    area = ""
    for probe in found.probes:
        shown = "" if probe.area.value == area else probe.area.value
        area = probe.area.value
        mark = Text(MARKS[probe.outcome.value], style=STYLES[probe.outcome.value])
        table.add_row(Text(shown, style="dim"), Text(probe.name), mark, Text(probe.detail))
    Console().print(table)


def _print_list(title: str, probes: tuple[Probe, ...] | list[Probe]) -> None:
    """What is missing, by the line that lifts it: one line often lifts several.

    What was not tried goes without saying: its cause is in a list.
    """
    probes = [probe for probe in probes if not probe.needs]
    if not probes:
        return
    click.echo(f"\n{title}")
    by_lift: dict[str, list[Probe]] = {}
    for probe in probes:
        by_lift.setdefault(probe.lift, []).append(probe)
    for lift, lifted in by_lift.items():
        names = ", ".join(probe.name for probe in lifted)
        losses = "; ".join(dict.fromkeys(probe.loss for probe in lifted))
        click.echo(f"  {names}: {losses}")
        click.echo(f"      {lift}")
