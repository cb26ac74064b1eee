"""``wardian network rules``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import click

from wardian.cli.networking import complete_network
from wardian.cli.program import Command

if TYPE_CHECKING:
    from wardian.network.ruleset import Rule

NAT_CHAINS = ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")


@click.command(cls=Command)
@click.option(
    "--format",
    "style",
    type=click.Choice(["nft", "iptables"]),
    default="nft",
    help="nft: as nft(8) lists them. iptables: those of NAT, as `iptables -t nat -S` would.",
)
@click.argument("network_name", metavar="NETWORK", shell_complete=complete_network)
def rules(*, network_name: str, style: str) -> None:
    """Show the rules that the kernel has for a network, and what they have counted.

    They are there as long as a container is in the network. `nft list ruleset` shows the same.
    """
    from wardian.errors import FailedPrecondition
    from wardian.linux import netlink
    from wardian.network import ruleset
    from wardian.network.networks import Networks
    from wardian.network.rootless import look
    from wardian.network.rules import table_name
    from wardian.runtime.paths import state_root

    root = state_root()
    network = Networks(root).find(network_name)
    with look(root, netlink.NETFILTER) as kernel:
        table = table_name(network.bridge)
        families = (ruleset.INET, ruleset.BRIDGE)
        found = [one for family in families for one in ruleset.read(kernel, family, table)]
    if not found:
        raise FailedPrecondition(
            f"network {network.name} is not up: no container is in it",
            hint=f"wardian run --network {network.name} …",
        )
    lines = _nft(found) if style == "nft" else _iptables(found)
    click.echo("\n".join(lines))


def _nft(found: Sequence[Rule]) -> Iterator[str]:
    for (family, table), of_table in groupby(found, lambda one: (one.family, one.table)):
        yield f"table {family} {table} {{"
        for chain, of_chain in groupby(of_table, lambda one: one.chain):
            yield f"\tchain {chain} {{"
            yield from (f"\t\t{one.words}" for one in of_chain)
            yield "\t}"
        yield "}"


def _iptables(found: Sequence[Rule]) -> Iterator[str]:
    yield from (f"-P {chain} ACCEPT" for chain in NAT_CHAINS)
    said = [one.iptables for one in found if one.iptables]
    yield from sorted(said, key=lambda line: NAT_CHAINS.index(line.split()[1]))
