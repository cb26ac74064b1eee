"""The networks as a frame, and a packet's way computed from it, against what really happens."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from tests.linux.conftest import wait_until
from tests.linux.program import Wardian, out
from tests.linux.shown_commands import Shown, say
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
from wardian.errors import FailedPrecondition
from wardian.network.definition import Endpoint
from wardian.observe import namespace_reader
from wardian.observe.network import NetworkSampler
from wardian.observe.network_frame import NetworkFrame
from wardian.observe.packet import Way, way
from wardian.observe.replica import Replica
from wardian.observe.surroundings import Surroundings, observe
from wardian.runtime.client import Client
from wardian.widgets.feed import PULSE, Feed
from wardian.widgets.still import still

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
        with Client.connect(self.root) as client:
            return NetworkSampler(self.root).sample(client.list())


@pytest.fixture
def street(wardian: Wardian, lab: str, state: Path) -> Street:
    start(wardian, "web", SERVER, "--network", lab, "-p", f"{PORT}:7")
    start(wardian, "asker", SLEEPER, "--network", lab)
    start(wardian, "stranger", SLEEPER, "--network", "bridge")
    wait_until(lambda: ask(wardian, "asker", "ask", "web", "7") == "fern\n")
    with Client.connect(state) as client:
        web, stranger = (client.container(one).info for one in ("web", "stranger"))
    return Street(state, wardian, web.endpoints[0], stranger.endpoints[0])


def test_the_commands_that_are_shown_say_what_the_frame_says(
    street: Street, tmp_path: Path
) -> None:
    frame = replace(street.frame(), container="web")
    lines = Shown.bundled(tmp_path).lines(frame, "web/eth0")
    inner, row = frame.link("web/eth0"), frame.namespace("web")
    assert inner is not None
    assert row is not None
    enter = f"nsenter -t {row.host_pid} -n "
    assert inner.mac in say(lines, f"{enter}ip -d -s link show dev eth0")
    assert set(inner.addresses) <= set(say(lines, f"{enter}ip addr").split())
    told = {(link, route.to, route.via) for link, route in row.routes}
    assert ("eth0", "default", street.web.gateway) in told
    assert f"default via {street.web.gateway} dev eth0" in say(lines, f"{enter}ip route")
    assert re.search(r"^LISTEN .*:7 ", say(lines, f"{enter}ss "), re.MULTILINE)
    (lab,) = (network for network in frame.networks if network.name == "lab")
    assert lab.bridge in say(lines, "ip link show master ", end=lab.bridge)
    nat = say(lines, "nft list table inet ", end=lab.rules[0].table)
    assert any(rule.to in nat for rule in lab.rules if rule.action == "dnat")
    assert frame.link(inner.peer) is not None
    assert inner.peer.removeprefix("host/") in say(lines, "bridge link")


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
    assert (direct.arrives, str(direct.ends)) == (True, "web")
    assert [hop.namespace for hop in direct.hops] == ["asker", "host", "host", "web"]
    # By way of the host's address: the hairpin, whose answers go by the host.
    hairpin = goes("asker", own_address(), PORT)
    assert (hairpin.arrives, str(hairpin.ends)) == (True, "web")
    rules = [hop.rule for hop in hairpin.hops if hop.rule]
    assert any(f"dnat ip to {street.web.ip}:7" in rule for rule in rules)
    assert any("masquerade" in rule for rule in rules)
    assert ask(street.wardian, "asker", "ask", own_address(), str(PORT)) == "fern\n"
    shut = goes("stranger", "web", 7)
    assert not shut.arrives
    assert shut.hops[-1].rule == f'oifname "{street.web.bridge}" counter drop'
    assert "fern" not in ask(street.wardian, "stranger", "ask", street.web.ip, "7")
    host_port = goes("asker", own_address(), 22)
    assert (host_port.arrives, str(host_port.ends)) == (
        False,
        "dropped before the host's own ports",
    )
    outside = goes("world", own_address(), PORT)
    assert (outside.arrives, str(outside.ends)) == (True, "web")
    assert goes("host", "web", 7).arrives
    wait_until(partial(answers, street.web.ip, 7))
    nobody = goes("asker", street.web.ip.rpartition(".")[0] + ".99", 7)
    assert not nobody.arrives


def test_a_container_may_be_called_host_or_world(street: Street) -> None:
    out(street.wardian("rename", "asker", "host"))
    out(street.wardian("rename", "stranger", "world"))
    frame = street.frame()
    names = [space.name for space in frame.namespaces]
    assert sorted(names) == ["container:host", "container:world", "host", "web"]
    found = way(frame, "container:host", "web", 7)
    assert (found.arrives, found.hops[0].namespace) == (True, "container:host")
    assert not way(frame, "container:world", "container:host", 7).arrives
    assert way(frame, "world", own_address(), PORT).arrives
    assert str(way(frame, "host", "container:host", 7).ends) == "container:host"


def test_a_packet_with_a_false_sender_is_dropped_at_the_bridge(street: Street) -> None:
    out(street.wardian("rm", "-f", "asker"))
    start(street.wardian, "liar", SLEEPER, "--network", "lab", "--cap-add", "NET_ADMIN")
    assert way(street.frame(), "liar", "web", 7).arrives
    new = "02:42:0a:d5:07:09"
    out(street.wardian("exec", "liar", "ip", "link", "set", "eth0", "address", new))
    found = way(street.frame(), "liar", "web", 7)
    assert not found.arrives
    assert found.hops[-1].rule == "iifname . ether saddr != @macs counter drop"


def surroundings(root: Path, name: str) -> Surroundings:
    with Client.connect(root) as client:
        return Surroundings.of(client.container(name))


@dataclass
class Watched:
    """A view that is looked at, and what it was told."""

    feed: Feed
    sent: list[bytes]

    def wait_said(self, kind: str, condition: Callable[[dict[str, object]], object]) -> None:
        """Until a message of this kind is as it should be."""

        def is_said() -> bool:
            found = (json.loads(message) for message in list(self.sent))
            return any(message["kind"] == kind and condition(message) for message in found)

        wait_until(is_said)

    def frame(self) -> NetworkFrame:
        """What the page has by now."""
        page = Replica("network")
        for message in map(json.loads, list(self.sent)):
            if message["kind"] in ("full", "delta"):
                page.take(message)
        assert isinstance(page.frame, NetworkFrame)
        return page.frame


@pytest.fixture
def watched(street: Street) -> Iterator[Watched]:
    sent: list[bytes] = []
    seen = surroundings(street.root, "asker")
    feed = Feed("network", lambda: seen, sent.extend)
    feed.hear({"kind": "visible", "id": "page", "visible": True})
    yield Watched(feed, sent)
    feed.close()
    assert PULSE.wait_stopped(10)


def test_a_view_is_told_in_small_pieces_of_what_goes_through_a_wire(
    street: Street, watched: Watched
) -> None:
    watched.wait_said("full", lambda _: True)

    def sent_bytes() -> int:
        link = watched.frame().link("asker/eth0")
        assert link is not None
        return link.sent_bytes

    before = sent_bytes()
    ask(street.wardian, "asker", "ask", "web", "7")
    wait_until(lambda: sent_bytes() > before)  # the second frame differs by its rates already
    deltas = [message for message in watched.sent if json.loads(message)["kind"] == "delta"]
    assert deltas
    assert max(map(len, deltas)) < 4096 < len(watched.sent[0])


def test_a_view_sees_who_comes_and_goes(street: Street, watched: Watched) -> None:
    start(street.wardian, "late", SLEEPER, "--network", "lab")
    wait_until(lambda: watched.frame().link("late/eth0") is not None)
    out(street.wardian("rm", "-f", "late"))
    wait_until(lambda: watched.frame().namespace("late") is None)
    out(street.wardian("stop", "-t", "0", "asker"))
    watched.wait_said("error", lambda said: said["what"] == "container 'asker' is not running")


def test_a_view_answers_with_the_way_and_with_why_there_is_none(watched: Watched) -> None:
    watched.wait_said("full", lambda _: True)
    asked = {"kind": "way", "source": "asker", "destination": "web", "port": 7, "protocol": "tcp"}
    watched.feed.hear(asked)
    web = {"text": "%1", "values": ["web"]}
    watched.wait_said("way", lambda said: said["ends"] == web and said["arrives"])
    watched.feed.hear({**asked, "destination": "nobody"})
    watched.wait_said("way", lambda said: "nobody" in str(said["ends"]) and not said["arrives"])
    for nonsense in ({"port": 0}, {"port": "7"}, {"source": ["asker"]}, {"protocol": "<img>"}):
        many = len(watched.sent)
        watched.feed.hear({**asked, **nonsense})
        assert not [one for one in watched.sent[many:] if json.loads(one)["kind"] == "way"]


def test_who_has_loopback_only_is_seen_with_what_shares_its_namespace(
    wardian: Wardian, state: Path
) -> None:
    start(wardian, "island", SLEEPER)
    start(wardian, "guest", SLEEPER, "--network", "container:island")
    frame = observe(surroundings(state, "island"))
    assert [(one.name, one.residents) for one in frame.namespaces] == [
        ("host", ()),
        ("island", ("guest",)),
    ]
    assert [link.name for link in frame.links if link.namespace == "island"] == ["lo"]
    assert frame.networks == ()
    assert frame.container == "island"
    assert "loopback only" in still(frame)


def test_what_is_not_read_each_time_is_read_when_it_has_changed(
    wardian: Wardian, state: Path
) -> None:
    start(wardian, "mover", SLEEPER, "--cap-add", "NET_ADMIN")
    with Client.connect(state) as client:
        sampler, containers = NetworkSampler(state), client.list()
        before = sampler.sample(containers)
        out(wardian("exec", "mover", "ip", "addr", "add", "192.0.2.9/24", "dev", "lo"))
        after = sampler.sample(containers)
        serve = "python3", "-m", "http.server", "80"
        out(wardian("exec", "-d", "mover", *serve))
        wait_until(lambda: listening(sampler.sample(containers)) == ["0.0.0.0:80"])
    assert [link.addresses[0] for link in before.links if link.namespace == "mover"] == [
        "127.0.0.1/8"
    ]
    (link,) = (link for link in after.links if link.namespace == "mover")
    assert "192.0.2.9/24" in link.addresses


def listening(frame: NetworkFrame) -> list[str]:
    """Where somebody waits, in every container."""
    return [one.local for row in frame.namespaces for one in row.sockets if one.state == "listen"]


def test_another_notebook_s_containers_are_not_shown(wardian: Wardian, state: Path) -> None:
    for name, book in (("mine", "a"), ("theirs", "b")):
        start(wardian, name, SLEEPER, "--label", f"wardian.notebook={book}")
    start(wardian, "nobodys", SLEEPER)
    names = [space.name for space in observe(surroundings(state, "mine")).namespaces]
    assert names == ["host", "mine", "nobodys"]


def test_a_container_full_of_links_and_routes_is_cut_short(wardian: Wardian, state: Path) -> None:
    start(wardian, "flood", SLEEPER, "--cap-add", "NET_ADMIN")
    script = "i=0; while [ $i -lt 300 ]; do ip link add e$i type bridge; i=$((i+1)); done"
    out(wardian("exec", "flood", "sh", "-c", script))
    frame = observe(surroundings(state, "flood"))
    space = frame.namespace("flood")
    assert space is not None
    assert space.has_more
    assert (
        len([one for one in frame.links if one.namespace == "flood"]) == namespace_reader.MOST_ROWS
    )


def test_the_static_form_is_the_same_whatever_was_sent(street: Street) -> None:
    before = still(observe(surroundings(street.root, "asker")))
    ask(street.wardian, "asker", "ask", "web", "7")
    assert still(observe(surroundings(street.root, "asker"))) == before
    assert f"*:{PORT} → web 7/tcp" in before
    assert before.count("<path") == 4  # three wires and a published port


def test_a_container_that_does_not_run_has_no_surroundings(wardian: Wardian, state: Path) -> None:
    start(wardian, "gone", SLEEPER)
    seen = surroundings(state, "gone")
    out(wardian("stop", "-t", "0", "gone"))
    with pytest.raises(FailedPrecondition, match="'gone' is not running"):
        observe(seen)
