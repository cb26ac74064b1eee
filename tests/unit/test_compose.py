"""Compose files as they are understood, and what is said of those that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from wardian.compose import document, environment, ordering, reading
from wardian.compose.interpolation import interpolated
from wardian.compose.project import Project
from wardian.errors import InvalidInput, NotFound

VARIABLES = {"SET": "green", "EMPTY": "", "PORT": "8080"}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("$SET ${SET}", "green green"),
        ("a$$b $${SET}", "a$b ${SET}"),
        ("${EMPTY:-x} ${EMPTY-x} ${NONE:-x} ${NONE-x}", "x  x x"),
        ("${SET:+x} ${EMPTY:+x} ${EMPTY+x} ${NONE+x}", "x  x "),
        ("${NONE:-${EMPTY:-${SET}}}", "green"),
        ("${NONE:-a}b", "ab"),
        ("${SET:?no} ${EMPTY?no}", "green "),
        ("$NONE", ""),
        ("no dollar", "no dollar"),
    ],
)
def test_variables_are_filled_in(text: str, filled: str) -> None:
    assert interpolated(text, VARIABLES) == filled


@pytest.mark.parametrize("text", ["${SET", "$", "$1", "${}", "${SET!x}", "${NONE:-${SET}"])
def test_what_is_no_variable_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="not a variable"):
        interpolated(text, VARIABLES)


def test_variable_that_must_be_set_says_why() -> None:
    with pytest.raises(InvalidInput, match="the variable NONE is not set: give it"):
        interpolated("${NONE:?give it}", VARIABLES)
    with pytest.raises(InvalidInput, match="nested too deeply"):
        interpolated("${A:-" * 40 + "x" + "}" * 40, {})


def test_environment_files_are_read_as_docker_does(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(
        "# remark\nPLAIN=a b # remark\nexport OUT=x\nSINGLE='$SET #'\nDOUBLE=\"$SET\\n\\$SET\"\n"
        "AGAIN=${PLAIN}!\nSET\nNONE\nNOTHING=\n"
    )
    assert environment.read(path, VARIABLES) == {
        "PLAIN": "a b",
        "OUT": "x",
        "SINGLE": "$SET #",
        "DOUBLE": "green\n$SET",
        "AGAIN": "a b!",
        "SET": "green",
        "NOTHING": "",
    }
    path.write_text("fine=1\nnot fine\n")
    with pytest.raises(InvalidInput, match=r"\.env:2: not a variable"):
        environment.read(path, {})


def load(folder: Path, *texts: str) -> Project:
    paths = []
    for number, text in enumerate(texts):
        paths.append(folder / f"{number}.yaml")
        paths[-1].write_text(text)
    found = document.read(paths, VARIABLES)
    return reading.project(found, name="app", directory=folder, files=paths, variables=VARIABLES)


def test_yaml_is_read_as_docker_reads_it(tmp_path: Path) -> None:
    text = """
x-usual: &usual
  restart: no
  labels: {a: yes, b: 1.5, c: true}
services:
  web:
    <<: *usual
    image: "img:${SET}"
    ports: [22:22, 8000-8001:80-81/udp, 90, {target: 7, published: $PORT, host_ip: "::1"}]
    environment: [A=$SET, SET, NONE]
    stop_grace_period: 1m30s
    command: sh -c 'echo "$$HOME"'
    entrypoint: [a, b]
"""
    service = load(tmp_path, text).services["web"]
    assert service.image == "img:green"
    assert service.flags["restart"] == "no"
    assert service.flags["label"] == ("a=yes", "b=1.5", "c=true")
    assert service.flags["publish"] == ("22:22", "8000-8001:80-81/udp", "90", "[::1]:8080:7/tcp")
    assert service.flags["env"] == ("A=green", "SET=green")
    assert service.flags["stop_timeout"] == 90.0
    assert service.flags["entrypoint"] == "a"
    assert service.flags["command"] == ("b", "sh", "-c", 'echo "$HOME"')
    assert [one.network for one in service.attachments] == ["app_default"]


def test_files_are_put_on_one_another(tmp_path: Path) -> None:
    below = "services: {web: {image: a, ports: [1], command: [x, y], environment: {A: 1, B: 1}}}"
    above = "services: {web: {ports: [1, 2], command: [z], environment: {B: 2}}, db: {image: b}}"
    project = load(tmp_path, below, above)
    assert list(project.services) == ["web", "db"]
    flags = project.services["web"].flags
    assert flags["publish"] == ("1", "2")
    assert flags["command"] == ("z",)
    assert flags["env"] == ("A=1", "B=2")


def test_mounts_networks_volumes_and_health(tmp_path: Path) -> None:
    text = """
services:
  web:
    image: a
    volumes:
      - data:/data:ro
      - ./site:/srv
      - /anon
      - {type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 0755}}
      - {type: volume, source: theirs, target: /x, read_only: true, volume: {nocopy: true}}
    networks: {front: {aliases: [www], ipv4_address: 10.9.0.5}, back: }
    healthcheck: {test: [CMD, a, b], interval: 5s, retries: 2}
    depends_on:
      db: {condition: service_healthy}
      cache: {condition: service_started, required: false}
    deploy: {resources: {limits: {cpus: 0.5, memory: 64M, pids: 10}}}
  db: {image: b, healthcheck: {disable: true}, build: {context: ., args: [V=1, SET]}, profiles: [x]}
networks:
  front: {internal: true, ipam: {config: [{subnet: 10.9.0.0/24}]}}
  back: {external: true, name: lab}
volumes: {data: {labels: [a=b]}, theirs: {external: true}}
"""
    project = load(tmp_path, text)
    web, db = project.services["web"], project.services["db"]
    assert web.flags["mount"] == (
        "type=volume,src=app_data,dst=/data,readonly=true",
        f"type=bind,src={tmp_path}/site,dst=/srv",
        "type=volume,dst=/anon",
        "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=755",
        "type=volume,src=theirs,dst=/x,readonly=true,volume-nocopy=true",
    )
    assert web.volumes == ("data", "theirs")
    assert [(one.network, one.ip, one.aliases) for one in web.attachments] == [
        ("app_front", "10.9.0.5", ("www", "web")),
        ("lab", "", ("web",)),
    ]
    assert web.test == ("CMD", "a", "b")
    assert (web.flags["health"]["health_interval"], web.flags["health"]["health_retries"]) == (
        "5s",
        2,
    )
    assert db.flags["health"] == {"no_healthcheck": True}
    assert web.flags["limits"]["cpus"] == "0.5"
    assert db.build is not None
    assert db.build.arguments == {"V": "1", "SET": "green"}
    assert project.networks["front"].options["subnets"] == ("10.9.0.0/24",)
    assert project.volumes["theirs"].external
    assert project.volumes["data"].labels == {"a": "b"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("services: {a: {image: b, privleged: true}}", "services.a.privleged: this key is not"),
        (
            "services:\n  a:\n    image: b\n    secrets: [x]\n",
            "0.yaml:4: services.a.secrets: this key",
        ),
        ("secrets: {}\nservices: {a: {image: b}}", "0.yaml:1: secrets: this key is not supported"),
        (
            "services: {a: {image: b, deploy: {replicas: 2}}}",
            "services.a.deploy.replicas: this key",
        ),
        ("services: {a: {}}", "services.a: it has neither an image nor a build"),
        ("services: [a]", "services: it is no mapping"),
        ("services: {}", "the compose file has no services"),
        ("[1]", "the file is no mapping"),
        ("a: {b", "it is no YAML"),
        ("services: {a: {image: b, image: c}}", "services.a.image: the key is there twice"),
        ("services: {a: {image: !!python/name:os.system x}}", "tags are not understood"),
        (
            "services: {a: {image: '${NO:?not set}'}}",
            "services.a.image: the variable NO is not set",
        ),
        (
            "services: {a: {image: b, depends_on: [c]}}",
            "services.a.depends_on: there is no service c",
        ),
        (
            "services: {a: {image: b, volumes: [x:/y]}}",
            "services.a.volumes.0: there is no volume x",
        ),
        ("services: {a: {image: b, networks: [x]}}", "networks.x: there is no such network"),
        ("services: {a: {image: b, read_only: 7}}", "services.a.read_only: it is neither true nor"),
        ("services: {a: {image: b, stop_grace_period: soon}}", "not a duration: 'soon'"),
        ('services: {a: {image: b, command: "\'x"}}', "services.a.command: no closing quotation"),
        ("services: {a: {image: b, healthcheck: {test: [X]}}}", "healthcheck.test: not a test"),
        ("services: {a: {image: b}}\nvolumes: {v: {driver: nfs}}", "volumes.v.driver: there is no"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        load(tmp_path, text)
    assert said in str(caught.value)
    assert "\n" not in caught.value.what


def test_aliases_that_grow_without_end_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(InvalidInput, match="too many values"):
        load(tmp_path, "\n".join(lines))
    with pytest.raises(InvalidInput, match="too many values"):
        load(tmp_path, "a: &a [*a]")


def test_services_come_after_what_they_depend_on(tmp_path: Path) -> None:
    text = """
services:
  web: {image: x, depends_on: [api]}
  api: {image: x, depends_on: [db]}
  db: {image: x}
  test: {image: x, profiles: [test], depends_on: [web]}
"""
    project = load(tmp_path, text)

    def names(*wanted: str, profiles: tuple[str, ...] = (), alone: bool = False) -> list[str]:
        chosen = ordering.wanted(project, wanted, profiles, alone=alone)
        return [one.name for one in chosen]

    assert names() == ["db", "api", "web"]
    assert names("api") == ["db", "api"]
    assert names("web", alone=True) == ["web"]
    assert names(profiles=("test",))[-1] == "test"
    assert names("test")[-1] == "test"
    with pytest.raises(NotFound, match="no such service: nosuch"):
        names("nosuch")
    circle = load(tmp_path, text.replace("db: {image: x}", "db: {image: x, depends_on: [web]}"))
    with pytest.raises(InvalidInput, match="depend on each other in a circle"):
        ordering.wanted(circle, (), ())


def test_compose_file_is_found_from_below(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no compose file in"):
        document.find(tmp_path)
    (tmp_path / "docker-compose.yml").touch()
    (tmp_path / "compose.yaml").touch()
    (tmp_path / "compose.override.yaml").touch()
    (tmp_path / "a/b").mkdir(parents=True)
    assert document.find(tmp_path / "a/b") == [
        tmp_path / "compose.yaml",
        tmp_path / "compose.override.yaml",
    ]
