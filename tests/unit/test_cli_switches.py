"""Boolean flags with a value."""

from __future__ import annotations

import click
import pytest

from wardian.cli.switches import plain

PARAMS = [
    click.Option(["--rm"], is_flag=True),
    click.Option(["-i", "--interactive"], is_flag=True),
    click.Option(["-t", "--tty"], is_flag=True),
    click.Option(["--sig-proxy/--no-sig-proxy"], default=True),
    click.Option(["-e", "--env"], multiple=True),
]


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("--rm=true", "--rm"),
        ("--rm=false -it", "-it"),
        ("-t=1 -i=0 --tty=T", "-t --tty"),
        ("--sig-proxy=false", "--no-sig-proxy"),
        ("--sig-proxy=true", "--sig-proxy"),
        ("--no-sig-proxy=false", "--sig-proxy"),
        ("--rm=maybe", "--rm=maybe"),  # click says what is wrong
        ("--env --rm=false --rm=false", "--env --rm=false"),
        ("-e --rm=false --rm=false", "-e --rm=false"),
        ("-ite --rm=false --rm=false", "-ite --rm=false"),
        ("-eA=1 --rm=false x", "-eA=1 x"),
        ("--env=A --rm=false", "--env=A"),
        ("--rm=false image --rm=false", "image --rm=false"),
        ("--rm=false -- --rm=false", "-- --rm=false"),
        ("- --rm=false", "- --rm=false"),
        ("--nosuch --rm=false", "--nosuch"),
    ],
)
def test_switch_with_a_value_is_what_docker_takes_it_for(line: str, read: str) -> None:
    assert plain(line.split(), PARAMS, mixed=False) == read.split()


def test_switches_follow_arguments_where_both_may_be_mixed() -> None:
    assert plain(["web", "--rm=false", "-", "-t=1"], PARAMS, mixed=True) == ["web", "-", "-t"]
