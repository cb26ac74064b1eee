"""``wardian login`` and ``logout``: docker's file and helpers, so that one login does for both."""

from __future__ import annotations

import sys

import click

from wardian.cli.program import Command, complain

HUB = "docker.io"


@click.command(cls=Command)
@click.option("-u", "--username", metavar="USER", help="Who you are.")
@click.option("-p", "--password", metavar="PASSWORD", help="Better: --password-stdin.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.argument("server", default=HUB)
def login(*, username: str | None, password: str | None, password_stdin: bool, server: str) -> None:
    """Log in to a registry and keep that in docker's config.json, or with its helper.

    \b
    aws ecr get-login-password | wardian login -u AWS --password-stdin 123.dkr.ecr.eu-west-1.amazonaws.com
    """  # noqa: D301, E501
    from wardian.errors import InvalidInput
    from wardian.images.registry.credentials import Credentials, Logins
    from wardian.images.registry.login import verify

    server = _domain(server)
    if password is not None and password_stdin:
        raise InvalidInput("--password and --password-stdin are mutually exclusive")
    if password_stdin:
        if not username:
            raise InvalidInput("must provide --username with --password-stdin")
        password = sys.stdin.read().rstrip("\r\n")
    elif password is not None:
        click.echo(
            "WARNING! Using --password via the CLI is insecure. Use --password-stdin.", err=True
        )
    elif not sys.stdin.isatty():
        raise InvalidInput("a password cannot be asked for here", hint="use --password-stdin")
    username = username or click.prompt("Username")
    password = password or click.prompt("Password", hide_input=True)
    if not username or not password:
        raise InvalidInput("a user and a password are needed", hint="-u USER --password-stdin")
    kept = verify(server, Credentials(user=username, password=password))
    logins = Logins()
    if not logins.put(server, kept):
        complain(f"the login is kept unencrypted in {logins.path}", "a credential helper is safer")
    click.echo("Login Succeeded")


@click.command(cls=Command)
@click.argument("server", default=HUB)
def logout(*, server: str) -> None:
    """Forget a login."""
    from wardian.images.registry.credentials import Logins, server_key

    server = _domain(server)
    if Logins().remove(server):
        click.echo(f"Removing login credentials for {server_key(server)}")
    else:
        click.echo(f"Not logged in to {server_key(server)}")


def _domain(server: str) -> str:
    """Host and port, however the address was written. InvalidInput."""
    from wardian.images.reference import Reference

    host = server.removeprefix("https://").removeprefix("http://").partition("/")[0]
    if host in (HUB, "index.docker.io", "registry-1.docker.io"):
        return HUB
    Reference.parse(f"{host}/x" if set(".:") & set(host) or host == "localhost" else f"{host}.x/x")
    return host
