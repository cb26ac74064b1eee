"""Addresses: a block for a new network that clashes with nothing, an address for a container."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from itertools import islice

from wardian.errors import AlreadyExists, FailedPrecondition, InvalidInput
from wardian.network.definition import Address, Block, NetworkRequest, Subnet

# Docker's own default-address-pools (moby, libnetwork/ipamutils).
_POOLS = (
    *(IPv4Network(f"172.{number}.0.0/16") for number in range(17, 32)),
    *IPv4Network("192.168.0.0/16").subnets(new_prefix=20),
)
_MAX_TRIED = 1 << 17  # more than a /16 has


def choose_subnets(
    request: NetworkRequest, taken: Collection[Block], random_bits: int | None = None
) -> tuple[Subnet, ...]:
    """The subnets that are asked for, or free ones. Raises InvalidInput, FailedPrecondition.

    ``taken`` are the blocks of other networks and of the host's routes.
    """
    blocks = [_block(word) for word in request.subnets]
    for block in blocks:
        if other := next((one for one in taken if _overlap(block, one)), None):
            raise FailedPrecondition(
                f"subnet {block} overlaps with {other}, which this host uses",
                hint="choose another --subnet, or leave it out",
            )
    if len({block.version for block in blocks}) < len(blocks):
        raise InvalidInput("more than one --subnet of an IP version")
    if not any(block.version == 4 for block in blocks):
        blocks.append(_free_block(taken))
    if request.ipv6 and not any(block.version == 6 for block in blocks):
        blocks.append(_unique_local_block(random_bits))
    return tuple(_subnet(block, request) for block in blocks)


def choose_address(
    subnet: Subnet,
    taken: Collection[Address],
    wanted: str = "",
    *,
    resting: Collection[Address] = (),
    network: str = "",
) -> Address:
    """The lowest free address, or the wanted one. Raises InvalidInput, AlreadyExists.

    Those that are ``resting`` come last.
    """
    gateway = ip_address(subnet.gateway)
    if wanted:
        address: Address = ip_address(wanted)
        if address not in subnet.network or address in _ends(subnet.network):
            raise InvalidInput(
                f"{wanted} is not an address of network {network} ({subnet.block})",
                hint=f"choose one in {subnet.pool}",
            )
        if address == gateway or address in taken:
            raise AlreadyExists(
                f"address {wanted} of network {network} is taken", hint="choose another one"
            )
        return address
    reserved = {gateway, *_ends(subnet.network)}
    candidates: Iterator[Address] = iter(subnet.pool)
    last_resort: Address | None = None
    for candidate in islice(candidates, _MAX_TRIED):
        if candidate in taken or candidate in reserved:
            continue
        if candidate not in resting:
            return candidate
        last_resort = last_resort or candidate
    if last_resort is not None:
        return last_resort
    raise FailedPrecondition(
        f"network {network} has no free address left in {subnet.pool}",
        hint="remove containers, or make a network with a larger --subnet",
    )


def mac_of(address: Address) -> str:
    """A locally administered MAC address made of an IP address (docker's way of old)."""
    return ":".join(("02", "42", *(f"{byte:02x}" for byte in address.packed[-4:])))


def link_local(mac: str) -> str:
    """The fe80:: address that the kernel makes of a MAC address (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    interface = bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]])
    return str(ip_address(b"\xfe\x80" + bytes(6) + interface))


def _block(word: str) -> Block:
    try:
        block = ip_network(word)
    except ValueError as error:
        raise InvalidInput(
            f"not a subnet: {word[:60]!r}: {error}", hint="like 10.9.0.0/24"
        ) from None
    if block.num_addresses < 4 or block.is_loopback or block.is_multicast:
        raise InvalidInput(f"no subnet for a network: {block}", hint="like 10.9.0.0/24")
    return block


def _overlap(one: Block, other: Block) -> bool:
    return one.version == other.version and one.overlaps(other)


def _free_block(taken: Collection[Block]) -> IPv4Network:
    for block in _POOLS:
        if not any(_overlap(block, one) for one in taken):
            return block
    raise FailedPrecondition(
        "every usual subnet is in use on this host", hint="give one with --subnet"
    )


def _unique_local_block(random_bits: int | None) -> IPv6Network:
    """A /64 whose prefix is random: RFC 4193, section 3.2."""
    bits = int.from_bytes(os.urandom(5), "big") if random_bits is None else random_bits
    return IPv6Network((((0xFD << 40 | bits) << 80), 64))


def _subnet(block: Block, request: NetworkRequest) -> Subnet:
    gateway = _inside(block, request.gateways, "gateway") or str(next(_hosts(block)))
    ranges = [_block(word) for word in request.ip_ranges]
    inside = [one for one in ranges if one.version == block.version]
    for one in inside:
        if not one.subnet_of(block):  # type: ignore[arg-type]  # same version
            raise InvalidInput(f"--ip-range {one} is not in subnet {block}")
    if block.version == 4 and gateway in map(str, _ends(block)):
        raise InvalidInput(f"gateway {gateway} is the first or last address of {block}")
    return Subnet(block=str(block), gateway=gateway, ip_range=str(inside[0]) if inside else "")


def _inside(block: Block, words: Sequence[str], what: str) -> str:
    for word in words:
        try:
            address = ip_address(word)
        except ValueError:
            raise InvalidInput(f"not an address for a {what}: {word[:60]!r}") from None
        if address.version == block.version:
            if address not in block:
                raise InvalidInput(f"{what} {word} is not in subnet {block}")
            return str(address)
    return ""


def _hosts(block: Block) -> Iterator[Address]:
    return iter(block.hosts())


def _ends(block: Block) -> tuple[Address, ...]:
    """What is nobody's: the network's own address and, for IPv4, the broadcast."""
    if block.version == 6:
        return (block.network_address,)
    return (block.network_address, block.broadcast_address)
