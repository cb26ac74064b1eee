"""Lists and their filters: containers, images, networks, events, figures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.linux.program import IMAGE, Wardian, out, refused

SIZE = re.compile(r"(\S+) \(virtual (\S+)\)")


def names(wardian: Wardian, *filters: str) -> set[str]:
    flags = [flag for word in filters for flag in ("--filter", word)]
    return set(out(wardian("ps", "-a", "--format", "{{.Names}}", *flags)).split())


def test_ps_shows_what_containers_take(wardian: Wardian) -> None:
    script = "head -c 3000000 /dev/zero > /big"
    out(wardian("run", "--name", "full", IMAGE, "sh", "-c", script))
    out(wardian("create", "--name", "empty", IMAGE, "true"))
    shown = out(wardian("ps", "-a", "-s", "--format", "table {{.Names}}\t{{.Size}}"))
    assert shown.splitlines()[0].split() == ["NAMES", "SIZE"]
    sizes = dict(re.findall(r"^(\w+) +(.*)$", shown, re.MULTILINE))
    full, empty = SIZE.fullmatch(sizes["full"]), SIZE.fullmatch(sizes["empty"])
    assert full is not None and empty is not None
    assert full[1] == "3MB" or full[1].startswith("3.0")
    assert empty[1] == "0B"
    assert empty[2] not in ("0B", full[2])
    assert "SIZE" in out(wardian("ps", "-s")).splitlines()[0]
    assert "SIZE" not in out(wardian("ps"))
    (whole,) = json.loads(out(wardian("inspect", "-s", "full")))
    assert whole["SizeRw"] >= 3_000_000
    assert whole["SizeRootFs"] > whole["SizeRw"]
    assert "SizeRw" not in json.loads(out(wardian("inspect", "full")))[0]


def test_ps_lists_the_latest_also_if_it_does_not_run(wardian: Wardian, web: str) -> None:
    for name in ("fern", "moss"):
        out(wardian("create", "--name", name, IMAGE, "true"))
    shown = ("--format", "{{.Names}}")
    assert out(wardian("ps", "-l", *shown)) == "moss\n"
    assert out(wardian("ps", "-n", "2", *shown)) == "moss\nfern\n"
    assert out(wardian("ps", "-n", "-1", *shown)) == f"{web}\n"


@pytest.mark.xdist_group("networks")
def test_ps_filters_as_docker_does(wardian: Wardian, tmp_path: Path) -> None:
    folder = str(tmp_path)
    out(
        wardian(
            "create", "--name", "first", "-l", "tier=front", "-v", f"{folder}:/srv", IMAGE, "true"
        )
    )
    out(wardian("run", "--name", "second", IMAGE, "touch", "/mark"))
    out(wardian("create", "--name", "third", "-p", "18080:80", IMAGE, "true"))
    assert names(wardian, "before=second") == {"first"}
    assert names(wardian, "since=second") == {"third"}
    assert names(wardian, "since=first", "before=third") == {"second"}
    assert names(wardian, "volume=/srv") == names(wardian, f"volume={folder}") == {"first"}
    assert names(wardian, "publish=18000-18100") == names(wardian, "expose=80/tcp") == {"third"}
    assert names(wardian, "network=bridge") == {"third"}
    assert names(wardian, "network=none") == {"first", "second"}
    assert names(wardian, "name=^t", "name=rst$") == {"first", "third"}
    assert names(wardian, "exited=0") == {"second"}
    assert names(wardian, "label=tier") == {"first"}
    image = out(wardian("images", "-q", IMAGE)).strip()
    assert names(wardian, f"ancestor={image}") == {"first", "second", "third"}
    out(wardian("commit", "second", "child"))
    out(wardian("create", "--name", "fourth", "child", "true"))
    assert names(wardian, "ancestor=child") == {"fourth"}
    assert names(wardian, f"ancestor={IMAGE}") == {"first", "second", "third", "fourth"}
    assert "no such container: nosuch" in refused(wardian("ps", "--filter", "before=nosuch"), 1)
    labels = out(wardian("ps", "-a", "--format", '{{.Names}}={{.Label "tier"}}'))
    assert set(labels.split()) == {"first=front", "second=", "third=", "fourth="}


def test_images_filter_as_docker_does(wardian: Wardian) -> None:
    out(wardian("create", "--name", "seed", IMAGE, "true"))
    out(wardian("commit", "-c", "LABEL kind=a", "seed", "lab/one:1"))
    out(wardian("commit", "-c", "LABEL kind=b", "seed", "lab/two"))

    def found(*flags: str) -> set[str]:
        return set(out(wardian("images", "--format", "{{.Repository}}:{{.Tag}}", *flags)).split())

    one = {name for name in found() if name.endswith("lab/one:1")}
    two = {name for name in found() if name.endswith("lab/two:latest")}
    assert len(one) == len(two) == 1
    assert found("lab/one") == found("lab/one:1") == one
    assert found("lab/one:2") == set()
    assert found("--filter", "reference=lab/*") == one | two
    assert found("--filter", "reference=lab/*:1") == one
    assert found("--filter", "label=kind") == one | two
    assert found("--filter", "label=kind=b") == two
    assert found("--filter", "since=lab/one:1") == two
    assert one <= found("--filter", "before=lab/two")
    assert found("--filter", "dangling=true") == set()
    assert "DIGEST" in out(wardian("images", "--digests"))
    assert "no such image" in refused(wardian("images", "--filter", "before=nosuch"), 1)
    assert "not true or false" in refused(wardian("images", "--filter", "dangling=x"), 1)


@pytest.mark.xdist_group("networks")
def test_networks_filter_as_docker_does(wardian: Wardian) -> None:
    out(wardian("network", "create", "--label", "kind=a", "green"))
    out(wardian("network", "create", "blue"))
    try:

        def found(*filters: str) -> list[str]:
            flags = [flag for word in filters for flag in ("--filter", word)]
            return out(wardian("network", "ls", "--format", "{{.Name}}", *flags)).split()

        assert found("label=kind=a") == ["green"]
        assert found("name=lu") == ["blue"]
        assert found("driver=bridge", "type=custom") == ["green", "blue"]
        assert found("type=builtin") == []
        shown = out(wardian("network", "ls", "--format", '{{.Name}} {{.Label "kind"}} {{.IPv6}}'))
        assert shown == "green a false\nblue  false\n"
        ranged = "{{range .IPAM.Config}}{{.Subnet}}{{end}}"
        assert "/" in out(wardian("network", "inspect", "-f", ranged, "green"))
    finally:
        out(wardian("network", "rm", "green", "blue"))


@pytest.mark.usefixtures("client")
def test_events_filter_by_label_and_by_the_first_word(wardian: Wardian) -> None:
    out(wardian("run", "-d", "--name", "web", "-l", "tier=front", IMAGE, "sleep", "1000"))
    out(wardian("exec", "web", "true"))
    out(wardian("create", "--name", "other", IMAGE, "true"))
    told = ("events", "--since", "1m", "--until", "0s", "--format")

    def actions(*flags: str) -> list[str]:
        return out(wardian(*told, "{{.Action}}", *flags)).splitlines()

    assert actions("--filter", "event=exec_start") == ["exec_start: true"]
    assert actions("--filter", "label=tier=front", "--filter", "event=create") == ["create"]
    assert len(actions("--filter", "event=create")) == 2
    ids = out(wardian(*told, "{{.Actor.Attributes.execID}}", "--filter", "event=exec_die"))
    assert re.fullmatch(r"[0-9a-f]{64}\n", ids)
    form = "{{.Type}} {{.Status}} {{.From}} {{.Scope}}"
    first = out(wardian(*told, form, "--filter", "container=other"))
    assert first == f"container create {IMAGE} local\n"


def test_figures_have_dockers_names(wardian: Wardian, web: str) -> None:
    form = "{{.Container}}|{{.NetIO}}|{{.BlockIO}}|{{.PIDs}}"
    shown = out(wardian("stats", "--no-stream", "--format", form, web)).split("|")
    assert re.fullmatch(r"[0-9a-f]{12}", shown[0])
    assert shown[1] == "0B / 0B"
    assert " / " in shown[2]


def test_inspect_prints_each_and_says_who_is_missing(wardian: Wardian, web: str) -> None:
    done = wardian("inspect", "-f", "{{.Name}}", web, "nosuch", web)
    assert (done.returncode, done.stdout) == (1, f"{web}\n{web}\n")
    assert "nosuch" in done.stderr
    line = out(wardian("inspect", "-f", "json", web))
    assert line.count("\n") == 1
    assert json.loads(line)[0]["Name"] == web
