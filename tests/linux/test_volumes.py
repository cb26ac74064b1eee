"""Volumes: filled once, outliving their containers, shared, backed up, and nobody's way out."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.linux.conftest import keeper_pid, shell, wait_until
from tests.linux.program import IMAGE, PROGRAM, Wardian, out, refused
from wardian.errors import FailedPrecondition, NotFound, SetupError
from wardian.linux import mount as mnt
from wardian.linux.mount import mount, umount2
from wardian.runtime import volume_messages as v
from wardian.runtime.client import Client
from wardian.runtime.spec import ContainerSpec, Keep
from wardian.storage.volume import VolumeMount
from wardian.storage.volumes import Volumes

is_root = pytest.mark.skipif(os.geteuid() != 0, reason="owners and mounts need root; run as root")
BIG_FILES = 3000


@pytest.fixture(autouse=True)
def mounts() -> Iterator[None]:
    """The host's mounts are the same afterwards."""
    before = _mounts()
    yield
    wait_until(lambda: _mounts() <= before)


def _mounts() -> set[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return {line for line in lines if "/volumes/" in line}


@pytest.fixture
def flower(tmp_path: Path, busybox_layer: Path, spec: ContainerSpec) -> ContainerSpec:
    """An image whose /data has owners, modes, attributes, links of all kinds."""
    layer = tmp_path / "layer"
    data = layer / "data"
    (data / "deep/er").mkdir(parents=True)
    (data / "leaf").write_text("green")
    os.link(data / "leaf", data / "deep/same")
    (data / "deep/er/link").symlink_to("/etc/passwd")
    (data / "program").write_text("#!/bin/sh\n")
    os.setxattr(data / "leaf", "user.colour", b"green")
    os.mkfifo(data / "pipe", 0o640)
    for path, owner in ((data, 1000), (data / "program", 33), (data / "deep", 1000)):
        os.chown(path, owner, owner)
    (data / "program").chmod(0o4750)  # chown(2) takes it away
    data.chmod(0o2770)
    layer.chmod(0o755)
    return replace(spec, lowers=(str(layer), str(busybox_layer)))


def having(spec: ContainerSpec, *mounted: VolumeMount, name: str = "box") -> ContainerSpec:
    return replace(spec, name=name, volumes=mounted)


def image(wardian: Wardian, folder: Path, text: str) -> str:
    """An image built from a Dockerfile."""
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(f"FROM {IMAGE}\n{text}\n")
    return out(wardian("build", "-q", "-t", "made", str(folder))).strip() and "made"


def inspected(wardian: Wardian, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(out(wardian("inspect", name)))
    return found[0]


def names(wardian: Wardian, *flags: str) -> list[str]:
    return out(wardian("volume", "ls", "-q", *flags)).split()


# --- life ----------------------------------------------------------------------------------------


def test_data_outlives_its_container(wardian: Wardian) -> None:
    write = ("run", "--rm", "-v", "data:/srv", IMAGE, "sh", "-c", "echo fern > /srv/plant")
    assert out(wardian(*write)) == ""
    assert names(wardian) == ["data"]
    assert out(wardian("run", "--rm", "-v", "data:/else", IMAGE, "cat", "/else/plant")) == "fern\n"
    read_only = ("run", "--rm", "-v", "data:/srv:ro", IMAGE, "rm", "/srv/plant")
    assert "Read-only file system" in wardian(*read_only).stderr
    assert out(wardian("volume", "rm", "data")) == "data\n"
    assert names(wardian) == []
    assert refused(wardian("volume", "rm", "data"), 1) == "no such volume: 'data'"
    assert out(wardian("volume", "rm", "-f", "data")) == ""


def test_containers_share_a_volume(client: Client, spec: ContainerSpec) -> None:
    wish = VolumeMount(target="/srv", name="shared")
    writer = client.run(having(spec, wish, name="writer"))
    reader = client.run(having(spec, replace(wish, read_only=True), name="reader"))
    assert shell(writer, "echo fern > /srv/plant") == (0, "")
    assert shell(reader, "cat /srv/plant") == (0, "fern\n")
    assert shell(reader, "touch /srv/plant")[0] == 1


@is_root
def test_owners_are_the_same_on_both_sides(client: Client, spec: ContainerSpec) -> None:
    box = client.run(having(spec, VolumeMount(target="/srv", name="data")))
    assert shell(box, "touch /srv/root; touch /srv/plant; chown plant /srv/plant")[0] == 0
    files = Volumes(client.root).files("data")
    assert (files / "root").stat().st_uid == 0
    assert (files / "plant").stat().st_uid == 1000
    assert shell(box, "stat -c %u /srv/root /srv/plant") == (0, "0\n1000\n")
    assert shell(box, "cp /bin/busybox /srv; chmod 4755 /srv/busybox")[0] == 0
    # A program that a container has made set-id is out of every other user's reach.
    assert Volumes(client.root).home("data").parent.stat().st_mode & 0o077 == 0


def test_data_survive_the_deaths_of_keeper_and_init(client: Client, spec: ContainerSpec) -> None:
    box = client.run(having(spec, VolumeMount(target="/srv", name="data")))
    assert shell(box, "echo fern > /srv/plant; sync")[0] == 0
    keeper, init = keeper_pid(client.root), box.info.host_pid
    assert keeper is not None and init is not None
    os.kill(keeper, signal.SIGKILL)
    os.kill(init, signal.SIGKILL)
    wait_until(lambda: box.info.host_pid is None)
    box.start()
    assert shell(box, "cat /srv/plant") == (0, "fern\n")
    box.remove(force=True, volumes=True)
    assert (Volumes(client.root).files("data") / "plant").read_text() == "fern\n"


# --- the first use -------------------------------------------------------------------------------


@is_root
def test_first_use_brings_all_that_the_image_has_there(
    client: Client, flower: ContainerSpec
) -> None:
    box = client.run(having(flower, VolumeMount(target="/data", name="data")))
    command = "cd /data; stat -c '%n %u:%g %a %h %F' . leaf deep/same program pipe deep deep/er"
    told = (
        ". 1000:1000 2770 3 directory\n"
        "leaf 0:0 644 2 regular file\n"
        "deep/same 0:0 644 2 regular file\n"
        "program 33:33 4750 1 regular file\n"
        "pipe 0:0 640 1 fifo\n"
        "deep 1000:1000 755 3 directory\n"
        "deep/er 0:0 755 2 directory\n"
        "/etc/passwd\ngreengreen"
    )
    assert shell(box, f"{command}; readlink deep/er/link; cat leaf deep/same") == (0, told)
    files = Volumes(client.root).files("data")
    assert os.getxattr(files / "leaf", "user.colour") == b"green"
    assert os.listdir(files.parent) == unordered(["volume.json", "_data"])
    assert [info.name for info in client.list()] == ["box"]


def unordered(expected: list[str]) -> Any:
    """Equal to a list of the same things in any order."""

    class _Unordered(list[str]):
        def __eq__(self, other: object) -> bool:
            return isinstance(other, list) and sorted(other) == sorted(self)

        __hash__ = None

    return _Unordered(expected)


def test_only_the_first_use_brings_anything(client: Client, flower: ContainerSpec) -> None:
    wish = VolumeMount(target="/data", name="data")
    client.run(having(flower, wish)).remove(force=True)
    box = client.run(having(flower, wish))
    assert shell(box, "cd /data; rm -r deep leaf; echo mine > own")[0] == 0
    box.remove(force=True)
    box = client.run(having(flower, wish))
    assert shell(box, "ls /data; cat /data/own") == (0, "own\npipe\nprogram\nmine\n")


def test_nothing_is_brought_unasked(client: Client, flower: ContainerSpec) -> None:
    """With nocopy, to where the image has nothing, from a path that is no directory."""
    places = {"/data": True, "/nothing": False, "/tmp": True}
    for number, (target, no_copy) in enumerate(places.items()):
        wish = VolumeMount(target=target, name=f"v{number}", no_copy=no_copy)
        box = client.run(having(flower, wish))
        assert shell(box, f"ls -A {target}") == (0, "")
        box.remove(force=True)


def test_volume_of_a_running_container_is_not_filled_under_it(
    client: Client, flower: ContainerSpec
) -> None:
    wish = VolumeMount(target="/data", name="data")
    first = client.run(having(flower, replace(wish, no_copy=True), name="first"))
    second = client.run(having(flower, wish, name="second"))
    assert shell(first, "touch /data/mine")[0] == 0
    assert shell(second, "ls -A /data") == (0, "mine\n")


def test_image_s_symlinks_lead_nowhere_but_into_the_image(
    client: Client, tmp_path: Path, busybox_layer: Path, spec: ContainerSpec
) -> None:
    """The target, and what is found there, are the image's: /data and /lost are links."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("the host's")
    layer = tmp_path / "layer"
    layer.mkdir()
    layer.chmod(0o755)
    (layer / "data").symlink_to("../../../../../../../../../root")
    (layer / "lost").symlink_to(f"../../../../../../..{secret}")
    (layer / "inner").mkdir()
    (layer / "inner/out").symlink_to(str(secret))
    spec = replace(spec, lowers=(str(layer), str(busybox_layer)))
    mounted = [VolumeMount(target=f"/{name}", name=f"v-{name}") for name in ("data", "inner")]
    box = client.run(having(spec, *mounted))
    assert shell(box, "echo x > /data/key; cat /root/key; cat /inner/out/key")[0] == 1
    assert (Volumes(client.root).files("v-data") / "key").read_text() == "x\n"
    assert shell(box, "echo y > /inner/out/key")[0] == 1
    with pytest.raises(SetupError, match="cannot make the mount point /lost"):
        client.run(having(spec, VolumeMount(target="/lost", name="lost"), name="other"))
    assert (secret / "key").read_text() == "the host's"
    assert os.listdir(secret) == ["key"]


def test_kill_in_the_middle_of_filling_leaves_it_to_be_filled_again(
    wardian: Wardian, state: Path, tmp_path: Path
) -> None:
    made = image(
        wardian,
        tmp_path / "context",
        f'RUN mkdir /data && i=0; while [ $i -lt {BIG_FILES} ]; do echo $i > "/data/$i"; '
        "i=$((i+1)); done",
    )
    run = ["run", "--rm", "-v", "data:/data", made, "sh", "-c", "ls /data | wc -l"]
    home = state / "volumes/data"
    killed = subprocess.Popen([*PROGRAM, *run], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: any(map(_has_files, home.glob(".filling-*"))))
    killed.kill()
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert os.listdir(home / "_data") == []
    wait_until(lambda: out(wardian("ps", "-aq")) == "")
    assert out(wardian(*run)) == f"{BIG_FILES}\n"
    keeper = keeper_pid(state)
    if keeper is not None:
        os.kill(keeper, signal.SIGKILL)
    assert out(wardian("volume", "ls", "-q", "-f", "dangling=true")) == "data\n"  # a new keeper
    assert sorted(os.listdir(home)) == ["_data", "volume.json"]


def _has_files(directory: Path) -> bool:
    try:
        return bool(os.listdir(directory))
    except OSError:
        return False


@is_root
def test_full_disk_is_said_and_nothing_half_made_stays(
    tmp_path: Path, flower: ContainerSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARDIAN_KEEPER_IDLE_S", "0.1")
    root = tmp_path / "small"
    root.mkdir(0o711)
    (Path(flower.lowers[0]) / "data/big").write_bytes(b"x" * (8 << 20))
    mount("tmpfs", str(root), "tmpfs", 0, "size=4m,mode=711")
    try:
        with Client.connect(root) as client:
            keep = VolumeMount(target="/keep", name="keep")
            box = client.run(having(flower, keep, name="keeps"))
            assert shell(box, "echo fern > /keep/plant")[0] == 0
            with pytest.raises(FailedPrecondition, match="No space left on device"):
                client.run(having(flower, VolumeMount(target="/data", name="data")))
            with pytest.raises(NotFound):
                Volumes(root).get("data")
            assert os.listdir(root / "volumes") == ["keep"]
            assert [info.name for info in client.list()] == ["keeps"]
            assert "No space left" in shell(box, "dd if=/dev/zero of=/keep/big bs=1M count=9")[1]
            with pytest.raises(SetupError, match=r"cannot make volume|cannot store|cannot write"):
                client.run(having(flower, VolumeMount(target="/more", name="more")))
            assert shell(box, "cat /keep/plant; rm /keep/big") == (0, "fern\n")
            box.remove(force=True)
        wait_until(lambda: keeper_pid(root) is None)
    finally:
        umount2(str(root), mnt.MNT_DETACH)


# --- anonymous volumes ---------------------------------------------------------------------------


def test_volume_of_an_image_is_made_filled_and_goes_with_the_container(
    wardian: Wardian, tmp_path: Path
) -> None:
    made = image(
        wardian,
        tmp_path / "context",
        "RUN mkdir /srv; echo fern > /srv/plant\nVOLUME /srv /var/lib/x",
    )
    out(wardian("run", "-d", "--name", "web", made, "sleep", "1000"))
    mounts = inspected(wardian, "web")["Mounts"]
    assert [(one["Type"], one["Destination"], one["RW"]) for one in mounts] == [
        ("volume", "/srv", True),
        ("volume", "/var/lib/x", True),
    ]
    assert all(len(one["Name"]) == 64 for one in mounts)
    assert inspected(wardian, "web")["Config"]["Volumes"] == {"/srv": {}, "/var/lib/x": {}}
    assert out(wardian("exec", "web", "cat", "/srv/plant")) == "fern\n"
    assert sorted(names(wardian)) == sorted(one["Name"] for one in mounts)
    [labelled] = json.loads(out(wardian("volume", "inspect", mounts[0]["Name"])))
    assert labelled["Labels"] == {"com.docker.volume.anonymous": ""}
    out(wardian("rm", "-f", "web"))
    assert len(names(wardian)) == 2, "docker keeps them without -v"
    assert len(out(wardian("volume", "prune", "-f")).splitlines()) == 3
    out(wardian("run", "-d", "--name", "web", made, "sleep", "1000"))
    out(wardian("rm", "-f", "-v", "web"))
    assert names(wardian) == []
    assert out(wardian("run", "--rm", made, "cat", "/srv/plant")) == "fern\n"
    assert names(wardian) == []
    out(wardian("run", "--rm", "-d", "--name", "short", made, "true"))
    wait_until(lambda: out(wardian("ps", "-aq")) == "")
    assert names(wardian) == []


def test_anonymous_volumes_of_what_was_refused_do_not_stay(wardian: Wardian, web: str) -> None:
    run = ("run", "--rm", "--name", web, "-v", "/srv", "-v", "new:/x", IMAGE, "true")
    assert refused(wardian(*run), 125) == "the container name web is in use"
    assert names(wardian) == []
    missing = wardian("run", "--rm", "-v", "/srv", IMAGE, "nosuch")
    assert missing.returncode == 127
    assert names(wardian) == []


def test_client_that_dies_leaves_no_anonymous_volume(client: Client, spec: ContainerSpec) -> None:
    """Between making its volume and having a container."""
    wish = VolumeMount(target="/srv")
    with Client.connect(client.root) as short:
        made, _ = short.call("make_volumes", v.MakeVolumesCall((wish,)), v.MadeVolumes)
        assert Volumes(client.root).names() == list(made.new)
    wait_until(lambda: Volumes(client.root).names() == [])
    box = client.run(replace(having(spec, wish), keep=Keep.NEVER))
    [mounted] = box.info.spec.volumes
    assert Volumes(client.root).names() == [mounted.name]
    box.remove(force=True)
    assert Volumes(client.root).names() == []


# --- who has what --------------------------------------------------------------------------------


def test_volume_in_use_is_not_removed_and_who_uses_it_is_said(wardian: Wardian) -> None:
    out(wardian("create", "--name", "one", "-v", "data:/srv", IMAGE, "true"))
    out(wardian("run", "-d", "--name", "two", "-v", "data:/srv", IMAGE, "sleep", "1000"))
    said = refused(wardian("volume", "rm", "data"), 1)
    assert said == "volume data is in use by one, two"
    assert out(wardian("volume", "prune", "-af")) == "Total reclaimed space: 0B\n"
    out(wardian("rm", "-f", "-v", "one", "two"))
    assert names(wardian) == ["data"], "-v removes only what nobody has named"
    assert out(wardian("volume", "prune", "-f")) == "Total reclaimed space: 0B\n"
    assert out(wardian("volume", "prune", "-af")).splitlines()[0] == "data"


def test_inspect_and_ls_show_volumes_as_docker_does(wardian: Wardian, state: Path) -> None:
    create = ("volume", "create", "--label", "a=b", "-d", "local", "data")
    assert out(wardian(*create)) == out(wardian("volume", "create", "data")) == "data\n"
    assert out(wardian("volume", "ls")) == "DRIVER   VOLUME NAME\nlocal    data\n"
    out(wardian("run", "-d", "--name", "web", "-v", "data:/srv:ro", IMAGE, "sleep", "1000"))
    place = str(state / "volumes/data/_data")
    info = inspected(wardian, "web")
    assert info["Mounts"] == [
        {
            "Type": "volume",
            "Name": "data",
            "Source": place,
            "Destination": "/srv",
            "Driver": "local",
            "Mode": "ro",
            "RW": False,
            "Propagation": "",
        }
    ]
    assert info["HostConfig"]["Binds"] == ["data:/srv:ro"]
    described = inspected(wardian, "data")
    assert (described["Mountpoint"], described["Labels"]) == (place, {"a": "b"})
    assert described == json.loads(out(wardian("volume", "inspect", "data")))[0]
    assert out(wardian("inspect", "--type", "volume", "-f", "{{.Driver}}", "data")) == "local\n"
    out(wardian("volume", "create", "other"))
    assert names(wardian, "-f", "dangling=true") == ["other"]
    assert names(wardian, "-f", "dangling=false") == ["data"]
    assert names(wardian, "-f", "label=a=b") == names(wardian, "-f", "name=dat") == ["data"]
    assert names(wardian, "-f", "label=a=c") == names(wardian, "-f", "driver=nfs") == []
    assert out(wardian("volume", "ls", "--format", "{{.Name}}:{{.Labels}}")) == "data:a=b\nother:\n"
    assert out(wardian("volume", "prune", "-af", "--filter", "label!=a")).splitlines()[0] == "other"
    assert out(wardian("ps", "--filter", "volume=data", "--format", "{{.Mounts}}")) == "data\n"


def test_volumes_of_another_container_come_along(wardian: Wardian, tmp_path: Path) -> None:
    bind = f"{tmp_path}:/host"
    out(
        wardian(
            "create", "--name", "a", "-v", "data:/srv", "-v", "/anon", "-v", bind, IMAGE, "true"
        )
    )
    write = "echo fern > /srv/plant; touch /anon/here"
    out(wardian("run", "--rm", "--volumes-from", "a", IMAGE, "sh", "-c", write))
    read = ("run", "--rm", "--volumes-from", "a:ro", "-v", "/srv", IMAGE)
    shown = wardian(*read, "sh", "-c", "ls /srv /anon /host; touch /anon/x")
    assert "here" in shown.stdout
    assert "plant" not in shown.stdout
    assert "Read-only file system" in shown.stderr
    assert len(names(wardian)) == 2, "a's own is still a's"
    out(wardian("rm", "-v", "a"))
    assert names(wardian) == ["data"]


@pytest.mark.usefixtures("web")  # the keeper stays, and remembers
def test_events_tell_of_volumes(wardian: Wardian) -> None:
    out(wardian("run", "--rm", "-v", "data:/srv:ro", IMAGE, "true"))
    out(wardian("volume", "rm", "data"))
    style = "{{.Type}} {{.Action}} {{.Actor.ID}} {{json .Actor.Attributes}}"
    told = out(
        wardian(
            "events", "--since", "1m", "--until", "0s", "--filter", "type=volume", "--format", style
        )
    ).splitlines()
    assert [line.split(" {")[0] for line in told] == [
        f"volume {action} data" for action in ("create", "mount", "unmount", "destroy")
    ]
    attributes = json.loads(told[1].partition("data ")[2])
    assert attributes["destination"] == "/srv"
    assert attributes["read/write"] == "false"
    assert len(attributes["container"]) == 64
    assert (
        out(wardian("events", "--since", "1m", "--until", "0s", "-f", "volume=data")).count("\n")
        == 4
    )


def test_system_commands_know_volumes(wardian: Wardian, state: Path) -> None:
    out(wardian("create", "--name", "a", "-v", "/anon", "-v", "data:/d", IMAGE, "true"))
    rows = [
        json.loads(line) for line in out(wardian("system", "df", "--format", "json")).splitlines()
    ]
    assert [
        (row["TotalCount"], row["Active"]) for row in rows if row["Type"] == "Local Volumes"
    ] == [(2, 2)]
    assert "nothing is wrong" in out(wardian("system", "check", "--quick"))
    assert len(out(wardian("system", "prune", "-f", "--volumes")).splitlines()) == 3
    assert names(wardian) == ["data"]
    shutil.rmtree(state / "volumes/data/_data")
    (state / "volumes/bad").mkdir()
    (state / "volumes/bad/volume.json").write_text("{}")
    told = wardian("system", "check", "--quick", "--format", "{{.Part}} {{.Subject}} {{.Problem}}")
    assert told.returncode == 1
    assert "volume data lacks its files\n" in told.stdout
    assert "volume bad another version of Wardian wrote " in told.stdout
    shutil.rmtree(state / "volumes/bad")


# --- options of the driver -----------------------------------------------------------------------


@is_root
def test_tmpfs_volume_is_shared_while_somebody_has_it(wardian: Wardian, state: Path) -> None:
    options = (
        "--opt",
        "type=tmpfs",
        "--opt",
        "device=tmpfs",
        "--opt",
        "o=size=1m,uid=1000,mode=750",
    )
    out(wardian("volume", "create", *options, "memory"))
    for name in ("one", "two"):
        out(wardian("run", "-d", "--name", name, "-v", "memory:/m", IMAGE, "sleep", "1000"))
    out(wardian("exec", "one", "sh", "-c", "echo fern > /m/plant"))
    read = ("exec", "two", "sh", "-c", "cat /m/plant; stat -c '%u %a' /m; df -m /m | tail -n 1")
    assert out(wardian(*read)).split()[:5] == ["fern", "1000", "750", "tmpfs", "1"]
    keeper = keeper_pid(state)
    assert keeper is not None
    os.kill(keeper, signal.SIGKILL)
    out(wardian("kill", "one"))
    assert out(wardian("exec", "two", "cat", "/m/plant")) == "fern\n"
    out(wardian("kill", "two"))
    assert not os.path.ismount(state / "volumes/memory/_data")
    out(wardian("start", "two"))
    assert out(wardian("exec", "two", "ls", "/m")) == ""
    out(wardian("rm", "-f", "two"))


def test_bind_volume_is_a_directory_of_the_host(wardian: Wardian, tmp_path: Path) -> None:
    site = tmp_path / "site"
    options = ("--opt", "type=none", "--opt", "o=bind,ro", "--opt", f"device={site}")
    out(wardian("volume", "create", *options, "site"))
    run = ("run", "--rm", "-v", "site:/srv", IMAGE)
    said = refused(wardian(*run, "true"), 125)
    assert said == f"volume site lacks its directory on the host: {site}"
    site.mkdir()
    (site / "page").write_text("fern")
    assert out(wardian(*run, "cat", "/srv/page")) == "fern"
    assert "Read-only" in wardian(*run, "touch", "/srv/x").stderr
    out(wardian("volume", "rm", "site"))
    assert (site / "page").read_text() == "fern"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("create ../x", "not a volume name: '../x'"),
        ("create x", "not a volume name: 'x'"),
        ("create ..", "not a volume name: '..'"),
        ("create -o type=nfs data", "unsupported volume type: 'nfs'"),
        ("create -o size=1m data", "unknown volume option: 'size'"),
        ("create -o type=tmpfs -o o=suid data", "unknown word in the volume's o=: 'suid'"),
        ("create -o type=none -o device=/ data", "a volume of type none is a directory of the"),
        ("inspect ../../etc", "no such volume: '../../etc'"),
        ("rm ../containers", "no such volume: '../containers'"),
        ("rm .", "no such volume: '.'"),
        ("export ..", "no such volume: '..'"),
        ("import data /no/such/file", "cannot read the archive /no/such/file: No such file"),
        ("import ../x -", "not a volume name: '../x'"),
        ("ls -f colour=green", "not a filter: 'colour=green'"),
        ("ls -f dangling=perhaps", "neither true nor false: 'perhaps'"),
        ("prune -f --filter until=1h", "not a filter: 'until=1h'"),
    ],
)
def test_wrong_words_are_said_and_leave_nothing(wardian: Wardian, line: str, said: str) -> None:
    out(wardian("volume", "create", "there"))
    assert refused(wardian("volume", *line.split()), 1).startswith(said)
    assert names(wardian) == ["there"]


def test_options_of_a_volume_that_is_there_are_not_changed(wardian: Wardian, state: Path) -> None:
    out(wardian("volume", "create", "data"))
    create = ("volume", "create", "-o", "type=tmpfs", "data")
    assert refused(wardian(*create), 1) == "volume data exists with other options"
    record = (state / "volumes/data/volume.json").read_text()
    (state / "volumes/data/volume.json").write_text(record.replace('"version":1', '"version":9'))
    said = refused(wardian("run", "-v", "data:/x", IMAGE, "true"), 125)
    assert said.startswith("another version of Wardian wrote ")


# --- archives ------------------------------------------------------------------------------------


@is_root
def test_backup_and_restore_keep_everything(
    wardian: Wardian, client: Client, flower: ContainerSpec, tmp_path: Path
) -> None:
    client.run(having(flower, VolumeMount(target="/data", name="data"))).remove(force=True)
    archive = tmp_path / "backup.tar"
    out(wardian("volume", "export", "-o", str(archive), "data"))
    subprocess.run(["gzip", "-k", archive], check=True)
    out(wardian("volume", "import", "copy", f"{archive}.gz"))
    again = tmp_path / "again.tar"
    out(wardian("volume", "export", "-o", str(again), "copy"))
    assert again.read_bytes() == archive.read_bytes()
    program = Volumes(client.root).files("copy") / "program"
    assert (program.stat().st_uid, program.stat().st_mode & 0o7777) == (33, 0o4750)
    assert (
        refused(wardian("volume", "import", "copy", str(archive)), 1)
        == "volume copy has files already"
    )
    out(wardian("run", "-d", "-v", "used:/x", IMAGE, "sleep", "1000"))
    said = refused(wardian("volume", "import", "used", str(archive)), 1)
    assert said.startswith("volume used is in use by ")
    assert os.listdir(Volumes(client.root).home("used")) == unordered(["volume.json", "_data"])


def _tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return output.getvalue()


def _member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def test_hostile_archives_reach_no_file_of_the_host(
    wardian: Wardian, state: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    evil = b"evil"
    climbing = [f"{'../' * depth}victim/x" for depth in (1, 4, 12)]
    attacks = [_tar((_member(name), evil)) for name in climbing]
    attacks += [
        _tar((_member("out", tarfile.SYMTYPE, str(victim)), b""), (_member("out/x"), evil)),
        _tar((_member("x", tarfile.LNKTYPE, f"..{victim}/x"), b"")),
        _tar((_member("plant"), b"fern"))[:700],
        b"no archive at all" * 64,
    ]
    for number, attack in enumerate(attacks):
        path = tmp_path / f"{number}.tar"
        path.write_bytes(attack)
        refused(wardian("volume", "import", f"v{number}", str(path)), 1)
        assert os.listdir(victim) == []
    assert names(wardian) == []
    absolute = tmp_path / "absolute.tar"
    absolute.write_bytes(_tar((_member(f"{victim}/x"), evil)))
    out(wardian("volume", "import", "inside", str(absolute)))
    assert os.listdir(victim) == []
    assert (state / f"volumes/inside/_data{victim}/x").read_bytes() == evil


def test_symlinks_in_a_volume_lead_no_backup_out(wardian: Wardian, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the host's")
    plant = f"ln -s {secret} /v/link; ln -s / /v/root; ln -s {tmp_path} /v/folder"
    out(wardian("run", "--rm", "-v", "data:/v", IMAGE, "sh", "-c", plant))
    archive = tmp_path / "backup.tar"
    out(wardian("volume", "export", "-o", str(archive), "data"))
    with tarfile.open(archive) as found:
        assert {one.name: one.type for one in found if one.name != "."} == dict.fromkeys(
            ("link", "root", "folder"), tarfile.SYMTYPE
        )
    out(wardian("volume", "rm", "data"))
    assert secret.read_text() == "the host's"
