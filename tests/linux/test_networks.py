"""Containers in bridge networks: they talk, are reached, are kept apart, and leave nothing."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path

import pytest

from tests.faults.killing import after, kill, pidfd_of
from tests.faults.leftovers import processes
from tests.linux.conftest import keeper_pid, shell, wait_until
from tests.linux.program import Wardian, out, program, refused
from wardian.errors import WardianError
from wardian.images.resolve import resolve
from wardian.images.store import ImageStore
from wardian.linux import netlink
from wardian.linux.netlink import Netlink
from wardian.network import ruleset
from wardian.network.definition import Attachment
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.spec import ContainerSpec, ProcessSpec

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="bridge networks need root; run as root"),
    pytest.mark.xdist_group("networks"),  # who looks at the host's links wants no other's there
]

EVERYWHERE = "0.0.0.0"  # noqa: S104  # docker's word
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
IMAGE = "wardian/base"  # its Python speaks UDP and IPv6, which busybox' nc does not
SERVER, SLEEPER = ("python3", "/echo.py", "serve"), ("sleep", "1000")
PROGRAM = Path(__file__).with_name("echo_program.py")


@pytest.fixture(autouse=True)
def host(tmp_path: Path) -> Iterator[None]:
    """The host's links, tables and forwarding are the same afterwards."""
    before = _host()
    yield
    wait_until(lambda: _host() == before)
    if (log := tmp_path / "state" / "switch.log").exists():
        assert log.read_text() == ""


def _host() -> tuple[list[str], str, str]:
    links = sorted(name for _, name in socket.if_nameindex())
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True)
    return links, tables.stdout, FORWARDING.read_text()


@pytest.fixture(scope="module")
def base_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the base image in it, made once."""
    root = tmp_path_factory.mktemp("base")
    resolve(ImageStore(root), IMAGE)
    return root


@pytest.fixture
def wardian(host: None, state: Path, base_store: Path) -> Wardian:
    """The command, with the base image made already."""
    del host
    shutil.copytree(base_store, state, symlinks=True, copy_function=os.link)
    return program(state)


NEW_LAB = ("network", "create", "--ipv6", "--subnet", "10.213.7.0/24", "lab")


@pytest.fixture
def lab(wardian: Wardian) -> str:
    """A network with both IP versions."""
    out(wardian(*NEW_LAB))
    return "lab"


def start(wardian: Wardian, name: str, command: tuple[str, ...], *flags: str) -> None:
    """A container that does this in the background."""
    volume = f"{PROGRAM}:/echo.py:ro"
    out(wardian("run", "-d", "--name", name, "-v", volume, *flags, IMAGE, *command))


def ask(wardian: Wardian, name: str, *words: str) -> str:
    """What the echo program in a container prints, be it an error."""
    done = wardian("exec", name, "python3", "/echo.py", *words)
    return done.stdout + done.stderr


def cat(wardian: Wardian, name: str, *command: str) -> str:
    """What a command in a container prints."""
    return out(wardian("exec", name, *command))


def settings(wardian: Wardian, name: str) -> dict[str, dict[str, str]]:
    """The container's networks by name."""
    (info,) = json.loads(out(wardian("inspect", name)))
    networks: dict[str, dict[str, str]] = info["NetworkSettings"]["Networks"]
    return networks


def answers(host: str, port: int, *, udp: bool = False) -> bool:
    """Whether a word sent from the host comes back."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)) as sock:
        sock.settimeout(1)
        try:
            sock.connect((host, port))
            sock.send(b"fern")
            return sock.recv(16) == b"fern"
        except OSError:
            return False


def own_address() -> str:
    """An address of this host that is not the loopback's."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        sock.connect(("192.0.2.1", 9))  # sends nothing
        return str(sock.getsockname()[0])


def test_containers_talk_by_name_over_tcp_and_udp_v4_and_v6(wardian: Wardian, lab: str) -> None:
    start(wardian, "server", SERVER, "--network", lab, "--network-alias", "db")
    start(wardian, "asker", SLEEPER, "--network", lab)
    ours = settings(wardian, "server")["lab"]
    assert ours["IPAddress"] == "10.213.7.2"
    assert ours["HostInterface"] == "veth-server"
    assert ours["Pair"].startswith("veth-server@if2 ↔ eth0@if")
    wait_until(lambda: ask(wardian, "asker", "ask", "server", "7") == "fern\n")
    for name in ("db", ours["IPAddress"], ours["GlobalIPv6Address"]):
        assert ask(wardian, "asker", "ask", name, "7") == "fern\n"
        assert ask(wardian, "asker", "ask", name, "7", "udp") == "fern\n"
    both = f"10.213.7.2 {ours['GlobalIPv6Address']}\n"
    assert ask(wardian, "asker", "names", "server", "10.213.7.2") == f"{both}server.lab\n"
    hosts = cat(wardian, "server", "cat", "/etc/hosts")
    assert f"{ours['IPAddress']}\t" in hosts
    assert "127.0.1.1" not in hosts
    assert cat(wardian, "server", "cat", "/etc/resolv.conf").startswith("nameserver 10.213.7.1\n")
    out(wardian("rename", "server", "renamed"))
    assert ask(wardian, "asker", "names", "renamed") == both


def test_published_ports_answer_on_loopback_and_on_the_host_s_address(wardian: Wardian) -> None:
    start(wardian, "web", SERVER, "-p", "7", "-p", "7/udp", "-p", "127.0.0.1::7")
    ports = out(wardian("port", "web")).splitlines()
    assert len(ports) == 5
    everywhere = [line for line in ports if f" {EVERYWHERE}:" in line]
    tcp, udp = (int(line.rpartition(":")[2]) for line in everywhere)
    for address in ("127.0.0.1", "::1", own_address()):
        wait_until(partial(answers, address, tcp))
    for address in ("127.0.0.1", own_address()):
        wait_until(partial(answers, address, udp, udp=True))
    assert f"{EVERYWHERE}:{tcp}->7/tcp" in out(wardian("ps"))
    # By way of the host's address, from the same network: the hairpin.
    start(wardian, "other", SLEEPER, "--network", "bridge")
    assert ask(wardian, "other", "ask", own_address(), str(tcp)) == "fern\n"
    taken = wardian("run", "--rm", "-p", f"{tcp}:7", IMAGE, "true")
    assert "is in use on the host" in refused(taken, 125)
    out(wardian("rm", "-f", "web"))
    start(wardian, "next", SERVER, "-p", f"{tcp}:7")  # free at once
    wait_until(partial(answers, own_address(), tcp))


def test_a_container_reaches_no_port_of_the_host_and_no_other_network(
    wardian: Wardian, lab: str
) -> None:
    out(wardian("network", "create", "--internal", "shut"))
    start(wardian, "server", SERVER, "--network", lab)
    start(wardian, "stranger", SLEEPER, "--network", "bridge")
    start(wardian, "inmate", SLEEPER, "--network", "shut")
    address = settings(wardian, "server")["lab"]["IPAddress"]
    wait_until(partial(answers, address, 7))  # the host itself may
    gateways = {
        "stranger": settings(wardian, "stranger")["bridge"]["Gateway"],
        "inmate": settings(wardian, "inmate")["shut"]["Gateway"],
    }
    with closing(socket.create_server((EVERYWHERE, 0))) as listener:
        port = str(listener.getsockname()[1])
        socket.create_connection((own_address(), int(port)), timeout=1).close()
        for name, gateway in gateways.items():
            for host in (gateway, own_address()):
                assert "reached" not in ask(wardian, name, "reach", host, port)
            assert "reached" not in ask(wardian, name, "reach", address, "7")
            assert "fern" not in ask(wardian, name, "ask", address, "7", "udp")
            assert "10.213.7" not in ask(wardian, name, "names", "server")
    assert "default" in cat(wardian, "stranger", "ip", "route")
    assert "default" not in cat(wardian, "inmate", "ip", "route")


def test_a_container_cannot_send_from_another_address(wardian: Wardian, lab: str) -> None:
    start(wardian, "server", SERVER, "--network", lab)
    start(wardian, "liar", SLEEPER, "--network", lab, "--cap-add", "NET_ADMIN")

    def is_heard(source: str) -> bool:
        return ask(wardian, "liar", "ask-from", source, "10.213.7.2", "7") == "fern\n"

    wait_until(partial(is_heard, "10.213.7.3"))
    out(wardian("exec", "liar", "ip", "addr", "add", "10.213.7.77/24", "dev", "eth0"))
    assert not is_heard("10.213.7.77")
    assert is_heard("10.213.7.3")
    out(wardian("exec", "liar", "ip", "link", "set", "eth0", "address", "02:42:0a:d5:07:09"))
    assert not is_heard("10.213.7.3")


def test_connect_and_disconnect_while_it_runs(wardian: Wardian, lab: str) -> None:
    out(wardian("network", "create", "second"))
    start(wardian, "server", SERVER, "--network", lab)
    start(wardian, "both", SLEEPER, "--network", "second")
    assert "fern" not in ask(wardian, "both", "ask", "10.213.7.2", "7")
    out(wardian("network", "connect", "--ip", "10.213.7.40", "--alias", "two", lab, "both"))
    assert settings(wardian, "both")["lab"]["Interface"] == "eth1"
    wait_until(lambda: ask(wardian, "both", "ask", "server", "7") == "fern\n")
    assert "10.213.7.40" in ask(wardian, "server", "names", "two")
    inside = json.loads(out(wardian("network", "inspect", lab)))[0]["Containers"]
    assert {one["Name"] for one in inside.values()} == {"server", "both"}
    assert "is in network lab already" in refused(wardian("network", "connect", lab, "both"), 1)
    out(wardian("network", "disconnect", "second", "both"))
    assert list(settings(wardian, "both")) == ["lab"]
    assert "default via 10.213.7.1" in cat(wardian, "both", "ip", "route")
    assert "10.213.7.40" in cat(wardian, "both", "cat", "/etc/hosts")
    out(wardian("stop", "-t", "0", "both"))
    out(wardian("start", "both"))
    assert list(settings(wardian, "both")) == ["lab"]
    only = ("--since", "5m", "--until", "0s", "--filter", "type=network")
    form = "{{.Action}} {{.Actor.Attributes.name}}"
    told = out(wardian("events", *only, "--format", form)).splitlines()
    # The server, the other one; then what was asked for; then its end and its second start.
    assert told[-6:] == [
        "connect lab",
        "connect second",
        "connect lab",
        "disconnect second",
        "disconnect lab",
        "connect lab",
    ]


def _plain(rule: str) -> str:
    """Without what goes without saying, which nft says or not, and without what is counted."""
    implied = r"meta nfproto ipv[46] (?=ip6? )|ether type \w+ (?=iif)"
    return re.sub(r"packets \d+ bytes \d+", "", re.sub(implied, "", rule))


def test_rules_are_shown_as_nft_and_as_iptables_say_them(wardian: Wardian, lab: str) -> None:
    ports = ("127.0.0.2:8070:7", "8071:7/udp", "10.213.7.1:8072:7")  # the last one at its bridge
    publish = [word for port in ports for word in ("-p", port)]
    start(wardian, "web", SERVER, "--network", lab, *publish)
    bridge = json.loads(out(wardian("network", "inspect", lab)))[0]["Options"]["bridge.name"]
    ours = out(wardian("network", "rules", lab)).splitlines()
    told: set[str] = set()
    for family in ("inet", "bridge"):
        listing = ["nft", "list", "table", family, f"wardian_{bridge}"]
        done = subprocess.run(listing, capture_output=True, text=True, check=True)
        told |= {_plain(line) for line in done.stdout.splitlines()}
    assert {_plain(line) for line in ours} <= told
    chains = out(wardian("network", "rules", "--format", "iptables", lab))
    assert "-A POSTROUTING -s 10.213.7.0/24 ! -o " + bridge + " -j MASQUERADE\n" in chains
    published = "-p udp -m udp --dport 8071 -j DNAT --to-destination 10.213.7.2:7\n"
    assert f"-A PREROUTING -m addrtype --dst-type LOCAL {published}" in chains
    published = "-p tcp -m tcp --dport 8072 -j DNAT --to-destination 10.213.7.2:7\n"
    assert f"-A OUTPUT -d 10.213.7.1/32 {published}" in chains
    out(wardian("rm", "-f", "web"))
    assert "is not up" in refused(wardian("network", "rules", lab), 1)


def test_a_policy_of_others_that_stops_forwarding_is_named(wardian: Wardian, lab: str) -> None:
    table = ["nft", "add", "table", "ip", "strangers"]
    chain = "{ type filter hook forward priority 10; policy drop; }"
    subprocess.run(table, check=True)
    try:
        subprocess.run(["nft", f"add chain ip strangers FORWARD {chain}"], check=True)
        done = wardian("run", "--rm", "--network", lab, IMAGE, "true")
        assert "chain FORWARD of table ip strangers drops what the network forwards" in done.stderr
    finally:
        subprocess.run(["nft", "delete", "table", "ip", "strangers"], check=True)


def test_connections_are_forgotten_with_their_container(wardian: Wardian, lab: str) -> None:
    def tracked() -> bool:
        with Netlink.open(netlink.NETFILTER) as kernel:
            return address in b"".join(kernel.dump(every))

    every = netlink.Message(1 << 8 | 1, 0, bytes([socket.AF_INET, 0, 0, 0]))
    address = socket.inet_aton("10.213.7.2")
    start(wardian, "server", SERVER, "--network", lab, "-p", "8072:7/udp")
    start(wardian, "asker", SLEEPER, "--network", lab)
    wait_until(partial(answers, own_address(), 8072, udp=True))
    wait_until(tracked)
    out(wardian("rm", "-f", "server"))
    wait_until(lambda: not tracked())


WRONG_WISHES = [
    (("--network", "nowhere"), "no such network: nowhere"),
    (("--network", "lab", "--ip", "10.9.9.9"), "is not an address of network lab"),
    (("--network", "lab", "--ip", "10.213.7.1"), "is taken"),
    (("--network", "lab", "--ip6", "::g"), "not an IPv6 address"),
    (("--network", "lab", "--mac-address", "01:00:00:00:00:01"), "multicast"),
    (("--network", "none", "-p", "80"), "ports are published from a bridge network only"),
    (("--network", "host", "--network", "lab"), "excludes others"),
    (("--network", "bridge", "--network-alias", "x"), "only user-made networks have names"),
    (("-p", "80000:80"), "not a port or a range of ports"),
    (("-p", "192.0.2.200:0:80"), "cannot publish port 80/tcp"),
]


def test_a_wrong_wish_is_one_line_and_nothing_half_made(wardian: Wardian, lab: str) -> None:
    del lab
    for flags, said in WRONG_WISHES:
        assert said in refused(wardian("run", "--name", "never", *flags, IMAGE, "true"), 125)
    assert out(wardian("ps", "-aq")) == ""


def test_wrong_networks_are_one_line(wardian: Wardian, lab: str) -> None:
    create = ("network", "create")
    assert "overlaps" in refused(wardian(*create, "--subnet", "10.213.0.0/16", "x"), 1)
    assert "exists already" in refused(wardian(*create, lab), 1)
    assert "not a subnet" in refused(wardian(*create, "--subnet", "10.1.0.0/8", "x"), 1)
    assert "not in subnet" in refused(
        wardian(*create, "--subnet", "10.214.0.0/24", "--gateway", "10.1.1.1", "x"), 1
    )
    assert "not a network name" in refused(wardian(*create, "x y"), 1)
    assert "no name for a network" in refused(wardian(*create, "host"), 1)
    start(wardian, "user", SLEEPER, "--network", lab)
    assert "in use by user" in refused(wardian("network", "rm", lab), 1)
    out(wardian("rm", "-f", "user"))
    assert out(wardian("network", "rm", lab)) == "lab\n"
    assert "no such network" in refused(wardian("network", "rm", lab), 1)


def test_run_of_a_build_has_the_default_bridge_unless_it_asks_for_less_or_for_more(
    wardian: Wardian, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WARDIAN_BUILD_NETWORK")
    start(wardian, "web", SERVER, "--network", "bridge")
    address = settings(wardian, "web")["bridge"]["IPAddress"]
    reach = f"import socket; socket.create_connection(('{address}', 7))"
    (tmp_path / "Dockerfile").write_text(
        f'FROM {IMAGE}\nRUN cut -f 1 /proc/net/route > /routes; python3 -c "{reach}"\n'
        "RUN --network=none ls /sys/class/net > /none\n"
        "RUN --network=host readlink /proc/self/ns/net > /host\n"
    )
    out(wardian("build", "-q", "-t", "made", f"{tmp_path}"))
    said = out(wardian("run", "--rm", "made", "cat", "/none", "/host", "/routes")).split()
    assert said == ["lo", os.readlink("/proc/self/ns/net"), "Iface", "eth0", "eth0"]


@pytest.mark.parametrize("victim", ["keeper", "switch"])
def test_a_killed_keeper_or_switch_is_replaced_and_the_network_goes_on(
    wardian: Wardian, state: Path, lab: str, victim: str
) -> None:
    start(wardian, "server", SERVER, "--network", lab, "-p", "7")
    (line, *_) = out(wardian("port", "server", "7")).splitlines()
    port = int(line.rpartition(":")[2])
    wait_until(partial(answers, "127.0.0.1", port))
    pid = keeper_pid(state, victim)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: keeper_pid(state, victim) not in (None, pid) or victim == "keeper")
    out(wardian("ps"))
    wait_until(partial(answers, "127.0.0.1", port))
    start(wardian, "asker", SLEEPER, "--network", lab)
    assert settings(wardian, "asker")["lab"]["IPAddress"] == "10.213.7.3"
    wait_until(lambda: ask(wardian, "asker", "ask", "server", "7") == "fern\n")


def test_a_switch_that_is_told_to_end_leaves_what_is_used_to_the_next_one(
    wardian: Wardian, state: Path, lab: str
) -> None:
    start(wardian, "server", SERVER, "--network", lab, "-p", "7")
    port = int(out(wardian("port", "server", "7")).splitlines()[0].rpartition(":")[2])
    links = _host()
    first = keeper_pid(state, "switch")
    assert first is not None
    os.kill(first, signal.SIGTERM)
    wait_until(lambda: keeper_pid(state, "switch") not in (None, first))
    wait_until(partial(answers, "127.0.0.1", port))
    assert _host() == links
    said = state / "switch.log"
    assert said.read_text() == "ended while connected: server; their links stay\n"
    said.write_text("")


def test_the_end_of_a_container_takes_its_network_away_though_no_keeper_sees_it(
    wardian: Wardian, state: Path, lab: str
) -> None:
    before = _host()
    start(wardian, "server", SERVER, "--network", lab, "-p", "7")
    (info,) = json.loads(out(wardian("inspect", "server")))
    keeper = keeper_pid(state)
    assert keeper is not None
    os.kill(keeper, signal.SIGKILL)
    os.kill(info["State"]["Pid"], signal.SIGKILL)
    wait_until(lambda: _host() == before)
    out(wardian("start", "server"))
    assert settings(wardian, "server")["lab"]["IPAddress"] == "10.213.7.2"


CROWD = 200
SPEAK = "echo fern | nc 10.213.7.2 7 > /heard; exec sleep 100000"


def join(client: Client, name: str, network: str, layer: Path) -> Container:
    """One of a crowd, that says a word to the first in its network."""
    spec = ContainerSpec(
        name=name,
        image="busybox",
        lowers=(str(layer),),
        process=ProcessSpec(argv=("/bin/sh", "-c", SPEAK)),
        attachments=(Attachment(network=network),),
    )
    with open(os.devnull, "r+b") as null:
        return client.run(spec, fds=dict.fromkeys((0, 1, 2), null.fileno()))


def test_two_hundred_containers_on_one_bridge_talk_and_leave_nothing(
    wardian: Wardian, state: Path, lab: str, busybox_layer: Path
) -> None:
    before = _host()
    start(wardian, "server", SERVER, "--network", lab)
    bridge = settings(wardian, "server")["lab"]["Bridge"]
    with Client.connect(state) as client:
        crowd = [join(client, f"one{number}", lab, busybox_layer) for number in range(CROWD)]
        addresses = {container.info.endpoints[0].ip for container in crowd}
        assert len(addresses) == CROWD
        for container in crowd:
            wait_until(lambda one=container: shell(one, "cat /heard")[1] == "fern\n")  # type: ignore[misc]
        assert len(_senders(bridge)) == CROWD + 1
        for container in crowd:
            container.remove(force=True)
        wait_until(lambda: _senders(bridge) == ["veth-server 10.213.7.2"])
        wait_until(lambda: not [name for name in _host()[0] if name.startswith("veth-one")])
    start(wardian, "next", SLEEPER, "--network", lab)
    assert settings(wardian, "next")["lab"]["IPAddress"] == "10.213.7.3"  # the first that was free
    out(wardian("rm", "-f", "server", "next"))
    wait_until(lambda: _host() == before)


def test_a_keeper_that_is_killed_in_the_middle_leaves_nothing_after_a_prune(
    wardian: Wardian, state: Path, lab: str, busybox_layer: Path
) -> None:
    before = _host()
    start(wardian, "server", SERVER, "--network", lab, "-p", "7")
    chance = random.Random(5)  # noqa: S311 - moments, not secrets
    for circle in range(4):  # in the middle of a start, whichever moment of it that is
        with ExitStack() as stack:
            client = stack.enter_context(Client.connect(state))
            client.list()
            keeper = keeper_pid(state)
            assert keeper is not None
            pidfd = stack.enter_context(pidfd_of(keeper))
            stack.enter_context(suppress(WardianError, OSError))
            stack.enter_context(after(chance, partial(kill, pidfd), 0.2))
            for number in range(100):
                join(client, f"one{circle}-{number}", lab, busybox_layer)
            raise AssertionError("a hundred have started, and nobody was killed")
    with Client.connect(state) as client:
        running = [info.host_pid for info in client.list() if info.host_pid]
        assert len(running) > 4
        for host_pid in (keeper_pid(state), *running):  # and once more with all that it keeps
            assert host_pid is not None
            os.kill(host_pid, signal.SIGKILL)
    assert "network lab" in out(wardian("system", "prune", "--force")).splitlines()
    assert out(wardian("ps", "-aq")) == ""
    wait_until(lambda: _host() == before)
    out(wardian(*NEW_LAB))
    start(wardian, "next", SLEEPER, "--network", lab)
    assert settings(wardian, "next")["lab"]["IPAddress"] == "10.213.7.2"  # no lease is left
    out(wardian("rm", "-f", "next"))
    wait_until(lambda: processes(state) == [])


def _senders(bridge: str) -> list[str]:
    """The addresses that ports of a bridge may send from."""
    with Netlink.open(netlink.NETFILTER) as kernel:
        found = ruleset.elements(kernel, ruleset.BRIDGE, f"wardian_{bridge}", "ips")
        return sorted(found)
