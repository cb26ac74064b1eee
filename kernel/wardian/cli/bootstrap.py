"""``wardian image bootstrap``: another distribution's user land without a registry."""

from __future__ import annotations

import click

from wardian.cli.program import Command


@click.command(cls=Command)
@click.option("--suite", metavar="NAME", help="Like bookworm or trixie (this host's own).")
@click.option("--variant", default="minbase", metavar="NAME", help="mmdebstrap's (minbase).")
@click.option("--include", metavar="PACKAGE,…", default="", help="More packages.")
@click.option("--mirror", metavar="ADDRESS", default="", help="From where (as this host's apt).")
@click.option("-q", "--quiet", is_flag=True, help="Print only the image's id.")
@click.argument("name", metavar="[NAME[:TAG]]", required=False)
def bootstrap(
    *, suite: str | None, variant: str, include: str, mirror: str, quiet: bool, name: str | None
) -> None:
    """Make an image of a Debian root tree, with mmdebstrap, from the mirror that this host uses.

    \b
    wardian image bootstrap --suite trixie
    wardian run --rm wardian/debian:trixie cat /etc/os-release
    """  # noqa: D301
    from wardian.images.debian import bootstrap as make
    from wardian.images.debian import usual_suite
    from wardian.images.store import ImageStore
    from wardian.runtime.paths import state_root

    chosen = suite or usual_suite()
    image = make(
        ImageStore(state_root()),
        chosen,
        name or f"wardian/debian:{chosen}",
        variant=variant,
        include=tuple(filter(None, include.split(","))),
        mirror=mirror,
        tell=lambda line: None if quiet else click.echo(line, err=True, nl=False),
    )
    click.echo(image.digest if quiet else f"{image.reference}\n{image.digest}")
