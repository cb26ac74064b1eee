"""``wardian build``: an image from a Dockerfile; ``--print`` shows how the file is understood."""

from __future__ import annotations

import os
import sys

import click

from wardian.cli.program import Command

STDIN = "-"


def _shown(data: bytes, what: str, target: str) -> str:
    """The Dockerfile as ``--print`` asks for it."""
    import json

    from wardian.build.parser import parse
    from wardian.build.stages import outline, recipe
    from wardian.errors import InvalidInput

    kind, _, options = what.partition(",")
    form = options.removeprefix("format=") or "json"
    if kind not in ("ast", "outline") or form not in ("json", "sexpr"):
        raise InvalidInput(
            f"not something to print: {what[:40]!r}",
            hint="use ast or outline, and with ast ,format=json or ,format=sexpr",
        )
    file = parse(data)
    if form == "sexpr":
        return file.root.dump()
    if kind == "outline":
        return json.dumps(outline(recipe(file), target), indent=2)
    document = {
        "escape": file.escape,
        "directives": file.directives,
        "instructions": [child.document() for child in file.root.children],
        "warnings": [
            {"rule": one.rule, "text": one.text, "line": one.line} for one in file.warnings
        ],
    }
    return json.dumps(document, indent=2)


def _dockerfile(context: str, name: str | None) -> bytes:
    from wardian.errors import NotFound

    if STDIN in (context, name):
        return sys.stdin.buffer.read()
    path = name or os.path.join(context, "Dockerfile")
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise NotFound(
            f"cannot read the Dockerfile {path}: {error.strerror}",
            hint="name it with -f, or name the directory that has it",
        ) from error


@click.command(cls=Command)
@click.option("-f", "--file", "name", metavar="FILE", help="The Dockerfile (PATH/Dockerfile).")
@click.option("--target", default="", metavar="STAGE", help="Build this stage, not the last.")
@click.option(
    "--print",
    "what",
    metavar="ast|outline[,format=json|sexpr]",
    help="Only show how the Dockerfile is understood.",
)
@click.argument("context", metavar="PATH|-")
def build(*, name: str | None, target: str, what: str, context: str) -> None:
    """Build an image from a Dockerfile."""
    click.echo(_shown(_dockerfile(context, name), what, target))
