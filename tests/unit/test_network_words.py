"""Ports, subnets, addresses, names: what a network is made of, without a kernel."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network, ip_address
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardian.errors import AlreadyExists, FailedPrecondition, InvalidInput, NotFound, SetupError
from wardian.network import pool, ports
from wardian.network.definition import Dns, Network, NetworkRequest, Port, Protocol, Subnet
from wardian.network.ground import HostGround
from wardian.network.networks import Networks, new_id
from wardian.network.resolver import Names, Resolver, answer_from, host_servers, resolv_conf


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("80", [("", 0, 80)]),
        ("8080:80", [("", 8080, 80)]),
        ("127.0.0.1:8080:80", [("127.0.0.1", 8080, 80)]),
        ("127.0.0.1::80", [("127.0.0.1", 0, 80)]),
        ("[::1]:8080:80", [("::1", 8080, 80)]),
        ("8000-8001:80-81", [("", 8000, 80), ("", 8001, 81)]),
        ("80-81", [("", 0, 80), ("", 0, 81)]),
    ],
)
def test_ports_are_read_as_docker_reads_them(word: str, expected: list[object]) -> None:
    found = ports.parse(word)
    assert [(one.host_ip, one.host_port, one.container_port) for one in found] == expected
    assert ports.parse(word + "/udp")[0].protocol is Protocol.UDP


def test_a_range_for_one_port_is_where_the_host_s_is_sought() -> None:
    assert ports.parse("8000-8009:80") == (
        Port(container_port=80, host_port=8000, host_port_end=8009),
    )


@pytest.mark.parametrize(
    "word",
    [
        "",
        ":",
        "80:",
        "0",
        "65536",
        "80/sctp",
        "x:80",
        "1:2:3:4",
        "8-7",
        "1-2:1-3",
        "[::1]80",
        "::1:80:80",
    ],
)
def test_what_is_no_port_is_refused(word: str) -> None:
    with pytest.raises(InvalidInput):
        ports.parse(word)


@given(st.text(alphabet="0123456789:-[]./tcpud", max_size=30))
def test_no_word_of_a_port_surprises_the_parser(word: str) -> None:
    try:
        found = ports.parse(word)
    except InvalidInput:
        return
    assert all(1 <= one.container_port <= 65535 for one in found)


def test_subnets_clash_with_nothing_and_an_overlap_is_named() -> None:
    taken = [IPv4Network("172.17.0.0/16"), IPv4Network("172.18.4.0/22")]
    request = NetworkRequest(name="lab", ipv6=True)
    four, six = pool.choose_subnets(request, taken, random_bits=0)
    assert (four.block, four.gateway) == ("172.19.0.0/16", "172.19.0.1")
    assert (six.block, six.gateway) == ("fd00::/64", "fd00::1")
    with pytest.raises(FailedPrecondition, match=r"172\.18\.4\.0/22"):
        pool.choose_subnets(NetworkRequest(name="x", subnets=("172.18.0.0/16",)), taken)
    with pytest.raises(FailedPrecondition, match="every usual subnet"):
        pool.choose_subnets(request, [IPv4Network("172.16.0.0/12"), IPv4Network("192.168.0.0/16")])


@given(st.sets(st.integers(0, 15)))
def test_addresses_are_given_in_order_and_never_twice(used: set[int]) -> None:
    subnet = Subnet(block="10.0.0.0/28", gateway="10.0.0.1")
    taken = {ip_address(f"10.0.0.{number}") for number in used}
    free = sorted(set(range(2, 15)) - used)
    if free:
        assert str(pool.choose_address(subnet, taken)) == f"10.0.0.{free[0]}"
    else:
        with pytest.raises(FailedPrecondition, match="no free address"):
            pool.choose_address(subnet, taken)


def test_an_address_that_was_just_given_back_is_given_last() -> None:
    subnet = Subnet(block="10.0.0.0/29", gateway="10.0.0.1")
    resting = {ip_address("10.0.0.2")}
    assert str(pool.choose_address(subnet, (), resting=resting)) == "10.0.0.3"
    others = {ip_address(f"10.0.0.{number}") for number in range(3, 7)}
    assert str(pool.choose_address(subnet, others, resting=resting)) == "10.0.0.2"
    assert str(pool.choose_address(subnet, (), "10.0.0.2", resting=resting)) == "10.0.0.2"


def test_a_wanted_address_is_taken_or_outside() -> None:
    subnet = Subnet(block="10.0.0.0/28", gateway="10.0.0.1", ip_range="10.0.0.8/29")
    assert str(pool.choose_address(subnet, ())) == "10.0.0.8"
    assert str(pool.choose_address(subnet, (), "10.0.0.3")) == "10.0.0.3"
    for wanted, kind in (
        ("10.0.0.1", AlreadyExists),
        ("10.0.0.0", InvalidInput),
        ("10.0.0.15", InvalidInput),
        ("10.0.1.3", InvalidInput),
    ):
        with pytest.raises(kind):
            pool.choose_address(subnet, (), wanted)


def test_link_local_address_is_the_kernel_s() -> None:
    assert pool.mac_of(ip_address("172.17.0.2")) == "02:42:ac:11:00:02"
    assert pool.link_local("02:42:ac:11:00:02") == "fe80::42:acff:fe11:2"


def network(name: str) -> Network:
    subnet = Subnet(block="10.0.0.0/24", gateway="10.0.0.1")
    return Network(id=new_id(), name=name, bridge="br-x", subnets=(subnet,))


def test_networks_are_kept_on_disk(tmp_path: Path) -> None:
    store = Networks(tmp_path)
    assert store.list() == []
    one, other = network("one"), network("other")
    store.store(one)
    store.store(other)
    assert {found.name for found in Networks(tmp_path).list()} == {"one", "other"}
    assert store.find(one.id[:10]) == store.find("one") == one
    for nothing in ("", "no"):
        with pytest.raises(NotFound, match="no such network"):
            store.find(nothing)
    store.remove(one)
    assert store.list() == [other]
    (path,) = (tmp_path / "networks").iterdir()
    path.write_text('{"version": 9}')
    with pytest.raises(SetupError, match="another version"):
        store.list()


GROUND = HostGround(Path("/nonexistent"))  # on which nothing is opened
KNOWN = Names({"web": ("10.0.0.2", "fd00::2")}, {"10.0.0.2": "web.lab"}, ())


def ask(name: str, kind: str) -> dns.message.Message:
    reply = answer_from(dns.message.make_query(name, kind), KNOWN)
    assert reply is not None
    return reply


def test_resolver_answers_names_of_the_network() -> None:
    assert ask("WEB", "A").answer[0][0].to_text() == "10.0.0.2"
    assert ask("web.", "AAAA").answer[0][0].to_text() == "fd00::2"
    nothing = ask("web", "MX")  # the name is there, this kind is not
    assert (nothing.answer, nothing.rcode()) == ([], dns.rcode.NOERROR)
    assert ask("2.0.0.10.in-addr.arpa", "PTR").answer[0][0].to_text() == "web.lab."
    assert answer_from(dns.message.make_query("example.org", "A"), KNOWN) is None
    assert answer_from(dns.message.make_query("nonsense.in-addr.arpa", "PTR"), KNOWN) is None


def answered(resolver: Resolver, data: bytes, asker: str) -> bytes:
    with ThreadPoolExecutor(1) as thread:  # this one may have a loop: a browser's test leaves one
        return thread.submit(asyncio.run, resolver.answer(data, asker, 1232)).result()


def test_resolver_refuses_what_may_not_go_out_and_hears_no_stranger() -> None:
    resolver = Resolver(GROUND, lambda asker: KNOWN if asker == "10.0.0.3" else None)
    query = dns.message.make_query("example.org", "A").to_wire()
    reply = dns.message.from_wire(answered(resolver, query, "10.0.0.3"))
    assert reply.rcode() == dns.rcode.REFUSED
    assert answered(resolver, query, "10.0.0.4") == b""
    assert reply.flags & dns.flags.QR
    assert answered(resolver, reply.to_wire(), "10.0.0.3") == b""  # no loops


@given(st.binary(max_size=200))
def test_no_datagram_breaks_the_resolver(data: bytes) -> None:
    resolver = Resolver(GROUND, lambda _: KNOWN)
    assert isinstance(answered(resolver, data, "10.0.0.3"), bytes)


@given(st.binary(max_size=60))
def test_no_question_breaks_the_resolver(tail: bytes) -> None:
    head = bytes.fromhex("0001 0100 0001 0000 0000 0000")
    resolver = Resolver(GROUND, lambda _: KNOWN)
    assert isinstance(answered(resolver, head + tail, "10.0.0.3"), bytes)


def test_resolv_conf_is_the_host_s_but_for_the_servers() -> None:
    text = "# a comment\nnameserver 127.0.0.53\nsearch a.example b.example\noptions edns0 ndots:2\n"
    assert host_servers(text) == ("127.0.0.53",)
    ours = resolv_conf(("10.0.0.1",), Dns(), text)
    assert ours == "nameserver 10.0.0.1\nsearch a.example b.example\noptions edns0 ndots:2\n"
    own = resolv_conf(("10.0.0.1",), Dns(search=("c.example",), options=("ndots:1",)), text)
    assert own == "nameserver 10.0.0.1\nsearch c.example\noptions ndots:1\n"


@pytest.mark.parametrize(
    "wrong", [{"servers": ("nowhere",)}, {"search": ("a b",)}, {"options": ("x\nnameserver 1",)}]
)
def test_words_for_resolv_conf_are_checked(wrong: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(InvalidInput):
        Dns(**wrong)
