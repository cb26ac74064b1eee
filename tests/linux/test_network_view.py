"""The networks as a frame, and a packet's way computed from it, against what really happens."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import pytest

from tests.linux.conftest import wait_until
from tests.linux.program import Wardian, out
from tests.linux.test_networks import (  # fixtures, too
    SERVER,
    SLEEPER,
    answers,
    ask,
    base_store,
    host,
    lab,
    own_address,
    start,
    wardian,
)
from wardian.network.definition import Endpoint
from wardian.observe.network import NetworkSampler, observe
from wardian.observe.network_frame import NetworkFrame
from wardian.observe.packet import Way, way
from wardian.runtime.client import Client

__all__ = ["base_store", "host", "lab", "wardian"]
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="bridge networks need root; run as root"),
    pytest.mark.xdist_group("networks"),  # who looks at the host's links wants no other's there
]
PORT = 8075


@dataclass(frozen=True)
class Street:
    """Two containers in one network, the first published, and a stranger in another."""

    root: Path
    wardian: Wardian
    web: Endpoint
    stranger: Endpoint

    def frame(self) -> NetworkFrame:
        return observe(self.root)


@pytest.fixture
def street(wardian: Wardian, lab: str, state: Path) -> Street:
    start(wardian, "web", SERVER, "--network", lab, "-p", f"{PORT}:7")
    start(wardian, "asker", SLEEPER, "--network", lab)
    start(wardian, "stranger", SLEEPER, "--network", "bridge")
    wait_until(lambda: ask(wardian, "asker", "ask", "web", "7") == "fern\n")
    with Client.connect(state) as client:
        web, stranger = (client.container(one).info for one in ("web", "stranger"))
    return Street(state, wardian, web.endpoints[0], stranger.endpoints[0])


def test_a_frame_has_links_pairs_routes_rules_ports_and_sockets(street: Street) -> None:
    assert answers(own_address(), PORT)  # so the host has web among its neighbours
    frame = street.frame()
    assert msgspec.json.decode(msgspec.json.encode(frame), type=NetworkFrame) == frame
    inner = frame.link("web/eth0")
    assert inner is not None
    assert inner.mac == street.web.mac
    assert f"{street.web.ip}/24" in inner.addresses
    assert inner.peer == f"host/{street.web.veth}"
    outer = frame.link(inner.peer)
    assert outer is not None
    assert (outer.peer, outer.bridge) == ("web/eth0", f"host/{street.web.bridge}")
    space = frame.namespace("web")
    assert space is not None
    assert ("eth0", "default", street.web.gateway) in [
        (link, one.to, one.via) for link, one in space.routes
    ]
    assert [port.host_port for port in space.ports] == [PORT]
    assert ("tcp", "[::]:7", "listen") in [(s.protocol, s.local, s.state) for s in space.sockets]
    assert street.web.mac in [one.mac for _, one in frame.namespaces[0].neighbours]
    network = next(one for one in frame.networks if one.name == "lab")
    assert f"{street.web.veth} {street.web.ip}" in network.sets["ips"]
    assert any(one.to == f"{street.web.ip}:7" for one in network.rules)
    assert frame.unreadable == ()


def test_counters_and_rates_follow_what_is_sent(street: Street) -> None:
    sampler = NetworkSampler(street.root)
    with Client.connect(street.root) as client:
        first = sampler.sample(client.list())
        assert answers(own_address(), PORT)
        for _ in range(10):
            ask(street.wardian, "asker", "ask", "web", "7")
        second = sampler.sample(client.list())
    before, after = first.link("asker/eth0"), second.link("asker/eth0")
    assert before is not None
    assert after is not None
    assert before.sent_rate is None
    assert after.sent_bytes > before.sent_bytes
    assert after.sent_rate is not None
    assert after.sent_rate > 0


def test_a_computed_way_is_what_really_happens(street: Street) -> None:
    frame = street.frame()

    def goes(source: str, place: str, port: int) -> Way:
        return way(frame, source, place, port)

    direct = goes("asker", "web", 7)
    assert (direct.arrives, direct.ends) == (True, "web")
    assert [hop.namespace for hop in direct.hops] == ["asker", "host", "host", "web"]
    # By way of the host's address: the hairpin, whose answers go by the host.
    hairpin = goes("asker", own_address(), PORT)
    assert (hairpin.arrives, hairpin.ends) == (True, "web")
    rules = [hop.rule for hop in hairpin.hops if hop.rule]
    assert any(f"dnat ip to {street.web.ip}:7" in rule for rule in rules)
    assert any("masquerade" in rule for rule in rules)
    assert ask(street.wardian, "asker", "ask", own_address(), str(PORT)) == "fern\n"
    shut = goes("stranger", "web", 7)
    assert not shut.arrives
    assert shut.hops[-1].rule == f'oifname "{street.web.bridge}" counter drop'
    assert "fern" not in ask(street.wardian, "stranger", "ask", street.web.ip, "7")
    host_port = goes("asker", own_address(), 22)
    assert (host_port.arrives, host_port.ends) == (False, "dropped before the host's own ports")
    outside = goes("world", own_address(), PORT)
    assert (outside.arrives, outside.ends) == (True, "web")
    assert goes("host", "web", 7).arrives
    wait_until(partial(answers, street.web.ip, 7))
    nobody = goes("asker", street.web.ip.rpartition(".")[0] + ".99", 7)
    assert not nobody.arrives


def test_a_packet_with_a_false_sender_is_dropped_at_the_bridge(street: Street) -> None:
    out(street.wardian("rm", "-f", "asker"))
    start(street.wardian, "liar", SLEEPER, "--network", "lab", "--cap-add", "NET_ADMIN")
    assert way(street.frame(), "liar", "web", 7).arrives
    new = "02:42:0a:d5:07:09"
    out(street.wardian("exec", "liar", "ip", "link", "set", "eth0", "address", new))
    found = way(street.frame(), "liar", "web", 7)
    assert not found.arrives
    assert found.hops[-1].rule == "iifname . ether saddr != @macs counter drop"
