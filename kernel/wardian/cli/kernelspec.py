"""``wardian kernelspec``: the two Jupyter kernels, for who did not get them with the wheel."""

from __future__ import annotations

import sys
from typing import ClassVar

import click

from wardian.cli.program import Command, Entry, LazyGroup, Sections


class Kernelspec(LazyGroup):
    """Its commands."""

    sections: ClassVar[Sections] = {
        "Commands": {
            "install": Entry("kernelspec:install", "Install both kernels."),
            "list": Entry("kernelspec:listing", "List the kernels of Wardian that Jupyter finds."),
        }
    }


@click.command(cls=Kernelspec)
def kernelspec() -> None:
    """Install the Jupyter kernels."""


@click.command(cls=Command)
@click.option("--user", is_flag=True, help="For this user.")
@click.option("--sys-prefix", is_flag=True, help="Into this Python environment (the default).")
@click.option("--prefix", metavar="DIRECTORY", help="Below another prefix.")
@click.option("--image", metavar="IMAGE", help="The image that notebooks start with.")
@click.option("-m", "--memory", metavar="BYTES", help="The memory limit of each notebook.")
@click.option("--cpus", metavar="NUMBER", help="The CPU limit of each notebook.")
@click.option("--pids-limit", metavar="NUMBER", help="The process limit of each notebook.")
def install(
    *,
    user: bool,
    sys_prefix: bool,
    prefix: str | None,
    image: str | None,
    memory: str | None,
    cpus: str | None,
    pids_limit: str | None,
) -> None:
    """Install wardian-python and wardian-shell where Jupyter finds them."""
    from wardian.cgroups.limits import Limits
    from wardian.errors import InvalidInput
    from wardian.jupyter.kernelspec import install as install_both

    if user + sys_prefix + (prefix is not None) > 1:
        raise InvalidInput("--user, --sys-prefix and --prefix exclude each other")
    Limits.parse(memory=memory, cpus=cpus, pids=pids_limit)
    words = {"IMAGE": image, "MEMORY": memory, "CPUS": cpus, "PIDS": pids_limit}
    environment = {f"WARDIAN_{name}": word for name, word in words.items() if word}
    where = None if user else prefix or sys.prefix
    for directory in install_both(user=user, prefix=where, environment=environment):
        click.echo(directory)


@click.command("list", cls=Command)
def listing() -> None:
    """List the kernels of Wardian that Jupyter finds."""
    from jupyter_client.kernelspec import KernelSpecManager

    from wardian.cli.format import print_table
    from wardian.jupyter.kernelspec import NAMES

    found = KernelSpecManager().find_kernel_specs()
    print_table(
        [[name, found.get(name, "not installed")] for name in NAMES], ["KERNEL", "DIRECTORY"]
    )
