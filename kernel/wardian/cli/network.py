"""``wardian network …`` and ``wardian port``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import click

from wardian.cli.networking import complete_network, endpoint_fields, hosts_of
from wardian.cli.params import complete_container, container_argument, format_option
from wardian.cli.program import Command, Entry, LazyGroup, Sections, each_name
from wardian.cli.words import has_label
from wardian.errors import NotFound

if TYPE_CHECKING:
    from wardian.network.definition import Network
    from wardian.runtime.client import Client
    from wardian.runtime.messages import ContainerInfo

SHORT_ID = 12
COLUMNS = {"ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Subnets": "SUBNETS"}


class NetworkGroup(LazyGroup):
    """Docker's commands about networks."""

    sections: ClassVar[Sections] = {
        "Commands": {
            "create": Entry("network:create", "Make a network."),
            "ls": Entry("network:ls", "List networks."),
            "inspect": Entry("network:inspect", "Show networks and who is in them, as JSON."),
            "connect": Entry("network:connect", "Connect a running container to a network."),
            "disconnect": Entry("network:disconnect", "Take a container out of a network."),
            "rules": Entry("network_rules:rules", "Show the rules of a network, with counters."),
            "rm": Entry("network:rm", "Remove networks."),
            "prune": Entry("network:prune", "Remove every network that nobody uses."),
        }
    }


@click.command(cls=NetworkGroup)
def network() -> None:
    """Networks of containers: bridges with names, NAT and published ports."""


def network_argument(function: Any) -> Any:
    """``NETWORK``."""
    return click.argument("network_name", metavar="NETWORK", shell_complete=complete_network)(
        function
    )


def networks_argument(function: Any) -> Any:
    """``NETWORK...``."""
    return click.argument(
        "names", metavar="NETWORK...", nargs=-1, required=True, shell_complete=complete_network
    )(function)


@click.command(cls=Command)
@click.option("--subnet", multiple=True, metavar="CIDR", help="Its addresses, like 10.9.0.0/24.")
@click.option("--gateway", multiple=True, metavar="IP", help="The host's address in it.")
@click.option("--ip-range", multiple=True, metavar="CIDR", help="Give addresses out of this part.")
@click.option("--ipv6", is_flag=True, help="Have an IPv6 subnet, too.")
@click.option("--internal", is_flag=True, help="No way out, and none in.")
@click.option("-o", "--opt", multiple=True, metavar="KEY=VALUE", help="mtu=, bridge.name=.")
@click.option("--label", multiple=True, metavar="KEY=VALUE", help="Note something.")
@click.option("-d", "--driver", type=click.Choice(["bridge"]), default="bridge", help="bridge.")
@click.argument("name", metavar="NAME")
def create(
    *,
    name: str,
    subnet: tuple[str, ...],
    gateway: tuple[str, ...],
    ip_range: tuple[str, ...],
    ipv6: bool,
    internal: bool,
    opt: tuple[str, ...],
    label: tuple[str, ...],
    driver: str,  # noqa: ARG001  # there is one
) -> None:
    """Make a network, and print its id. Containers in it find each other by name.

    \b
    wardian network create --subnet 10.9.0.0/24 lab
    wardian run -d --network lab --name web wardian/base python3 -m http.server
    wardian run --rm --network lab wardian/base python3 -c 'import socket; …("web", 8000)'
    """  # noqa: D301
    from wardian.cli import words
    from wardian.network.definition import NetworkRequest
    from wardian.runtime import messages as m
    from wardian.runtime.client import Client

    request = NetworkRequest(
        name=name,
        subnets=subnet,
        gateways=gateway,
        ip_ranges=ip_range,
        ipv6=ipv6,
        internal=internal,
        labels=words.labels(label, ()),
        **_options(opt),
    )
    with Client.connect() as client:
        made, _ = client.call("create_network", m.CreateNetworkCall(request), m.NetworkInfo)
    click.echo(made.network.id)


def _options(given: Sequence[str]) -> dict[str, Any]:
    from wardian.errors import InvalidInput

    found: dict[str, Any] = {}
    for word in given:
        key, _, value = word.partition("=")
        match key.removeprefix("com.docker.network.").removeprefix("driver."):
            case "mtu" if value.isdigit() and value.isascii():
                found["mtu"] = int(value[:6])
            case "bridge.name" if value:
                found["bridge"] = value
            case _:
                raise InvalidInput(
                    f"unknown network option: {word[:60]!r}",
                    hint="use mtu=BYTES or bridge.name=NAME",
                )
    return found


@click.command(cls=Command)
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@click.option("--no-trunc", is_flag=True, help="Whole ids.")
@click.option(
    *("-f", "--filter", "filter_words"),
    multiple=True,
    metavar="KEY=VALUE",
    help="name, id, label, driver, scope, type (builtin or custom).",
)
@format_option
def ls(*, quiet: bool, no_trunc: bool, filter_words: tuple[str, ...], style: str | None) -> None:
    """List networks, the oldest first. `bridge` is there from its first use on."""
    from wardian.cli.format import emit
    from wardian.cli.words import filters, fits

    wanted = filters(filter_words, TESTS)
    rows = [_row(one, is_whole=no_trunc) for one in _networks().list() if fits(one, wanted, TESTS)]
    emit(rows, COLUMNS, style=style, quiet_field="ID" if quiet else None)


def _row(one: Network, *, is_whole: bool) -> dict[str, Any]:
    from wardian.cli.format import labels_in_brief, timestamp

    return {
        "ID": one.id if is_whole else one.id[:SHORT_ID],
        "Name": one.name,
        "Driver": "bridge",
        "Scope": "local",
        "Internal": str(one.internal).lower(),
        "IPv6": str(one.subnet(6) is not None).lower(),
        "CreatedAt": timestamp(one.created_at),
        "Labels": labels_in_brief(one.labels),
        "Label": lambda key: one.labels.get(key, ""),
        "Subnets": ", ".join(subnet.block for subnet in one.subnets),
    }


TESTS: Mapping[str, Callable[[Network, str], bool]] = {
    "name": lambda one, value: value in one.name,
    "id": lambda one, value: one.id.startswith(value),
    "label": lambda one, value: has_label(one.labels, value),
    "driver": lambda _, value: value == "bridge",
    "scope": lambda _, value: value == "local",
    "type": lambda one, value: value == ("builtin" if one.name == "bridge" else "custom"),
}


def _networks() -> Any:
    from wardian.network.networks import Networks
    from wardian.runtime.paths import state_root

    return Networks(state_root())


@click.command(cls=Command)
@click.option("-f", "--format", "style", metavar="TEMPLATE", help="Like '{{.Driver}}'.")
@networks_argument
def inspect(*, names: tuple[str, ...], style: str | None) -> int:
    """Show networks and who is in them, as JSON in docker's fields."""
    from wardian.cli.inspection import show_each
    from wardian.runtime.client import Client

    networks = _networks()
    with Client.connect() as client:
        containers = client.list()
    return show_each(names, lambda name: _describe(networks.find(name), containers), style=style)


def _describe(one: Network, containers: Sequence[ContainerInfo]) -> dict[str, Any]:
    from wardian.cli.format import timestamp

    return {
        "Name": one.name,
        "Id": one.id,
        "Created": timestamp(one.created_at),
        "Scope": "local",
        "Driver": "bridge",
        "EnableIPv6": one.subnet(6) is not None,
        "IPAM": {
            "Driver": "default",
            "Config": [
                {"Subnet": subnet.block, "Gateway": subnet.gateway, "IPRange": subnet.ip_range}
                for subnet in one.subnets
            ],
        },
        "Internal": one.internal,
        "Containers": {
            info.id: {"Name": info.name, **endpoint_fields(endpoint)}
            for info in containers
            for endpoint in info.endpoints
            if endpoint.network_id == one.id
        },
        "Options": {"bridge.name": one.bridge, "mtu": str(one.mtu)},
        "Labels": one.labels,
    }


@click.command(cls=Command)
@click.option("--ip", default="", metavar="IPV4", help="Its address in the network.")
@click.option("--ip6", default="", metavar="IPV6", help="Its IPv6 address there.")
@click.option("--alias", multiple=True, metavar="NAME", help="A name more in the network.")
@network_argument
@container_argument
def connect(*, network_name: str, name: str, ip: str, ip6: str, alias: tuple[str, ...]) -> None:
    """Connect a running container to a network, too."""
    from wardian.network.definition import Attachment
    from wardian.runtime import messages as m
    from wardian.runtime.client import Client

    wish = Attachment(network=network_name, ip=ip, ip6=ip6, aliases=alias)
    with Client.connect() as client:
        client.call("connect", m.ConnectCall(name, wish), type(None))


@click.command(cls=Command)
@click.option("-f", "--force", is_flag=True, help="As docker's; it is never needed here.")
@network_argument
@container_argument
def disconnect(*, network_name: str, name: str, force: bool) -> None:  # noqa: ARG001
    """Take a running container out of a network."""
    from wardian.runtime import messages as m
    from wardian.runtime.client import Client

    with Client.connect() as client:
        client.call("disconnect", m.DisconnectCall(name, network_name), type(None))


@click.command(cls=Command)
@click.option("-f", "--force", is_flag=True, help="Do not mind one that is not there.")
@networks_argument
def rm(*, names: tuple[str, ...], force: bool) -> int:
    """Remove networks that no running container is in."""
    from wardian.runtime.client import Client

    with Client.connect() as client:
        return each_name(
            names, lambda name: _remove(client, name), is_gone=(lambda _: None) if force else None
        )


def _remove(client: Client, name: str) -> None:
    from wardian.runtime import messages as m

    client.call("remove_network", m.NameCall(name), m.NetworkInfo)


@click.command(cls=Command)
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
def prune(*, force: bool) -> int:
    """Remove every network that no container, running or not, wants to be in."""
    from wardian.runtime.client import Client

    if not force and not click.confirm("This removes every network that nobody uses. Go on?"):
        return 1
    with Client.connect() as client:
        remove_unused(client)
    return 0


def remove_unused(client: Client, kind: str = "") -> None:
    """Remove what no container wants to be in, and say it, with ``kind`` before each name."""
    from wardian.network.definition import DEFAULT

    wanted = {
        word
        for info in client.list()
        for one in info.spec.attachments
        for word in (one.network, *(e.network_id for e in info.endpoints))
    }
    for one in _networks().list():
        if one.name != DEFAULT and not wanted & {one.name, one.id}:
            _remove(client, one.name)
            click.echo(f"{kind}{one.name}")


@click.command(cls=Command)
@click.argument("name", metavar="CONTAINER", shell_complete=complete_container)
@click.argument("port", metavar="[PORT[/PROTOCOL]]", required=False)
def port(*, name: str, port: str | None) -> int:
    """List the ports that a container has published: 80/tcp -> 0.0.0.0:8080."""
    from wardian.runtime.client import Client

    with Client.connect() as client:
        published = client.container(name).info.published
    wanted = None if port is None else port if "/" in port else f"{port}/tcp"
    found = [one for one in published if wanted in (None, one.name)]
    for one in found:
        for host in hosts_of(one):
            begin = "" if wanted else f"{one.name} -> "
            click.echo(f"{begin}{host}:{one.host_port}")
    if wanted and not found:
        raise NotFound(f"container {name} has not published {wanted}", hint="see `wardian port`")
    return 0
