"""An ordinary user's networks: containers talk, are reached, and reach the world but not the host.

The user lives in a street of its own, a network namespace. There is a server in it, and another
beyond it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
import dns
import elftools
import pyroute2
import pytest
import yaml

from tests.linux import gardener as gardeners
from tests.linux.conftest import wait_until
from tests.linux.gardener import Gardener, needs_root

pytestmark = needs_root

PACKAGES = (pyroute2, dns, click, yaml, elftools)
OUTLETS = {"pasta": "passt", "slirp4netns": "slirp4netns"}
PROGRAMS = ("sh", "mount", "mknod", "setpriv", "unshare", "newuidmap", "newgidmap")
WORDS = r"""
from wardian.network.definition import Attachment, NetworkRequest, Port
from wardian.runtime import messages as m
from urllib.request import urlopen

def create(name, **options):
    call = m.CreateNetworkCall(NetworkRequest(name=name, **options))
    client.call("create_network", call, m.NetworkInfo)

def run(name, *networks, ports=()):
    attachments = tuple(Attachment(network=one) for one in networks)
    box = client.run(replace(spec, name=name, hostname=name, attachments=attachments, ports=ports))
    shell(box, f"mkdir -p /srv; echo {name} > /srv/index.html; httpd -p 80 -h /srv")
    return box

def get(box, place):
    # Debian's static wget does not survive its own resolver.
    place = place if " " in place else f"{place} 80"
    asked = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 2 nc {place} | tail -n 1"
    return shell(box, f"exec 2>/dev/null; {asked}")[0]
"""


@contextmanager
def _namespace(name: str) -> Iterator[str]:
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        _ip(name, "link", "set", "lo", "up")
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def _ip(name: str, *words: str) -> None:
    subprocess.run(["ip", "-netns", name, *words], check=True)


@contextmanager
def _server(place: str, address: str, folder: Path) -> Iterator[None]:
    """A web server of the host's, at that address of the namespace."""
    (folder / "index.html").write_text(f"{place}\n")
    command = [sys.executable, "-m", "http.server", "-b", address, "-d", str(folder), "80"]
    inside = ["ip", "netns", "exec", place]
    with subprocess.Popen(
        [*inside, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            probe = f"import socket; socket.create_connection(({address!r}, 80), 1)"
            asking = [*inside, sys.executable, "-c", probe]
            wait_until(
                lambda: (
                    subprocess.run(asking, stderr=subprocess.DEVNULL, check=False).returncode == 0
                )
            )
            yield
        finally:
            server.terminate()


@pytest.fixture
def street(tmp_path: Path) -> Iterator[str]:
    """Where the user lives: at 198.51.100.1, with a server there and one beyond, at .2."""
    here, beyond = f"street-{os.getpid()}", f"beyond-{os.getpid()}"
    with ExitStack() as stack:
        for name in (here, beyond):
            stack.enter_context(_namespace(name))
        _ip(here, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", beyond)
        for name, address in ((here, "198.51.100.1"), (beyond, "198.51.100.2")):
            _ip(name, "addr", "add", f"{address}/24", "dev", "eth0")
            _ip(name, "link", "set", "eth0", "up")
            (tmp_path / name).mkdir()
            stack.enter_context(_server(name, address, tmp_path / name))
        _ip(here, "route", "add", "default", "via", "198.51.100.2")
        yield here


@pytest.fixture
def gardener(interpreter: str, busybox_layer: Path, street: str) -> Iterator[Gardener]:
    with gardeners.employed(interpreter, busybox_layer, PACKAGES, subordinate=False) as user:
        user.place = ("nsenter", f"--net=/run/netns/{street}")
        yield user
        assert (user.state / "switch.log").read_text() == ""


def tend(user: Gardener, program: str) -> Any:
    """Run a program as that user, with words for networks."""
    return user.run(WORDS + textwrap.dedent(program))


def only(user: Gardener, *programs: str) -> None:
    """Let the user find no other program that leads out."""
    folder = user.home / "bin"
    folder.mkdir()
    for name in (*PROGRAMS, *programs):
        if path := shutil.which(name):
            (folder / name).symlink_to(path)
    user.path = str(folder)


TALK = r"""
import io, tarfile
from wardian.build.builder import Builder, Options
from wardian.build.context import opened
from wardian.build.remote import Remotes, notes_of
from wardian.images.archive import import_rootfs
from wardian.images.store import ImageStore

def build(script):
    store, packed = ImageStore(client.root), io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(os.environ["LAYER"], ".")
    packed.seek(0)
    import_rootfs(store, packed, "localhost/busybox")
    context = client.root / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(f"FROM localhost/busybox\nRUN {script}\n")
    said = []
    with store.ingest() as ingest:
        remotes = Remotes(ingest.work, notes_of(store))
        found = opened(ingest, str(context), None, io.BytesIO(), remotes)
        Builder(store, ingest, found, Options(tags=("made",)), said.append).build()
    return "".join(event.text for event in said if event.kind == "output")

def asks(place):
    return f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 2 nc {place} 80 2>&1 | tail -n 1;"

create("lab")
create("other", subnets=("203.0.113.0/24",))
everywhere = Port(container_port=80, host_port=8080)
at_the_other_s = Port(container_port=80, host_ip="203.0.113.1", host_port=8081)
web = run("web", "lab", ports=(everywhere, at_the_other_s))
asker = run("asker", "lab")
stranger = run("stranger", "other")
place = web.info.endpoints[0].ip
show({
    "name": get(asker, "web"),
    "stranger": get(stranger, place),
    "at a bridge": get(stranger, "203.0.113.1 8081"),
    "host": get(asker, "198.51.100.1"),
    "gateway": get(asker, web.info.endpoints[0].gateway),
    "world": get(asker, "198.51.100.2"),
    "published": [urlopen(f"http://{host}:8080/", timeout=60).read().decode()
                  for host in ("127.0.0.1", "198.51.100.1")],
    "warnings": [*asker.info.warnings],
    "built": build(asks("198.51.100.2") + asks("198.51.100.1")),
})
"""


@pytest.mark.parametrize("outlet", [*OUTLETS, ""])
def test_a_user_s_containers_talk_and_reach_the_world_but_not_the_host(
    gardener: Gardener, street: str, outlet: str
) -> None:
    if outlet and not shutil.which(outlet):
        pytest.skip(f"no {outlet}; apt-get install {OUTLETS[outlet]}")
    only(gardener, *filter(None, (outlet,)))
    said = tend(gardener, TALK)
    assert said["name"] == said["at a bridge"] == "web", said
    assert said["published"] == ["web\n", "web\n"]
    for forbidden in ("stranger", "host", "gateway"):
        assert "web" not in said[forbidden]
        assert street not in said[forbidden]
    assert street not in said["built"]
    if outlet:
        assert said["world"] == street.replace("street", "beyond")
        assert said["warnings"] == []
        assert said["world"] in said["built"].splitlines()
    else:
        assert "beyond" not in said["world"] + said["built"]
        (warning,) = said["warnings"]
        assert "no way out" in warning
        assert "neither pasta nor slirp4netns is installed" in warning


def test_a_user_s_networks_go_on_after_keeper_switch_and_holder_were_killed(
    gardener: Gardener,
) -> None:
    said = tend(
        gardener,
        """
        import signal, time
        def pids(name):
            return [int(one) for one in os.listdir("/proc") if name in cmdline(one)]
        def cmdline(pid):
            try:
                return open(f"/proc/{pid}/cmdline").read().replace("\\0", " ")
            except OSError:
                return ""
        def comm(pid):
            return open(f"/proc/{pid}/comm").read().strip().removeprefix("wardian-")
        def kill(kind):
            (pid,) = [pid for pid in pids(f"wardian-{kind} {client.root}") if comm(pid) == kind]
            os.kill(pid, signal.SIGKILL)
            while cmdline(pid):
                time.sleep(0.01)
        def heard():
            return any(get(asker, "web") == "web" for _ in range(10))
        create("lab")
        web, asker = run("web", "lab"), run("asker", "lab")
        found = [heard()]
        for victim in ("switch", "holder", "keeper"):
            kill(victim)
            client.list()  # which finds another keeper
            found.append(heard())
        client.call("disconnect", m.DisconnectCall("asker", "lab"), type(None))
        found.append(heard())
        show(found)
        """,
    )
    assert said == [True, True, True, True, False]
    log = gardener.state / "switch.log"
    lines = ["the network namespace is gone", "ended while connected: asker, web; their links stay"]
    assert log.read_text().splitlines() == lines
    log.write_text("")


def test_a_user_sees_its_networks_and_that_they_are_not_the_host_s(gardener: Gardener) -> None:
    said = tend(
        gardener,
        """
        import select
        from wardian.observe.surroundings import RelayedSampler, Surroundings, observe
        sleep = ProcessSpec(argv=("sleep", "1000"))
        lone = client.run(replace(spec, name="lone", hostname="lone", process=sleep))
        alone = observe(Surroundings.of(lone))
        create("lab")
        web = run("web", "lab", ports=(Port(container_port=80, host_port=8093),))
        frame = observe(Surroundings.of(web))
        sampler = RelayedSampler(Surroundings.of(web))
        sampler.open()
        sampler.wait()
        web.stop(timeout_s=0)
        try:
            while True:
                select.select(sampler.sources(), [], [], 10)
                sampler.sample()
        except Exception as error:
            why = str(error)
        sampler.close()
        show({
            "alone": [[link.namespace, link.name] for link in alone.links],
            "is_on_host": frame.is_on_host,
            "unreadable": frame.unreadable,
            "pair": [link.peer for link in frame.links if link.name == "eth0"],
            "bridges": [link.kind for link in frame.links].count("bridge"),
            "ports": [one.host_port for space in frame.namespaces for one in space.ports],
            "rules": any(rule.action == "dnat" for one in frame.networks for rule in one.rules),
            "why": why,
        })
        """,
    )
    assert said["alone"] == [["lone", "lo"]]
    assert said["is_on_host"] is False
    assert said["unreadable"] == []
    assert said["pair"] == ["host/veth-web"]
    assert said["bridges"] == 1
    assert said["ports"] == [8093]
    assert said["rules"]
    assert "'web' is not running" in said["why"]


APP = """
services:
  web:
    image: wardian/busybox
    command: sh -c 'cp /run/secrets/plant /etc/rules /srv && exec httpd -f -p 80 -h /srv'
    tmpfs: /srv
    ports: ["8095:80"]
    stop_grace_period: 0s
    secrets: [plant]
    configs: [{source: rules, target: /etc/rules}]
  asker: {image: wardian/busybox, command: sleep 1000, stop_grace_period: 0s, depends_on: [web]}
networks: {default: {enable_ipv6: true}}
secrets: {plant: {environment: PLANT}}
configs: {rules: {file: rules}}
"""
BROUGHT_UP = """
import subprocess, tempfile
folder = tempfile.TemporaryDirectory(prefix="garden-")
app = Path(folder.name)
(app / "compose.yaml").write_text(APP)
(app / "rules").write_text("be green")

def compose(*words):
    command = [sys.executable, "-m", "wardian.cli", "compose", "-p", "garden"]
    environment = {**os.environ, "PLANT": "fern"}
    options = {"cwd": app, "env": environment, "text": True, "capture_output": True}
    return subprocess.run([*command, *words], **options)

def ask(place, path="", patience_s=10):
    asked = f"printf 'GET /{path} HTTP/1.0\\r\\n\\r\\n' | timeout {patience_s} nc {place} 80"
    asked += " | tail -n 1"
    return compose("exec", "-T", "asker", "sh", "-c", asked).stdout.strip()

up = compose("up", "-d")
if up.returncode:
    sys.exit(up.stderr)
web = client.container("garden-web-1").info.endpoints[0]
show({
    "up": up.stderr,
    "name": ask("web", "rules"),
    "ip6": ask(web.ip6, "plant"),
    "world": ask("2001:db8:57::2"),
    "host": ask("2001:db8:57::1", patience_s=1),
    "published": [urlopen(f"http://{host}:8095/plant", timeout=5).read().decode()
                  for host in ("127.0.0.1", "[::1]", "[2001:db8:57::1]")],
    "down": [compose("down").returncode, len(client.list())],
    "left": os.listdir(client.root / "compose"),
})
folder.cleanup()
"""


@pytest.mark.parametrize("outlet", ["pasta", ""])
def test_a_user_s_compose_services_talk_over_both_versions_and_say_what_they_lack(
    gardener: Gardener, street: str, outlet: str, tmp_path: Path
) -> None:
    beyond = street.replace("street", "beyond")
    for name, address in ((street, "2001:db8:57::1"), (beyond, "2001:db8:57::2")):
        _ip(name, "addr", "add", f"{address}/64", "dev", "eth0", "nodad")
    _ip(street, "route", "add", "default", "via", "2001:db8:57::2")
    if outlet and not shutil.which(outlet):
        pytest.skip(f"no {outlet}; apt-get install {OUTLETS[outlet]}")
    only(gardener, "busybox", *filter(None, (outlet,)))
    with ExitStack() as stack:
        for name, address in ((street, "2001:db8:57::1"), (beyond, "2001:db8:57::2")):
            stack.enter_context(_server(name, address, tmp_path / name))
        said = tend(gardener, f"APP = {APP!r}\n" + BROUGHT_UP)
    assert said["name"] == "be green", said
    assert said["ip6"] == "fern"
    assert said["published"] == ["fern", "fern", "fern"]
    assert street not in said["host"]
    if outlet:
        assert said["world"] == beyond
        assert "not in force" not in said["up"]
    else:
        assert beyond not in said["world"]
        assert (
            "garden-asker-1: not in force: no way out of a user's networks: neither pasta"
            in said["up"]
        )
    assert said["down"] == [0, 0]
    assert said["left"] == []
