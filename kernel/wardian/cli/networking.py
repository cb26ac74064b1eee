"""Networks in the words of flags, tables and `inspect`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from wardian.cli.params import names_on_disk
from wardian.runtime.sharing import PRIVATE

if TYPE_CHECKING:
    from wardian.cli.request import Request
    from wardian.network.definition import Endpoint, Port
    from wardian.runtime.messages import ContainerInfo


def complete_network(
    ctx: click.Context,  # noqa: ARG001  # click's interface
    param: click.Parameter,  # noqa: ARG001
    incomplete: str,
) -> list[str]:
    """Names of networks, read from disk."""
    known = {"none", "host", "bridge", *names_on_disk("networks/*", "network")}
    return sorted(name for name in known if name.startswith(incomplete))


def network_options() -> Sequence[Callable[[Any], Any]]:
    """The rarer flags of ``run`` and ``create`` about networks."""
    many: dict[str, Any] = {"multiple": True}
    return (
        click.option("-P", "--publish-all", is_flag=True, help="Publish every exposed port."),
        click.option("--expose", **many, metavar="PORT[/udp]", help="Note a port for -P."),
        click.option("--ip", default="", metavar="IPV4", help="Its address in the network."),
        click.option("--ip6", default="", metavar="IPV6", help="Its IPv6 address there."),
        click.option("--mac-address", default="", metavar="MAC", help="Its hardware address."),
        click.option("--network-alias", **many, metavar="NAME", help="A name more in the network."),
        click.option("--dns", **many, metavar="IP", help="Whom to ask for names."),
        click.option("--dns-search", **many, metavar="DOMAIN", help="A domain to search in."),
        click.option("--dns-option", **many, metavar="OPTION", help="As in resolv.conf."),
    )


def wishes(request: Request, config: Mapping[str, Any]) -> dict[str, Any]:
    """What the flags say about networks, as fields of the container's spec. InvalidInput.

    Without a word it has loopback only; a published port asks for the default bridge.
    """
    from wardian.errors import InvalidInput
    from wardian.network.definition import DEFAULT, Attachment, Dns
    from wardian.network.ports import check, parse, parse_exposed
    from wardian.runtime.spec import Network

    ports = [port for word in request.publish for port in parse(word)]
    if request.publish_all:
        ports += parse_exposed((*request.expose, *(config.get("ExposedPorts") or ())))
    names = list(dict.fromkeys(request.network)) or ([DEFAULT] if ports else ["none"])
    # A container's network is `sharing`'s affair; here it only excludes others.
    modes = [one for one in names if one in ("none", "host") or one.startswith("container:")]
    if modes and len(names) > 1:
        raise InvalidInput(f"--network {modes[0]} excludes others", hint="leave out one of them")
    own = {"ip": request.ip, "ip6": request.ip6, "mac": request.mac_address}
    attachments = []
    for number, name in enumerate(names if not modes else ()):
        first = own if number == 0 else {}
        known = DEFAULT if name == "default" else name
        attachments.append(Attachment(network=known, aliases=request.network_alias, **first))
    asked = next((flag for flag, word in own.items() if word), None)
    if not attachments and (asked or request.network_alias):
        raise InvalidInput(
            f"--{asked or 'network-alias'} needs a network", hint="add --network NAME"
        )
    return {
        "network": Network.HOST if modes == ["host"] else Network.NONE,
        "attachments": tuple(attachments),
        "ports": check(ports),
        "dns": Dns(servers=request.dns, search=request.dns_search, options=request.dns_option),
    }


def networks_of(info: ContainerInfo) -> list[str]:
    """The names of a container's networks; ``none`` or ``host`` without one."""
    if info.spec.sharing.network != PRIVATE:
        return [info.spec.sharing.network]
    names = [one.network for one in info.endpoints or info.spec.attachments]
    return names or [info.spec.network.value]


def ports_of(info: ContainerInfo) -> str:
    """``0.0.0.0:8080->80/tcp``, as ``docker ps`` has it."""
    return ", ".join(
        f"{host}:{port.host_port}->{port.name}"
        for port in info.published
        for host in hosts_of(port)
    )


def hosts_of(port: Port) -> Iterator[str]:
    """The host's addresses where a port is published."""
    if not port.host_ip:
        yield from ("0.0.0.0", "[::]")  # noqa: S104  # nothing is bound here
    else:
        yield f"[{port.host_ip}]" if ":" in port.host_ip else port.host_ip


def port_bindings(ports: Sequence[Port]) -> dict[str, list[dict[str, str]]]:
    """Docker's map of a container's ports to the host's."""
    found: dict[str, list[dict[str, str]]] = {}
    for port in ports:
        binding = {"HostIp": port.host_ip, "HostPort": str(port.host_port or "")}
        found.setdefault(port.name, []).append(binding)
    return found


def pair_of(endpoint: Endpoint) -> str:
    """``veth-web@if2 ↔ eth0@if7``: each end, with the number that it has for the other."""
    outside = f"{endpoint.veth}@if{endpoint.index}"
    return f"{outside} ↔ {endpoint.interface}@if{endpoint.veth_index}"


def network_settings(info: ContainerInfo) -> dict[str, Any]:
    """Docker's NetworkSettings; the link on the host and the pair are below Wardian's own key."""
    first = info.endpoints[0] if info.endpoints else None
    return {
        "Ports": port_bindings(info.published),
        "IPAddress": first.ip if first else "",
        "IPPrefixLen": first.prefix if first else 0,
        "Gateway": first.gateway if first else "",
        "GlobalIPv6Address": first.ip6 if first else "",
        "MacAddress": first.mac if first else "",
        "Networks": {one.network: endpoint_fields(one) for one in info.endpoints},
    }


def endpoint_fields(endpoint: Endpoint) -> dict[str, Any]:
    """One network of a container in docker's fields."""
    return {
        "NetworkID": endpoint.network_id,
        "Aliases": list(endpoint.aliases),
        "IPAddress": endpoint.ip,
        "IPPrefixLen": endpoint.prefix,
        "Gateway": endpoint.gateway,
        "GlobalIPv6Address": endpoint.ip6,
        "GlobalIPv6PrefixLen": endpoint.prefix6,
        "IPv6Gateway": endpoint.gateway6,
        "MacAddress": endpoint.mac,
        "Bridge": endpoint.bridge,
        "Interface": endpoint.interface,
        "HostInterface": endpoint.veth,
        "Pair": pair_of(endpoint),
    }
