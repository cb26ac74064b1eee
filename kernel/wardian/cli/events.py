"""``wardian events``: what happens to containers, volumes and networks, as it happens."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from wardian.cli.program import Command
from wardian.cli.words import has_label

if TYPE_CHECKING:
    from wardian.cli.words import Filter
    from wardian.runtime.event_messages import Event
GO_NAMES = {
    "status": "Status",
    "id": "ID",
    "from": "From",
    "scope": "Scope",
    "time": "Time",
    "timeNano": "TimeNano",
}


@click.command(cls=Command)
@click.option("--since", metavar="TIME", help="Also those from then on: 10m, 2026-01-31T12:00:00.")
@click.option("--until", metavar="TIME", help="End then; a time to come is waited for.")
@click.option(
    *("-f", "--filter", "filter_words"),
    multiple=True,
    metavar="KEY=VALUE",
    help="container, event, image, label, network, scope, type, volume.",
)
@click.option("--format", "style", metavar="FORMAT", help="json, or a template.")
def events(
    *, since: str | None, until: str | None, filter_words: tuple[str, ...], style: str | None
) -> None:
    """Print what happens to containers, volumes and networks, a line an event, until interrupted.

    \b
    wardian events --filter event=die --format '{{.Actor.Attributes.name}} {{.Action}}'
    wardian events --since 10m --until 0s

    The keeper remembers the last 256 events, as long as it serves.
    """  # noqa: D301
    from wardian.cli.template import Template
    from wardian.cli.words import filters, moment
    from wardian.runtime.client import Client

    wanted = filters(filter_words, TESTS)
    now_s = time.time()
    first_s, last_s = (word and moment(word, now_s=now_s) for word in (since, until))
    template = Template(style) if style and style != "json" else None
    with Client.connect() as client:
        for event in client.events(since=first_s or None, until=last_s or None):
            if not matches(event, wanted):
                continue
            if template is not None:
                click.echo(template.fill(fields(event)))
            elif style == "json":
                click.echo(json.dumps(as_docker(event), ensure_ascii=False))
            else:
                click.echo(line(event))


def attributes(event: Event) -> dict[str, str]:
    """What docker calls the actor's attributes."""
    if event.type != "container":
        return event.attributes
    found = {**event.attributes, "image": event.image, "name": event.name}
    if event.exit_code is not None:
        found["exitCode"] = str(event.exit_code)
    return found


def line(event: Event) -> str:
    """One event as docker's command prints it."""
    from wardian.cli.format import timestamp
    from wardian.observe.label import label

    said = ", ".join(f"{key}={label(value)}" for key, value in sorted(attributes(event).items()))
    return f"{timestamp(event.time)} {event.type} {event.action} {event.id} ({said})"


def as_docker(event: Event) -> Mapping[str, Any]:
    """One event as docker's API gives it."""
    return {
        "status": event.action,
        "id": event.id,
        "from": event.image,
        "Type": event.type,
        "Action": event.action,
        "Actor": {"ID": event.id, "Attributes": attributes(event)},
        "scope": "local",
        "time": int(event.time),
        "timeNano": int(event.time * 1e9),
    }


def fields(event: Event) -> Mapping[str, Any]:
    """The same for templates, in which Go's names count."""
    known = as_docker(event)
    return {**known, **{GO_NAMES.get(key, key): value for key, value in known.items()}}


def matches(event: Event, wanted: Sequence[Filter]) -> bool:
    """Whether it passes the filters."""
    from wardian.cli.words import fits

    return fits(event, wanted, TESTS)


TESTS: Mapping[str, Callable[[Event, str], bool]] = {
    "container": lambda event, value: (
        event.type == "container" and (event.name == value or event.id.startswith(value))
    ),
    "event": lambda event, value: event.action == value or event.action.startswith(f"{value}:"),
    "image": lambda event, value: event.image in (value, f"{value}:latest"),
    "label": lambda event, value: has_label(event.attributes, value),
    "network": lambda event, value: (
        event.type == "network" and (event.name == value or event.id.startswith(value))
    ),
    "scope": lambda _, value: value == "local",
    "type": lambda event, value: value == event.type,
    "volume": lambda event, value: event.type == "volume" and event.name == value,
}
