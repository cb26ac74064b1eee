"""``wardian system check``: whether all on disk is as it should be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wardian.cli.params import format_option
from wardian.cli.program import Command
from wardian.cli.volume import problems

if TYPE_CHECKING:
    from wardian.runtime.messages import ContainerInfo

COLUMNS = {"Part": "PART", "Subject": "SUBJECT", "Problem": "PROBLEM", "Repaired": "REPAIRED"}
STAGING = "."


@click.command(cls=Command)
@click.option("--repair", is_flag=True, help="Mend what can be mended without losing anything.")
@click.option("--quick", is_flag=True, help="Do not compare layers' files with their archives.")
@format_option
def check(*, repair: bool, quick: bool, style: str | None) -> int:
    """Read all that is stored and say what is wrong: blobs, images, layers, snapshots, volumes.

    Exit code 1 if something is wrong and was not mended. --repair removes blobs that are not what
    their digest says, and unpacks layers again from their archives; an image that lacks a blob
    then has to be loaded or pulled again. Others may work with the store meanwhile.
    """
    from wardian.cli.format import emit
    from wardian.images.store import ImageStore
    from wardian.images.verification import Verification
    from wardian.observe.label import label
    from wardian.runtime.client import Client

    with Client.connect() as client:
        containers = client.list()
        snapshots = list(_snapshots(client.root, containers))
        volumes = list(problems(client.root))
        root = client.root
    verification = Verification(ImageStore(root), deep=not quick)
    in_use = {Path(lower) for info in containers for lower in info.lowers}
    rows = []
    for problem in verification.problems():
        mended = repair and verification.mend(problem, in_use=in_use)
        rows.append(_row(problem.part.value, label(problem.subject), problem.what, mended=mended))
    rows += [_row("snapshot", name, what, mended=False) for name, what in snapshots]
    rows += [_row("volume", label(name), what, mended=False) for name, what in volumes]
    if rows:
        emit(rows, COLUMNS, style=style)
    if style is None:
        counts = verification.counts
        click.echo(
            f"Looked at {counts.images} images, {counts.blobs} blobs, {counts.layers} layers and "
            f"{len(containers)} snapshots: {_sum(rows)}"
        )
    return int(any(not row["Repaired"] for row in rows))


def _row(part: str, subject: str, what: str, *, mended: bool) -> dict[str, Any]:
    return {"Part": part, "Subject": subject, "Problem": what, "Repaired": mended}


def _sum(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "nothing is wrong"
    left = sum(not row["Repaired"] for row in rows)
    return f"{len(rows)} problems, {len(rows) - left} repaired"


def _snapshots(root: Path, containers: list[ContainerInfo]) -> Iterator[tuple[str, str]]:
    """What is wrong with containers' writable layers, and with the layers below them."""
    for info in containers:
        for what, place in (("upper", info.upper), ("work", info.work)):
            if not os.path.isdir(place):
                yield info.name, f"lacks its {what} directory"
        lost = [lower for lower in info.lowers if not os.path.isdir(lower)]
        if lost:
            yield info.name, f"lacks {len(lost)} of its {len(info.lowers)} layers"
    known = {info.id for info in containers}
    for name in sorted(os.listdir(root / "snapshots")):
        if not name.startswith(STAGING) and name not in known | _reserved(root):
            yield name, "belongs to no container"


def _reserved(root: Path) -> set[str]:
    """Containers that are being made at this moment, or were since they were listed."""
    return set(os.listdir(root / "containers"))
