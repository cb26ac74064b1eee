"""Other people's rules that stop forwarding, as their programs make them, in a new namespace."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from wardian.linux import namespaces, netlink
from wardian.linux.netlink import Netlink
from wardian.network.definition import Network, Subnet
from wardian.network.policy import Policies
from wardian.network.rules import Rules

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="rules need root; run as root")

BRIDGE = "wardian-lab"
LAB = Network(
    id="0" * 12,
    name="lab",
    bridge=BRIDGE,
    subnets=(
        Subnet(block="10.213.9.0/24", gateway="10.213.9.1"),
        Subnet(block="fd00:213:9::/64", gateway="fd00:213:9::1"),
    ),
)
DOCKER = """
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER-FORWARD -i docker0 -j ACCEPT
COMMIT
"""
UFW = """
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:ufw-before-forward - [0:0]
:ufw-user-forward - [0:0]
:ufw-reject-forward - [0:0]
-A FORWARD -j ufw-before-forward
-A FORWARD -j ufw-reject-forward
-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-forward -j ufw-user-forward
COMMIT
"""
FIREWALLD = """
table inet firewalld {
  chain filter_FORWARD {
    type filter hook forward priority filter + 10; policy accept;
    ct state established,related accept
    iifname "lo" accept
    jump filter_FORWARD_POLICIES
    ct state invalid drop
    reject with icmpx admin-prohibited
  }
  chain filter_FORWARD_POLICIES { }
}
"""
LET_IN = (
    "iptables -I {chain} -i wardian-lab -j ACCEPT; iptables -I {chain} -o wardian-lab -j ACCEPT"
)
# Who: the rules, by which program; what is named; what lifts it; the same by other means.
CASES = {
    "docker": (
        *(DOCKER, "iptables-nft-restore", "chain FORWARD of table ip filter (docker's)"),
        *(LET_IN.format(chain="DOCKER-USER"), ""),
    ),
    "docker with IPv6": (
        *(DOCKER, "ip6tables-nft-restore", "chain FORWARD of table ip6 filter (docker's)"),
        *(LET_IN.format(chain="DOCKER-USER").replace("iptables", "ip6tables"), ""),
    ),
    "ufw": (
        *(UFW, "iptables-nft-restore", "chain FORWARD of table ip filter (ufw's)"),
        "ufw route allow in on wardian-lab; ufw route allow out on wardian-lab",
        "iptables -A ufw-user-forward -i wardian-lab -j ACCEPT",
    ),
    "firewalld": (
        *(FIREWALLD, "nft -f -", "chain filter_FORWARD of table inet firewalld (firewalld's)"),
        "firewall-cmd --zone=trusted --add-interface=wardian-lab",
        "nft add rule inet firewalld filter_FORWARD_POLICIES iifname wardian-lab accept",
    ),
    "iptables": (
        *(":FORWARD DROP [0:0]", "iptables-nft-restore", "chain FORWARD of table ip filter"),
        *(LET_IN.format(chain="FORWARD"), ""),
    ),
    "iptables-legacy": (
        *(":FORWARD DROP [0:0]", "iptables-legacy-restore", "the chain FORWARD of iptables-legacy"),
        *(LET_IN.format(chain="FORWARD").replace("iptables", "iptables-legacy"), ""),
    ),
    "nobody": (DOCKER.replace("DROP", "ACCEPT"), "iptables-nft-restore", "", "", ""),
}


@pytest.fixture
def kernel() -> Iterator[Netlink]:
    """A socket in a network namespace where nothing is, and where this thread is meanwhile."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    namespaces.unshare(namespaces.CLONE_NEWNET)
    try:
        with Netlink.open(netlink.NETFILTER) as opened:
            yield opened
    finally:
        namespaces.setns(own, namespaces.CLONE_NEWNET)
        os.close(own)


def run(command: str, stdin: str = "") -> str:
    return subprocess.run(
        ["sh", "-ec", command], input=stdin, text=True, check=True, capture_output=True
    ).stdout


@pytest.mark.parametrize("who", CASES)
def test_who_stops_forwarding_is_named_with_what_lifts_it(kernel: Netlink, who: str) -> None:
    rules, program, named, lift, like_it = CASES[who]
    if not shutil.which(program.split()[0]):
        pytest.skip(f"no {program.split()[0]}; apt-get install iptables nftables")
    if "COMMIT" not in rules and "table" not in rules:
        rules = f"*filter\n{rules}\nCOMMIT\n"
    run(program, rules)
    before = run("nft --stateless list ruleset")
    ours = Rules(kernel)
    ours.add_network(LAB)
    policies = Policies(kernel)
    told = policies.obstacle(LAB)
    if not named:
        assert told == ""
    else:
        assert told == f"{named} drops what the network forwards (as root: {lift})"
        run(like_it or lift)
        assert policies.obstacle(LAB) == "", "what was said to lift it does"
        ours.add_network(LAB)
        assert policies.obstacle(LAB) == ""
        run((like_it or lift).replace("-I ", "-D ").replace("-A ", "-D ").replace("nft add", ":"))
        if "nft add" not in like_it:
            assert policies.obstacle(LAB) == told, "whatever else has changed meanwhile"
    ours.remove_network(BRIDGE)
    if "nft add" not in like_it:
        assert run("nft --stateless list ruleset") == before, "other people's rules are theirs"
    else:
        assert "wardian" not in run("nft list tables")
