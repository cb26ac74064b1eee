"""``wardian completion``: the script by which a shell completes commands, containers, images."""

from __future__ import annotations

import click

from wardian.cli.program import Command

VARIABLE = "_WARDIAN_COMPLETE"


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash:  eval "$(wardian completion bash)"               in ~/.bashrc
    zsh:   eval "$(wardian completion zsh)"                in ~/.zshrc
    fish:  wardian completion fish > ~/.config/fish/completions/wardian.fish
    """  # noqa: D301
    from click.shell_completion import get_completion_class

    from wardian.cli.program import program

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(program, {}, "wardian", VARIABLE).source())
