"""Expressions of nftables rules, as the kernel reads them (linux/netfilter/nf_tables.h).

pyroute2 encodes these, too, but takes the fib expression's result for flags, and is slow at it.
"""

from __future__ import annotations

import struct
from ipaddress import ip_address, ip_network

from wardian.linux.netlink import attribute, nested, text
from wardian.network.definition import Protocol

Expression = bytes
Expressions = tuple[Expression, ...]

_REGISTER_1 = 1
_LIST_ELEM = 1
_VALUE, _VERDICT = 1, 2
ACCEPT, DROP, RETURN = 1, 0, -5

# NFT_META_*
PROTOCOL, IIFNAME, OIFNAME, NFPROTO, L4PROTO = 1, 6, 7, 15, 16
_CT_STATE, _CT_STATUS = 0, 2
_ESTABLISHED_OR_RELATED = struct.pack("=I", 2 | 4)
_DNAT = struct.pack("=I", 1 << 5)  # IPS_DST_NAT
_LINK, _NETWORK, _TRANSPORT = 0, 1, 2
_LOCAL = struct.pack("=I", 2)  # RTN_LOCAL

# Ethertypes, in network order.
ARP, IPV4, IPV6 = b"\x08\x06", b"\x08\x00", b"\x86\xdd"
IFNAME_BYTES = 16


def expression(name: str, *data: bytes) -> Expression:
    """One expression by its name in the kernel."""
    return nested(_LIST_ELEM, text(1, name), nested(2, *data))


def number(kind: int, value: int) -> bytes:
    """An attribute of 32 bits in network order."""
    return attribute(kind, struct.pack("!I", value))


def _data(kind: int, value: bytes) -> bytes:
    return nested(kind, attribute(_VALUE, value))


def meta(key: int, register: int = _REGISTER_1) -> Expression:
    """Load something known of the packet."""
    return expression("meta", number(1, register), number(2, key))


def payload(base: int, offset: int, length: int, register: int = _REGISTER_1) -> Expression:
    """Load bytes of a header."""
    return expression(
        "payload", number(1, register), number(2, base), number(3, offset), number(4, length)
    )


def equals(value: bytes) -> Expression:
    """Go on if the register holds this."""
    return expression("cmp", number(1, _REGISTER_1), number(2, 0), _data(3, value))


def differs(value: bytes) -> Expression:
    """Go on if the register does not hold this."""
    return expression("cmp", number(1, _REGISTER_1), number(2, 1), _data(3, value))


def masked(mask: bytes) -> Expression:
    """Keep these bits of the register."""
    return expression(
        "bitwise",
        number(1, _REGISTER_1),
        number(2, _REGISTER_1),
        number(3, len(mask)),
        _data(4, mask),
        _data(5, bytes(len(mask))),
    )


def verdict(code: int) -> Expression:
    """The end of a rule."""
    value = nested(2, nested(_VERDICT, attribute(1, struct.pack("!i", code))))
    return expression("immediate", number(1, 0), value)


def counter(packets: int = 0, octets: int = 0) -> Expression:
    """Count what comes here."""
    return expression(
        "counter",
        attribute(1, struct.pack("!Q", octets)),
        attribute(2, struct.pack("!Q", packets)),
    )


# --- what rules ask ---------------------------------------------------------------------------


def comes_from(link: str) -> Expressions:
    """``iifname link``."""
    return (meta(IIFNAME), equals(_name(link)))


def goes_to(link: str) -> Expressions:
    """``oifname link``."""
    return (meta(OIFNAME), equals(_name(link)))


def goes_elsewhere(link: str) -> Expressions:
    """``oifname != link``."""
    return (meta(OIFNAME), differs(_name(link)))


def _name(link: str) -> bytes:
    return link.encode().ljust(IFNAME_BYTES, b"\0")


def is_version(version: int) -> Expressions:
    """``meta nfproto ipv4``, which inet tables need before they look into a header."""
    return (meta(NFPROTO), equals(bytes([2 if version == 4 else 10])))


def is_protocol(protocol: Protocol | int) -> Expressions:
    """``meta l4proto tcp``."""
    value = protocol if isinstance(protocol, int) else {"tcp": 6, "udp": 17}[protocol.value]
    return (meta(L4PROTO), equals(bytes([value])))


def has_source(block: str) -> Expressions:
    """``ip saddr block``."""
    return _address(block, 12, 8)


def has_destination(block: str) -> Expressions:
    """``ip daddr block``."""
    return _address(block, 16, 24)


def _address(block: str, offset4: int, offset6: int) -> Expressions:
    network = ip_network(block)
    offset = offset4 if network.version == 4 else offset6
    load = payload(_NETWORK, offset, len(network.network_address.packed))
    found = equals(network.network_address.packed)
    whole = network.prefixlen == network.max_prefixlen
    narrowed = (load,) if whole else (load, masked(network.netmask.packed))
    return (*is_version(network.version), *narrowed, found)


def has_port(protocol: Protocol, port: int) -> Expressions:
    """``tcp dport port``."""
    return (*is_protocol(protocol), payload(_TRANSPORT, 2, 2), equals(struct.pack("!H", port)))


def is_for_this_host() -> Expressions:
    """``fib daddr type local``."""
    return (expression("fib", number(1, _REGISTER_1), number(2, 3), number(3, 2)), equals(_LOCAL))


def is_known() -> Expressions:
    """``ct state established,related``."""
    load = expression("ct", number(1, _REGISTER_1), number(2, _CT_STATE))
    return (load, masked(_ESTABLISHED_OR_RELATED), differs(bytes(4)))


def was_published() -> Expressions:
    """``ct status dnat``."""
    load = expression("ct", number(1, _REGISTER_1), number(2, _CT_STATUS))
    return (load, masked(_DNAT), differs(bytes(4)))


# --- NAT --------------------------------------------------------------------------------------


def masquerade() -> Expression:
    """Take the address of the link that it leaves by."""
    return expression("masq")


def dnat(address: str, port: int) -> Expressions:
    """``dnat to address:port``."""
    to = ip_address(address)
    family = 2 if to.version == 4 else 10
    second = 2
    return (
        _immediate(_REGISTER_1, to.packed),
        _immediate(second, struct.pack("!H", port)),
        expression(
            "nat",
            number(1, 1),  # NFT_NAT_DNAT
            number(2, family),
            number(3, _REGISTER_1),
            number(5, second),
            number(7, 2),  # NF_NAT_RANGE_PROTO_SPECIFIED
        ),
    )


def _immediate(register: int, value: bytes) -> Expression:
    return expression("immediate", number(1, register), _data(2, value))


# --- bridge family ----------------------------------------------------------------------------


def is_ethertype(ethertype: bytes) -> Expressions:
    """``ether type``."""
    return (payload(_LINK, 12, 2), equals(ethertype))


def is_none_of(set_name: str, base: int, offset: int, length: int) -> Expressions:
    """``iifname . (bytes of a header) != @set``: the keys begin with the link's name."""
    first_after_name = 8 + IFNAME_BYTES // 4  # NFT_REG32_00 is 8
    return (
        meta(IIFNAME),
        payload(base, offset, length, first_after_name),
        expression("lookup", text(1, set_name), number(2, _REGISTER_1), number(5, 1)),
    )


def comes_from_none_of(set_name: str) -> Expressions:
    """``iifname != @set``."""
    look_up = expression("lookup", text(1, set_name), number(2, _REGISTER_1), number(5, 1))
    return (meta(IIFNAME), look_up)


SOURCE_MAC = (_LINK, 6, 6)
ARP_SENDER = (_NETWORK, 14, 4)
SOURCE_IP = (_NETWORK, 12, 4)
SOURCE_IP6 = (_NETWORK, 8, 16)
