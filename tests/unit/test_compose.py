"""Compose files as they are understood, and what is said of those that cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wardian.compose import config, document, environment, model, ordering, reading
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
    found = model.load(paths, folder, VARIABLES)
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
    assert service.flags["publish"] == (
        *("22:22/tcp", "8000:80/udp", "8001:81/udp", "90/tcp", "[::1]:8080:7/tcp"),
    )
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
    assert flags["publish"] == ("1/tcp", "2/tcp")
    assert flags["command"] == ("z",)
    assert flags["env"] == ("A=1", "B=2")


def test_what_came_before_is_taken_back_or_replaced_where_a_file_says_so(tmp_path: Path) -> None:
    below = """
services:
  web:
    image: a
    ports: [1]
    environment: {A: 1, B: 1}
    depends_on: [db]
    command: x
    volumes: [./a:/a]
  db: {image: b, ports: [2]}
  gone: {image: c}
"""
    above = """
services:
  web:
    ports: !override [3]
    environment: {A: !reset null}
    depends_on: !reset []
    command: !reset
  gone: !reset null
  more: {extends: {service: db, file: 0.yaml}, ports: !reset [4], environment: !override [C=1]}
"""
    services = load(tmp_path, below, above).services
    assert list(services) == ["web", "db", "more"]
    web = services["web"]
    assert web.flags["publish"] == ("3/tcp",)
    assert web.flags["env"] == ("B=1",)
    assert (web.depends_on, web.flags["command"]) == ((), ())
    assert "src=" + str(tmp_path / "a") in web.flags["mount"][0]
    assert (services["more"].flags["publish"], services["more"].flags["env"]) == ((), ("C=1",))
    with pytest.raises(InvalidInput, match=r"0.yaml:1: .*tags are not understood: !reset"):
        load(tmp_path, "services: {web: {image: a, ports: [!reset 1]}}")


def test_a_build_has_secrets_contexts_tags_and_a_file_of_its_own(tmp_path: Path) -> None:
    text = """
services:
  web:
    build:
      context: https://git.example.org/web.git#main
      additional_contexts: [lib=./lib, base=docker-image://debian]
      secrets: [key, {source: word, target: id}]
      ssh: [default, other=/run/agent]
      tags: [web:new]
      network: none
      no_cache: true
      dockerfile_inline: |
        FROM base
secrets: {key: {file: ./key}, word: {environment: SET}}
"""
    service = load(tmp_path, text).services["web"]
    build = service.build
    assert build is not None
    assert build.context == "https://git.example.org/web.git#main"
    assert build.contexts == {"lib": f"{tmp_path}/lib", "base": "docker-image://debian"}
    assert build.secrets["key"].path == f"{tmp_path}/key"
    assert build.secrets["id"].content == b"green"
    assert "green" not in service.described, "a label tells nobody's secret"
    assert (build.ssh, build.tags) == (("default", "other=/run/agent"), ("web:new",))
    assert (build.network, build.no_cache, build.inline) == ("none", True, "FROM base\n")


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
            "0.yaml:4: services.a.secrets.0: there is none called 'x' below secrets:",
        ),
        ("models: {}\nservices: {a: {image: b}}", "0.yaml:1: models: this key is not supported"),
        (
            "services: {a: {image: b, deploy: {replicas: 2}, container_name: c}}",
            "services.a.container_name: 2 containers cannot have one name",
        ),
        ("services: {a: {image: b, deploy: {replicas: 2}, scale: 3}}", "a.scale: deploy.replicas"),
        ("services: {a: {image: b, deploy: {mode: global}}}", "deploy.mode: there is no swarm"),
        (
            "secrets: {s: {external: true}}\nservices: {a: {image: b}}",
            "secrets.s.external: there is no swarm",
        ),
        ("secrets: {s: {}}\nservices: {a: {image: b}}", "secrets.s: it needs one source: file,"),
        (
            "secrets: {s: {environment: NONE}}\nservices: {a: {image: b}}",
            "secrets.s.environment: the variable NONE is not set",
        ),
        (
            "services: {a: {image: b, secrets: [{source: s, mode: 0400}]}}\n"  # noqa: ISC004
            "secrets: {s: {file: f}}",
            "services.a.secrets.0: the owner and the mode of a file are those that it has",
        ),
        (
            "services: {a: {image: b, network_mode: 'service:c'}}",
            "services.a.depends_on: there is no service c",
        ),
        ("services: {a: {image: b, network_mode: bridge}}", "network_mode: not supported: bridge"),
        ("services: {a: {extends: c}}", "services.a.extends: there is no service 'c' there"),
        ("services: {a: {extends: b}, b: {extends: a}}", "extend each other in a circle"),
        ("include: [0.yaml]\nservices: {a: {image: b}}", "name each other in a circle"),
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
        ("services: {a: {build: {secrets: [x]}}}", "build.secrets.0: there is none called 'x'"),
        ("services: {a: {build: {network: lab}}}", "build.network: it is none for a build: 'lab'"),
        (
            "services: {a: {build: {additional_contexts: {b: 'service:b'}}}}",
            "additional_contexts.b: another service's image is no context here",
        ),
        (
            "services: {a: {build: {dockerfile: x, dockerfile_inline: FROM b}}}",
            "build: dockerfile and dockerfile_inline exclude each other",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        load(tmp_path, text)
    assert said in str(caught.value)
    assert "\n" not in caught.value.what


OTHER = """
services:
  usual:
    image: base
    build: ./here
    environment: {A: 1, B: "$SET"}
    env_file: vars
    volumes: [./site:/srv, data:/data]
    secrets: [key]
    depends_on: [db]
"""


def test_services_extend_others_of_this_file_and_of_another(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/usual.yaml").write_text(OTHER)
    (tmp_path / "shared/vars").write_text("C=3\n")
    text = """
services:
  web:
    extends: {service: middle}
    environment: [B=2]
    volumes: ["./mine:/srv:ro"]
  middle: {extends: {file: shared/usual.yaml, service: usual}, command: go, scale: 3}
  db: {image: b}
volumes: {data: }
secrets: {key: {file: ./key}}
"""
    project = load(tmp_path, text)
    web = project.services["web"]
    assert web.build is not None
    assert web.build.context == f"{tmp_path}/shared/here"
    assert web.flags["env"] == ("C=3", "A=1", "B=2")
    assert web.flags["command"] == ("go",)
    assert web.scale == 3
    assert web.flags["mount"] == (
        f"type=bind,src={tmp_path}/mine,dst=/srv,readonly=true",
        "type=volume,src=app_data,dst=/data",
    )
    assert project.services["middle"].flags["mount"][0] == (
        f"type=bind,src={tmp_path}/shared/site,dst=/srv"
    )
    (grant,) = web.grants
    assert (grant.target, grant.entry.path) == ("/run/secrets/key", f"{tmp_path}/key")
    assert [one.service for one in web.depends_on] == ["db"]
    (tmp_path / "shared/usual.yaml").write_text(OTHER.replace("secrets", "privileged"))
    with pytest.raises(InvalidInput, match=r"usual.yaml:9: services.web.privileged: this key"):
        load(tmp_path, text)


def test_what_is_included_begins_where_its_file_is_and_is_named_once(tmp_path: Path) -> None:
    (tmp_path / "db/more").mkdir(parents=True)
    (tmp_path / "db/.env").write_text("KIND=fern\nSET=red\n")
    (tmp_path / "db/compose.yaml").write_text(
        "include: [more/x.yaml]\n"
        "services: {db: {image: '$KIND:$SET', volumes: [./data:/data]}}\nvolumes: {v: }"
    )
    (tmp_path / "db/more/x.yaml").write_text("services: {deep: {image: d, build: .}}")
    text = "include: [db/compose.yaml]\nservices: {web: {image: w, depends_on: [db]}}"
    project = load(tmp_path, text, "services: {db: {command: changed}}")
    db = project.services["db"]
    assert db.image == "fern:green", "what the environment says is above an included .env"
    assert db.flags["mount"] == (f"type=bind,src={tmp_path}/db/data,dst=/data",)
    assert db.flags["command"] == ("changed",)
    assert project.services["deep"].build is not None
    assert project.services["deep"].build.context == f"{tmp_path}/db/more"
    assert list(project.volumes) == ["v"]
    with pytest.raises(InvalidInput, match=r"services.db: it is in an included file, too, at .*:2"):
        load(tmp_path, text.replace("web:", "db:"))


def test_secrets_and_configs_are_where_docker_has_them(tmp_path: Path) -> None:
    text = """
services:
  a:
    image: b
    secrets: [key, {source: word, target: other, uid: 7, gid: "8", mode: "0400"}]
    configs: [rules, {source: rules, target: /etc/rules}]
secrets: {key: {file: ./key}, word: {environment: SET}}
configs: {rules: {content: "a $SET $$"}}
"""
    service = load(tmp_path, text).services["a"]
    found = [(one.target, one.owner, one.mode, one.entry.content) for one in service.grants]
    assert found == [
        ("/run/secrets/key", (0, 0), 0o444, b""),
        ("/run/secrets/other", (7, 8), 0o400, b"green"),
        ("/rules", (0, 0), 0o444, b"a green $"),
        ("/etc/rules", (0, 0), 0o444, b"a green $"),
    ]
    assert "green" not in service.described, "a label tells nobody's secret, but that it changed"
    other = load(tmp_path, text.replace("environment: SET", "environment: PORT"))
    assert other.services["a"].described != service.described


def test_files_of_variables_come_in_docker_s_forms(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("A='$SET'\nB=$SET\n")
    (tmp_path / "raw").write_text("C='$SET' # all of it\n")
    text = """
services:
  a:
    image: b
    env_file: [plain, {path: raw, format: raw}, {path: none, required: false}]
    environment: {B: , D: }
"""
    flags = load(tmp_path, text).services["a"].flags
    assert flags["env"] == ("A=$SET", "C='$SET' # all of it"), "B has no value in the environment"
    with pytest.raises(InvalidInput, match="cannot read the environment file"):
        load(tmp_path, "services: {a: {image: b, env_file: none}}")


def test_what_config_prints_is_the_same_project_once_more(tmp_path: Path) -> None:
    text = """
services:
  web:
    image: "x:$SET"
    command: echo "$$HOME"
    ports: ["8000-8001:80-81", 7]
    volumes: [./site:/srv:ro, data:/data]
    environment: [SET, NONE]
    healthcheck: {test: exit 0}
    secrets: [key]
  shown: {image: y, network_mode: "service:web", profiles: [more]}
volumes: {data: {labels: [a=b]}}
secrets: {key: {file: ./key}}
"""
    (tmp_path / "a.yaml").write_text(text)
    paths = [tmp_path / "a.yaml"]

    def printed(path: Path) -> tuple[Project, str]:
        found = model.load([path], tmp_path, VARIABLES)
        project = reading.project(
            found, name="app", directory=tmp_path, files=paths, variables=VARIABLES
        )
        return project, json.dumps(config.doubled(config.resolved(project, found, {"web"})))

    project, once = printed(paths[0])
    (tmp_path / "b.yaml").write_text(once)
    again, twice = printed(tmp_path / "b.yaml")
    assert json.loads(once)["networks"] == {"default": {"name": "app_default"}}
    assert json.loads(once)["volumes"] == {"data": {"name": "app_data", "labels": ["a=b"]}}
    assert list(again.services) == ["web"]
    assert again.services["web"] == project.services["web"]
    assert json.loads(twice) == json.loads(once)


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
