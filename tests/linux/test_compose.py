"""``wardian compose`` by the real program: applications that come up, talk, change and go."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.linux.conftest import wait_until
from tests.linux.program import PROGRAM, Done, Wardian, out, refused
from tests.linux.test_networks import base_store, host, wardian

__all__ = ["base_store", "host", "wardian"]  # fixtures, for the tests here
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="bridge networks need root; run as root"),
    pytest.mark.xdist_group("networks"),  # who looks at the host's links wants no other's there
]

APP = """
services:
  web:
    image: wardian/base
    depends_on:
      db: {condition: service_healthy}
      setup: {condition: service_completed_successfully}
    command: ["python3", "-c", "${ASK}"]
    restart: "no"
  db:
    build: ./db
    environment: [COLOUR]
    volumes: ["data:/data"]
    networks: {default: {aliases: [store]}}
    healthcheck:
      test: ["CMD", "python3", "-c", "${ASK_ITSELF}"]
      interval: 200ms
      retries: 50
    deploy: {resources: {limits: {memory: 256m, pids: 50}}}
  setup:
    image: wardian/base
    command: sh -c 'test -e /data/plant || echo fern > /data/plant'
    volumes: ["data:/data"]
  extra:
    image: wardian/base
    command: ["true"]
    profiles: [more]
volumes: {data: {}}
"""
ASK = "import urllib.request as u; print(u.urlopen('http://{}:8000/plant').read().decode(), end='')"
DOCKERFILE = """
FROM wardian/base
WORKDIR /data
CMD ["python3", "-m", "http.server"]
"""


class Compose:
    """A project in a directory of its own."""

    def __init__(self, wardian: Wardian, directory: Path) -> None:
        self.wardian, self.directory = wardian, directory
        self.wardian_root = directory.parent / "state"
        (directory / "db").mkdir(parents=True)
        (directory / "db/Dockerfile").write_text(DOCKERFILE)
        (directory / ".env").write_text(
            f'ASK="{ASK.format("store")}"\nASK_ITSELF="{ASK.format("127.0.0.1")}"\nCOLOUR=green\n'
        )
        self.write(APP)

    def write(self, text: str) -> None:
        (self.directory / "compose.yaml").write_text(textwrap.dedent(text))

    def __call__(self, *words: str, stdin: str = "") -> Done:
        return self.wardian(
            "compose", "--project-directory", str(self.directory), *words, stdin=stdin
        )

    def out(self, *words: str) -> str:
        """What it prints; it tells on stderr what it does."""
        done = self(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def app(wardian: Wardian, tmp_path: Path) -> Compose:
    return Compose(wardian, tmp_path / "garden")


def inspected(app: Compose, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(out(app.wardian("inspect", name)))
    return found[0]


def logs(app: Compose, *words: str) -> str:
    return app.out("logs", "--no-log-prefix", *words).strip()


def test_services_come_up_in_order_talk_by_name_and_go(app: Compose) -> None:
    build = "build: {context: ./db, dockerfile: Dockerfile, secrets: [seed]}"
    app.write(APP.replace("build: ./db", build) + "secrets: {seed: {environment: COLOUR}}\n")
    seen = "RUN --mount=type=secret,id=seed cp /run/secrets/seed /seed\n"
    (app.directory / "db/Dockerfile").write_text(DOCKERFILE + seen)
    done = app("up", "-d")
    assert done.returncode == 0, done.stderr
    told = done.stderr.splitlines()
    steps = [
        " Network garden_default  Created",
        " Volume garden_data  Created",
        " Container garden-db-1  Started",
        " Container garden-db-1  Healthy",
        " Container garden-web-1  Started",
    ]
    assert [line for line in told if line in steps] == steps
    wait_until(lambda: logs(app, "web") == "fern")
    assert app.out("ps", "--format", "{{.Service}} {{.State}}") == "db running\n"
    assert sorted(app.out("ps", "-a", "--services").split()) == ["db", "setup", "web"]
    labels = inspected(app, "garden-db-1")["Config"]["Labels"]
    assert labels["com.docker.compose.project"] == "garden"
    assert labels["com.docker.compose.service"] == "db"
    assert labels["com.docker.compose.container-number"] == "1"
    assert inspected(app, "garden-db-1")["HostConfig"]["Memory"] == 256 << 20
    assert app.out("exec", "db", "sh", "-c", "echo $COLOUR; cat /seed") == "green\ngreen"
    assert app("exec", "db", "false").returncode == 1
    assert app.out("logs", "web") == "web-1  | fern\n"

    app.out("down")
    assert app.out("ps", "-aq") == ""
    assert "garden" not in out(app.wardian("network", "ls", "--format", "{{.Name}}"))
    assert out(app.wardian("volume", "ls", "-q")) == "garden_data\n"
    volume = json.loads(out(app.wardian("volume", "inspect", "garden_data")))[0]
    assert volume["Labels"]["com.docker.compose.volume"] == "data"
    assert out(
        app.wardian("run", "--rm", "-v", "garden_data:/d", "wardian/base", "cat", "/d/plant")
    )
    app.out("up", "-d", "db")
    assert app.out("exec", "db", "cat", "plant") == "fern\n", "the volume has outlived `down`"
    app.out("down", "-v")
    assert out(app.wardian("volume", "ls", "-q")) == ""


def test_up_again_changes_only_what_is_described_otherwise(app: Compose) -> None:
    app.write(
        """
        services:
          a: {image: wardian/base, command: sleep 1000, volumes: [/own], network_mode: none}
          b: {image: wardian/base, command: sleep 1000, network_mode: none, init: true}
        """
    )
    app.out("up", "-d")
    before = {name: inspected(app, f"garden-{name}-1") for name in "ab"}
    app.out("exec", "a", "touch", "/own/plant")
    app.out("up", "-d")
    assert {name: inspected(app, f"garden-{name}-1")["Id"] for name in "ab"} == {
        name: info["Id"] for name, info in before.items()
    }
    text = (app.directory / "compose.yaml").read_text()
    app.write(text.replace("a: {image", "a: {environment: {NEW: x}, image"))
    assert " Container garden-a-1  Recreated\n" in app("up", "-d").stderr
    after = {name: inspected(app, f"garden-{name}-1") for name in "ab"}
    assert after["a"]["Id"] != before["a"]["Id"]
    assert after["b"]["Id"] == before["b"]["Id"]
    assert app.out("exec", "a", "sh", "-c", "ls /own; echo $NEW") == "plant\nx\n"
    app.out("stop", "a")
    assert app.out("ps", "--services") == "b\n"
    app.out("start")
    app.out("restart", "b")
    assert sorted(app.out("ps", "--services").split()) == ["a", "b"]
    app.write("services: {b: {image: wardian/base, command: sleep 1000, network_mode: none}}")
    orphan = app("up", "-d", "--remove-orphans")
    assert " Container garden-a-1  Removed\n" in orphan.stderr
    app.out("down", "-v")


def test_foreground_prints_and_is_stopped_by_ctrl_c(app: Compose, state: Path) -> None:
    script = "trap 'exit 0' TERM; echo here; while true; do sleep 0.1; done"
    app.write(
        f"""
        services:
          one: {{image: wardian/base, command: [sh, -c, "{script}"], network_mode: none}}
          other: {{image: wardian/base, command: [echo, there], network_mode: none}}
        """
    )
    process = subprocess.Popen(
        [*PROGRAM, "compose", "--project-directory", str(app.directory), "up"],
        env={**os.environ, "WARDIAN_ROOT": str(state)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = sorted(process.stdout.readline() for _ in range(2))
    assert lines == ["one-1    | here\n", "other-1  | there\n"]
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert " Container garden-one-1  Stopped\n" in told
    assert app.out("ps", "-q") == ""
    app.out("down")


def test_what_cannot_be_is_said_and_leaves_nothing(app: Compose, tmp_path: Path) -> None:
    cases = {
        "services: {a: {image: x, privileged: true}}": "a.privileged: this key is not supported",
        "services: {a: {image: wardian/base, networks: [n]}}\nnetworks: {n: {external: true}}": (
            "there is no network n, which is external to the project"
        ),
        "services: {a: {image: wardian/base, volumes: [vv:/v]}}\nvolumes: {vv: {external: true}}": (
            "there is no volume vv, which is external to the project"
        ),
        "services: {a: {image: wardian/base, volumes: [./no:/v], network_mode: none}}": (
            "no such file or directory on the host"
        ),
        "services: {a: {image: wardian/base, mem: 1}}": "a.mem: this key is not supported",
    }
    for text, said in cases.items():
        app.write(text)
        assert said in refused(app("up", "-d"), 1)
        app.out("-p", "garden", "down", "-v")
        assert app.out("-p", "garden", "ps", "-aq") == ""
        assert out(app.wardian("volume", "ls", "-q")) == ""
    app.write("services: {a: {image: wardian/base}}")
    assert refused(app("exec", "a", "true"), 1) == "no such service: a"
    assert refused(app("-p", "NO", "ps"), 1) == "not a project name: 'NO'"
    assert refused(app("-f", str(tmp_path / "no.yaml"), "config"), 1).startswith("cannot read ")
    assert app.out("config", "--services") == "a\n"
    assert app.out("-p", "other", "config").startswith("name: other\nservices:\n")


WALL = """
services:
  web:
    image: wardian/base
    command: python3 -m http.server -d /site
    scale: 2
    ports: ["127.0.0.1:8171-8172:8000", "8000/udp"]
    volumes: ["./site:/site:ro"]
    stop_grace_period: 0s
    secrets: [key, {source: word, target: word, mode: 0400}]
    configs: [{source: rules, target: /etc/rules}]
  beside:
    image: wardian/base
    command: sleep 1000
    stop_grace_period: 0s
    network_mode: service:asker
  asker: {image: wardian/base, command: sleep 1000, stop_grace_period: 0s, depends_on: [web]}
secrets: {key: {file: ./key}, word: {environment: COLOUR}}
configs: {rules: {content: "be $COLOUR\\n"}}
"""
ADDRESSES = "import socket as s; print(len({a[4][0] for a in s.getaddrinfo('web', 80)}))"


def test_replicas_secrets_and_a_shared_network_and_what_is_asked_of_them(app: Compose) -> None:
    (app.directory / "key").write_text("sesame")
    (app.directory / "key").chmod(0o400)
    (app.directory / "site").mkdir()
    (app.directory / "site/plant").write_text("fern")
    app.write(WALL)
    app.out("up", "-d")
    assert sorted(app.out("ps", "--format", "{{.Name}}").split()) == [
        *("garden-asker-1", "garden-beside-1", "garden-web-1", "garden-web-2"),
    ]
    assert app.out("exec", "-T", "beside", "python3", "-c", ADDRESSES) == "2\n"
    told = "cat /run/secrets/key /run/secrets/word /etc/rules; stat -c '%a %u' /run/secrets/word"
    assert (
        app.out("exec", "--index", "2", "web", "sh", "-c", told) == "sesamegreenbe green\n400 0\n"
    )
    assert app("exec", "web", "sh", "-c", "echo > /run/secrets/word").returncode == 2
    ports = {app.out("port", "--index", str(number), "web", "8000") for number in (1, 2)}
    assert ports == {"127.0.0.1:8171\n", "127.0.0.1:8172\n"}
    assert "garden-web-1 has not published 8001/tcp" in refused(app("port", "web", "8001"), 1)
    assert "no container 3" in refused(app("exec", "--index", "3", "web", "true"), 1)
    listed = app.out("top", "web")
    assert listed.count("http.server") == 2
    assert [line for line in listed.splitlines() if line.startswith("garden")] == [
        *("garden-web-1", "garden-web-2"),
    ]

    before = inspected(app, "garden-web-1")["Id"]
    app.out("up", "-d", "--scale", "web=1", "--no-recreate")
    assert inspected(app, "garden-web-1")["Id"] == before
    assert app.out("ps", "-aq", "web") == f"{before}\n"
    app.write(WALL.replace("be $COLOUR", "not $COLOUR").replace("8171-8172", "8171"))
    done = app("up", "-d", "--scale", "web=1", "--force-recreate", "--no-deps", "asker")
    assert " Container garden-asker-1  Recreated\n" in done.stderr
    done = app("up", "-d", "--scale", "web=1", "-t", "0")
    recreated = [line.split()[1] for line in done.stderr.splitlines() if "Recreated" in line]
    assert recreated == ["garden-web-1", "garden-beside-1"], "its lender was made anew before"
    assert app.out("exec", "web", "cat", "/etc/rules") == "not green\n"

    one_off = app(
        "run", "--rm", "-e", "A=b", "web", "sh", "-c", "cat /run/secrets/key; echo $A; exit 3"
    )
    assert (one_off.returncode, one_off.stdout) == (3, "sesameb\n"), one_off.stderr
    assert app("run", "--rm", "--no-deps", "-T", "web", "nosuch").returncode == 127
    name = app.out("run", "-d", "--entrypoint", "sleep", "web", "1000").strip()
    assert name.startswith("garden-web-run-")
    assert name not in app.out("ps", "--format", "{{.Name}}")
    assert app.out("exec", "asker", "python3", "-c", ADDRESSES) == "1\n", "nobody is led to it"
    app.out("kill", "web")
    wait_until(lambda: app.out("ps", "--services") == "asker\nbeside\n")
    assert app("rm", stdin="n\n").returncode == 0
    assert app("rm", "-f").stderr.splitlines().count(" Container garden-web-1  Removed") == 1
    assert app.out("ps", "-a", "--services").split() == ["asker", "beside"]
    app.out("down", "-t", "0")
    assert not (app.wardian_root / "compose/garden").exists()


def test_config_pull_and_what_follows_the_first_that_ends(app: Compose) -> None:
    app.write(
        """
        services:
          first: {image: wardian/base, command: [sh, -c, exit 4], network_mode: none}
          other: {image: wardian/base, command: sleep 1000, network_mode: none,
            stop_grace_period: 0s}
          third: {extends: other, profiles: [more], image: no.invalid/x, pull_policy: never}
        """
    )
    tree = json.loads(app.out("config", "--format", "json"))
    assert list(tree["services"]) == ["first", "other"]
    assert tree["services"]["other"]["command"] == ["sleep", "1000"]
    assert app.out("config", "--profiles") == "more\n"
    assert app.out("--profile", "more", "config", "--images") == (
        "wardian/base\nwardian/base\nno.invalid/x\n"
    )
    done = app("up", "--abort-on-container-exit", "first", "other")
    assert done.returncode == 4, done.stderr
    assert " Container garden-other-1  Stopped\n" in done.stderr
    assert "no.invalid/x" in refused(app("up", "-d", "third"), 1)
    assert app("pull", "--policy", "missing", "first").returncode == 0
    app.out("down")


def test_failed_condition_stops_what_waits_for_it(app: Compose) -> None:
    app.write(
        """
        services:
          web:
            {image: wardian/base, command: sleep 9, depends_on:
              {job: {condition: service_completed_successfully}}, network_mode: none}
          job: {image: wardian/base, command: sh -c 'exit 3', network_mode: none}
        """
    )
    done = app("up", "-d")
    assert done.returncode == 1
    assert 'wardian: service "job" did not complete successfully: exit 3\n' in done.stderr
    assert app.out("ps", "-q") == ""
    app.write(
        """
        services:
          web: {image: wardian/base, command: sleep 9, network_mode: none,
            depends_on: {sick: {condition: service_healthy}}}
          sick: {image: wardian/base, command: sleep 1000, network_mode: none,
            healthcheck: {test: exit 1, interval: 100ms, retries: 1}}
        """
    )
    done = app("up", "-d", "--remove-orphans")
    assert done.returncode == 1
    assert "wardian: service sick: the container is unhealthy\n" in done.stderr
    app.out("down")
