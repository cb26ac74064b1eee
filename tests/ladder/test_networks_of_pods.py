"""Networks where root lacks what bridges on a host need: beside it, as a user has them."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from tests.ladder.nest import Nest
from tests.ladder.test_ladder import (
    BORROWED,
    IMAGE,
    MAKING,
    POD,
    UNMASK,
    assert_nothing_is_left,
)

Nested = Callable[..., Nest]
LINES = "wardian: not in force: "
SERVE = ("sh", "-c", "mkdir /srv; echo fern > /srv/leaf; exec httpd -f -p 80 -h /srv")
ASK = "printf 'GET /leaf HTTP/1.0\\r\\n\\r\\n' | busybox nc {} | tail -n 1"


def heard(nest: Nest, *words: str) -> tuple[str, list[str]]:
    """What a command that must succeed printed, and its warnings."""
    done = nest.wardian(*words)
    assert done.returncode == 0, done
    said = [line for line in done.stderr.splitlines() if not line.startswith(MAKING)]
    return done.stdout, said


def test_root_of_a_pod_has_networks_beside_it_and_is_told_what_they_lack(nested: Nested) -> None:
    pod = replace(nested(seccomp="unconfined"), env=POD)
    heard(pod, "network", "create", "lab")
    lab = ("--network", "lab")
    _, said = heard(pod, "run", "-d", "--name", "web", *lab, "-p", "8080:80", IMAGE, *SERVE)
    no_way = "no way out of a user's networks: /dev/net/tun is not there (see wardian doctor)"
    assert said == [f"{LINES}{no_way}", *BORROWED]
    keeper = pod.run("/bin/sh", "-c", "kill -9 $(pgrep -x wardian-keeper)")
    assert keeper.returncode == 0, keeper
    asker = ("run", "--rm", *lab, IMAGE, "sh", "-c", ASK.format("web 80"))
    assert heard(pod, *asker)[0] == "fern\n"
    published = pod.run("/bin/sh", "-c", ASK.format("127.0.0.1 8080"))
    assert published.stdout == "fern\n", published
    assert "dnat ip to" in heard(pod, "network", "rules", "lab")[0]
    heard(pod, "network", "disconnect", "lab", "web")  # by a namespace that init has shown
    heard(pod, "rm", "-f", "web")
    assert_nothing_is_left(pod)


def test_a_bridge_without_the_right_to_port_53_says_so(nested: Nested) -> None:
    host = nested(
        UNMASK,
        "echo 1024 > /proc/sys/net/ipv4/ip_unprivileged_port_start",
        cap_add=("NET_ADMIN", "SYS_ADMIN"),
        cap_drop=("NET_BIND_SERVICE",),
        seccomp="unconfined",
    )
    _, said = heard(host, "run", "--rm", "--network", "bridge", IMAGE, "true")
    nameless = "port 53 of the bridge needs CAP_NET_BIND_SERVICE: containers are not found by name"
    assert said == [LINES + nameless]
