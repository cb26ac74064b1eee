"""What every storage driver must do: the interface, and containers on layers as images have them.

The rules are the image specification's (layer.md); the tests are those of containerd's suite for
its snapshotters (core/snapshots/testsuite), as far as both know the matter.
"""

from __future__ import annotations

import errno
import io
import json
import os
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.linux.conftest import keeper_pid, shell, wait_until
from tests.linux.program import IMAGE, Wardian, out, refused
from wardian.errors import AlreadyExists, FailedPrecondition, InvalidInput, NotFound, SetupError
from wardian.observe.copied import layers_sampler
from wardian.observe.frames import Mark
from wardian.observe.subject import Subject
from wardian.runtime.changed import changes_of
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.spec import ContainerSpec
from wardian.storage import active, fuse, native, whiteout
from wardian.storage import driver as drivers
from wardian.storage.changes import changes
from wardian.storage.driver import Driver
from wardian.storage.fuse import FuseSnapshotter
from wardian.storage.native import NativeSnapshotter
from wardian.storage.overlay import OverlaySnapshotter
from wardian.storage.packing import IdShift
from wardian.storage.snapshotter import Snapshot, Snapshotter

DRIVERS: dict[Driver, Callable[[Path], Snapshotter]] = {
    Driver.OVERLAY: OverlaySnapshotter,
    Driver.FUSE: FuseSnapshotter,
    Driver.NATIVE: NativeSnapshotter,
}
needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root makes devices and owners; run the tests as root"
)


@pytest.fixture(params=DRIVERS, ids=lambda one: one.value)
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """Each driver; the state root of the test, if it has one, is used with it."""
    chosen: Driver = request.param
    monkeypatch.setenv(drivers.VARIABLE, chosen.value)
    return chosen


@pytest.fixture
def make(storage: Driver) -> Callable[[Path], Snapshotter]:
    return DRIVERS[storage]


@pytest.fixture
def driver(make: Callable[[Path], Snapshotter], tmp_path: Path) -> Snapshotter:
    return make(tmp_path / "state")


# --- the interface -----------------------------------------------------------------------------


def test_new_snapshot_is_empty_and_can_be_written(driver: Snapshotter) -> None:
    snapshot = driver.prepare("one")
    assert os.listdir(snapshot.upper) == []
    assert os.listdir(snapshot.work) == []
    assert snapshot.upper.parent == snapshot.work.parent
    (snapshot.upper / "file").write_text("x")


def test_snapshot_is_found_again_by_a_new_driver(
    make: Callable[[Path], Snapshotter], tmp_path: Path
) -> None:
    snapshot = make(tmp_path).prepare("one")
    again = make(tmp_path)
    assert again.get("one") == snapshot
    assert list(again.keys()) == ["one"]


def test_key_names_one_snapshot(driver: Snapshotter) -> None:
    (driver.prepare("one").upper / "file").write_text("x")
    with pytest.raises(AlreadyExists):
        driver.prepare("one")
    assert os.listdir(driver.get("one").upper) == ["file"]


def test_unknown_key_is_not_found(driver: Snapshotter) -> None:
    for ask in (driver.get, driver.usage):
        with pytest.raises(NotFound):
            ask("nothing")


@pytest.mark.parametrize("key", ["", ".", "..", "a/b", "../a", "/a", ".new-a", "a\0b", "a" * 300])
def test_key_that_is_no_name_is_refused(driver: Snapshotter, tmp_path: Path, key: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    for act in (driver.prepare, driver.get, driver.remove):
        with pytest.raises(InvalidInput):
            act(key)
    assert sorted(tmp_path.rglob("*")) == before


def test_removed_snapshot_is_gone_and_its_key_free(driver: Snapshotter) -> None:
    snapshot = driver.prepare("one")
    (snapshot.upper / "d").mkdir()
    (snapshot.upper / "d/file").write_text("x")
    driver.remove("one")
    assert list(driver.keys()) == []
    assert not snapshot.upper.parent.exists()
    assert os.listdir(driver.prepare("one").upper) == []


def test_removing_what_is_not_there_is_no_error(driver: Snapshotter) -> None:
    driver.remove("nothing")


def test_usage_counts_blocks_and_hard_links_once(driver: Snapshotter) -> None:
    upper = driver.prepare("one").upper
    empty = driver.usage("one")
    assert (empty.size_bytes, empty.inodes) == (0, 0)
    (upper / "file").write_bytes(bytes(1 << 20))
    os.link(upper / "file", upper / "again")
    with open(upper / "hole", "wb") as file:
        file.truncate(1 << 40)
    usage = driver.usage("one")
    assert usage.inodes == 2
    assert 1 << 20 <= usage.size_bytes < 2 << 20


def test_nested_beyond_any_path_is_removed(driver: Snapshotter) -> None:
    fd = os.open(driver.prepare("one").upper, os.O_RDONLY)
    for _ in range(2500):
        os.mkdir("directory", dir_fd=fd)
        child = os.open("directory", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = child
    os.close(fd)
    driver.remove("one")
    assert list(driver.keys()) == []


def test_removal_follows_no_symlink(driver: Snapshotter, tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/file").write_text("x")
    (driver.prepare("one").upper / "out").symlink_to(tmp_path / "victim")
    driver.remove("one")
    assert (tmp_path / "victim/file").exists()


def test_what_a_crash_left_half_made_is_swept(
    make: Callable[[Path], Snapshotter], tmp_path: Path
) -> None:
    driver = make(tmp_path)
    driver.prepare("kept")
    home = driver.get("kept").upper.parents[1]
    for name in (".new-half", ".old-half"):
        (home.parent / name / "data" / "upper").mkdir(parents=True)
    assert list(make(tmp_path).keys()) == ["kept"]
    assert os.listdir(home.parent) == ["kept"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_errors_of_the_disk_say_what_to_do(number: int) -> None:
    error = active._cannot_store(OSError(number, os.strerror(number)))
    assert isinstance(error, SetupError)
    assert "WARDIAN_ROOT" in error.hint


# --- which driver ------------------------------------------------------------------------------


def test_driver_is_recorded_and_another_one_refused(
    storage: Driver, client: Client, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.list() == []
    assert drivers.recorded(state) is storage
    other = next(one for one in Driver if one is not storage)
    monkeypatch.setenv(drivers.VARIABLE, other.value)
    with pytest.raises(FailedPrecondition, match=f"driver {storage.value}, not {other.value}"):
        Client.connect(state)
    monkeypatch.delenv(drivers.VARIABLE)
    with Client.connect(state) as again:
        assert again.list() == []


def test_state_root_from_before_there_was_a_choice_has_the_overlay(tmp_path: Path) -> None:
    assert drivers.recorded(tmp_path) is None
    (tmp_path / "snapshots").mkdir()
    assert drivers.recorded(tmp_path) is Driver.OVERLAY


def test_first_who_records_a_driver_wins(tmp_path: Path) -> None:
    assert drivers.record(tmp_path, Driver.NATIVE) is Driver.NATIVE
    assert drivers.record(tmp_path, Driver.OVERLAY) is Driver.NATIVE
    assert os.listdir(tmp_path) == [drivers.FILE]


def test_dockers_names_are_known_and_others_refused() -> None:
    assert (drivers.parse("overlay2"), drivers.parse("vfs")) == (Driver.OVERLAY, Driver.NATIVE)
    with pytest.raises(InvalidInput, match="no storage driver"):
        drivers.parse("zfs")


# --- containers on layers ----------------------------------------------------------------------


def on(spec: ContainerSpec, *layers: Path) -> ContainerSpec:
    """The spec on these layers, uppermost first, above its own."""
    return replace(spec, lowers=(*map(str, layers), *spec.lowers))


def told(container: Container) -> set[str]:
    """What ``diff`` says."""
    info = container.info
    found = changes(info.snapshot, [Path(lower) for lower in info.lowers])
    return {f"{change.kind.docker_letter} /{change.path}" for change in found}


def ok(container: Container, command: str) -> str:
    code, text = shell(container, f"set -e; {command}")
    assert code == 0, text
    return text


@pytest.fixture
def layer(tmp_path: Path) -> Callable[[str], Path]:
    """Makes directories that are layers."""

    def layer(name: str) -> Path:
        directory = tmp_path / "layers" / name
        directory.mkdir(parents=True)
        (tmp_path / "layers").chmod(0o755)
        directory.chmod(0o755)
        return directory

    return layer


@pytest.fixture
def garden(layer: Callable[[str], Path]) -> tuple[Path, Path]:
    """Two layers, uppermost first: the upper one deletes, hides and replaces in the lower one."""
    upper, lower = layer("upper"), layer("lower")
    for name in ("gone/deep", "hidden", "merged", "was-folder"):
        (lower / name).mkdir(parents=True)
        (lower / name / "old").write_text("old")
    (lower / "file").write_text("old")
    (lower / "was-file").write_text("old")
    for name in ("hidden", "merged", "was-file"):
        (upper / name).mkdir()
        (upper / name / "new").write_text("new")
    fd = os.open(upper / "hidden", os.O_RDONLY)
    whiteout.make_opaque(fd)
    os.close(fd)
    (upper / "merged").chmod(0o700)
    (upper / "was-folder").write_text("new")
    fd = os.open(upper, os.O_RDONLY)
    for name in ("gone", "file"):
        whiteout.make_whiteout(fd, name)
    os.close(fd)
    return upper, lower


@pytest.mark.usefixtures("storage")
def test_layers_show_as_the_image_specification_says(
    client: Client, spec: ContainerSpec, garden: tuple[Path, Path]
) -> None:
    box = client.run(on(spec, *garden))
    assert ok(box, "ls -d /gone /file 2>/dev/null || true") == ""
    assert ok(box, "ls /hidden").split() == ["new"]
    assert ok(box, "ls /merged; stat -c %a /merged").split() == ["new", "old", "700"]
    assert ok(box, "cat /was-folder; ls /was-file").split() == ["newnew"]
    assert told(box) == set()


@pytest.mark.usefixtures("storage")
def test_more_than_a_hundred_layers_are_stacked(
    client: Client, spec: ContainerSpec, layer: Callable[[str], Path]
) -> None:
    layers = []
    for number in range(120):
        layers.append(layer(str(number)))
        (layers[-1] / f"of-{number}").write_text("x")
        (layers[-1] / "last").write_text(f"{number}")
    box = client.run(on(spec, *reversed(layers)))
    assert ok(box, "ls -d /of-* | wc -l; cat /last").split() == ["120", "119"]


@pytest.mark.usefixtures("storage")
def test_every_change_is_told_by_kind(
    client: Client, spec: ContainerSpec, garden: tuple[Path, Path]
) -> None:
    box = client.run(on(spec, *garden))
    ok(box, "echo new > /added; mkdir /merged/deep; echo x > /merged/deep/file")
    ok(box, "echo more >> /srv/page/leaf; rm /srv/page/stem")
    ok(box, "chmod 600 /etc/group; rm -r /hidden; touch /hidden; rm /was-folder; mkdir /was-folder")
    assert told(box) == {
        "A /added",
        "C /merged",
        "A /merged/deep",
        "A /merged/deep/file",
        "C /srv",
        "C /srv/page",
        "C /srv/page/leaf",
        "D /srv/page/stem",
        "C /etc",
        "C /etc/group",
        "C /hidden",
        "C /was-folder",
    }
    folders = {one.path for one in changes_of(box.info) if one.is_directory}
    assert folders == {"merged", "merged/deep", "srv", "srv/page", "etc", "was-folder"}


@pytest.mark.usefixtures("storage")
def test_directory_of_the_image_is_renamed_with_all_that_is_in_it(
    client: Client, spec: ContainerSpec
) -> None:
    box = client.run(spec)
    ok(box, "mv /srv/page /srv/leaf")
    assert ok(box, "cat /srv/leaf/leaf /srv/leaf/stem").split() == ["green", "brown"]
    found = told(box)
    assert {"C /srv", "D /srv/page", "A /srv/leaf", "A /srv/leaf/leaf"} <= found
    assert "A /srv/leaf/stem" in found


@pytest.mark.usefixtures("storage")
def test_metadata_alone_is_changed_without_the_data(client: Client, spec: ContainerSpec) -> None:
    box = client.run(spec)
    ok(box, "chmod 640 /srv/page/leaf; touch -d @1000 /srv/page")
    assert ok(box, "cat /srv/page/leaf; stat -c %a /srv/page/leaf").split() == ["green", "640"]
    assert told(box) == {"C /srv", "C /srv/page", "C /srv/page/leaf"}


@pytest.mark.usefixtures("storage")
def test_another_file_of_the_same_size_and_time_is_a_change(
    client: Client, spec: ContainerSpec
) -> None:
    box = client.run(spec)
    ok(box, "cp -p /srv/page/leaf /tmp/kept; echo brown > /srv/page/leaf")
    ok(box, "printf 'grown\\n' > /srv/page/leaf; touch -r /tmp/kept /srv/page/leaf; rm /tmp/kept")
    assert "C /srv/page/leaf" in told(box)


@pytest.mark.usefixtures("storage")
def test_hard_links_of_a_layer_are_one_file(
    client: Client, spec: ContainerSpec, layer: Callable[[str], Path]
) -> None:
    links = layer("links")
    (links / "one").write_text("x")
    (links / "folder").mkdir()
    os.link(links / "one", links / "folder/two")
    box = client.run(on(spec, links))
    one, two = ok(box, "stat -c %i /one /folder/two").split()
    assert one == two
    assert told(box) == set()


@pytest.mark.usefixtures("storage")
def test_layer_and_state_root_may_have_any_name(
    tmp_path: Path,
    spec: ContainerSpec,
    layer: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WARDIAN_KEEPER_IDLE_S", "0.1")
    tmp_path.chmod(0o711)
    odd = layer("a:b,c\\d e'f")
    (odd / "leaf").write_text("green")
    root = tmp_path / "r:o,o\\t"
    with Client.connect(root) as client:
        box = client.run(on(spec, odd))
        try:
            assert ok(box, "echo x > /new; cat /leaf") == "green"
            assert told(box) == {"A /new"}
        finally:
            box.remove(force=True)
    wait_until(lambda: keeper_pid(root) is None)


@pytest.mark.usefixtures("storage")
def test_view_is_read_only(client: Client, spec: ContainerSpec) -> None:
    box = client.run(replace(spec, read_only=True))
    assert "Read-only file system" in shell(box, "echo x > /new")[1]
    assert "Read-only file system" in shell(box, "rm /srv/page/leaf")[1]
    assert told(box) == set()


@pytest.mark.usefixtures("storage")
def test_layers_are_never_written(client: Client, spec: ContainerSpec, busybox_layer: Path) -> None:
    before = sorted((str(path), path.lstat().st_mtime_ns) for path in busybox_layer.rglob("*"))
    box = client.run(spec)
    ok(box, "echo more >> /srv/page/leaf; rm /srv/page/stem; chmod 600 /etc/passwd; touch /bin/x")
    after = sorted((str(path), path.lstat().st_mtime_ns) for path in busybox_layer.rglob("*"))
    assert before == after


@pytest.mark.usefixtures("storage")
def test_files_stay_from_start_to_start_and_go_with_the_container(
    client: Client, spec: ContainerSpec, state: Path
) -> None:
    box = client.run(spec)
    ok(box, "echo fern > /plant; rm /etc/group; mv /srv/page /srv/pages")
    before = told(box)
    box.stop(timeout_s=0)
    assert told(box) == before
    box.start()
    assert ok(box, "cat /plant /srv/pages/leaf; test ! -e /etc/group").split() == ["fern", "green"]
    assert told(box) == before
    home = Path(box.info.upper).parents[1]
    box.remove(force=True)
    assert not home.exists()
    assert str(state) not in Path("/proc/self/mounts").read_text()


def kill_keeper(state: Path) -> None:
    killed = keeper_pid(state)
    assert killed is not None
    os.kill(killed, 9)
    wait_until(lambda: keeper_pid(state) != killed)


@pytest.mark.usefixtures("storage")
def test_container_outlives_its_keeper_with_its_files(
    client: Client, spec: ContainerSpec, state: Path
) -> None:
    box = client.run(spec)
    ok(box, "echo fern > /plant")
    kill_keeper(state)
    with Client.connect(state) as again:
        adopted = again.container("box")
        assert ok(adopted, "cat /plant; echo more >> /srv/page/leaf") == "fern\n"
        assert told(adopted) == {"A /plant", "C /srv", "C /srv/page", "C /srv/page/leaf"}


def test_view_of_layers_tells_what_diff_tells(
    storage: Driver, client: Client, spec: ContainerSpec
) -> None:
    box = client.run(spec)
    ok(box, "echo more >> /etc/passwd; rm /etc/group; echo x > /new; rm -r /srv/page")
    sampler = layers_sampler(Subject.of(box.info))
    sampler.open()
    try:
        frame = sampler.sample()
        assert frame is not None
        assert (frame.driver, frame.layers[0].host_path) == (storage.value, box.info.upper)
        seen = {(one.path, one.mark) for one in frame.entries if one.mark is not Mark.UNCHANGED}
        assert seen == {
            ("/etc/passwd", Mark.MODIFIED),
            ("/etc/group", Mark.DELETED),
            ("/new", Mark.ADDED),
            ("/srv/page", Mark.DELETED),
        }
        ok(box, "mv /new /newer; echo root > /etc/group; mkdir -p /srv/page/deep")
        frame = sampler.sample()
        assert frame is not None
        marks = {one.path: one.mark for one in frame.entries}
        assert marks["/newer"] is Mark.ADDED
        assert "/new" not in marks
        assert marks["/etc/group"] is Mark.MODIFIED
        assert marks["/srv/page/deep"] is Mark.ADDED
    finally:
        sampler.close()


@pytest.mark.usefixtures("storage")
def test_container_that_never_ran_has_changed_nothing(client: Client, spec: ContainerSpec) -> None:
    box = client.create(spec)
    assert told(box) == set()


# --- by the command line -----------------------------------------------------------------------


def names_in(archive: Path) -> set[str]:
    with tarfile.open(archive) as tar:
        return {member.name.removeprefix("./") for member in tar}


def test_inspect_and_info_name_the_driver(storage: Driver, wardian: Wardian) -> None:
    out(wardian("create", "--name", "one", IMAGE))
    (found,) = json.loads(out(wardian("inspect", "one")))
    assert found["GraphDriver"]["Name"] == storage.value
    data = found["GraphDriver"]["Data"]
    assert os.path.isdir(data["UpperDir" if storage.has_upper else "RootDir"])
    out(wardian("tag", IMAGE, "another:1"))
    (image,) = json.loads(out(wardian("image", "inspect", IMAGE)))
    assert (image["GraphDriver"]["Name"], set(image["RepoTags"])) == (
        storage.value,
        {IMAGE, "another:1"},
    )
    style = ("--format", "{{.Driver}} {{.Containers}}")
    assert out(wardian("system", "info", *style)) == f"{storage.value} 1\n"
    assert refused(wardian("--storage-driver", "zfs", "ps"), 1).startswith("no storage driver")


@pytest.mark.usefixtures("storage")
def test_commit_holds_what_diff_tells_and_nothing_more(wardian: Wardian, tmp_path: Path) -> None:
    script = (
        "echo leaf > /leaf; rm /bin/vi; mkdir /deep; ln /leaf /deep/again; echo y >> /etc/group"
    )
    out(wardian("run", "--name", "one", IMAGE, "sh", "-c", script))
    told = set(out(wardian("diff", "one")).splitlines())
    assert {"A /leaf", "D /bin/vi", "A /deep", "A /deep/again", "C /etc/group"} <= told
    out(wardian("commit", "one", "made:1"))
    look = "cat /deep/again; stat -c %h /leaf; test ! -e /bin/vi"
    assert out(wardian("run", "--rm", "made:1", "sh", "-c", look)) == "leaf\n2\n"
    out(wardian("save", "-o", str(tmp_path / "made.tar"), "made:1"))
    (newest, *_) = json.loads(out(wardian("image", "inspect", "made:1")))[0]["RootFS"]["Layers"][
        ::-1
    ]
    with tarfile.open(tmp_path / "made.tar") as tar:
        blob = tar.extractfile(f"blobs/sha256/{newest.removeprefix('sha256:')}")
        assert blob is not None
        with tarfile.open(fileobj=io.BytesIO(blob.read())) as changed:
            names = {member.name.rstrip("/") for member in changed}
    assert names == {
        path if letter != "D" else f"{os.path.dirname(path)}/.wh.{os.path.basename(path)}"
        for letter, path in ((line[0], line[3:]) for line in told)
    }


@pytest.mark.usefixtures("storage")
def test_commit_of_what_is_unchanged_adds_no_layer(wardian: Wardian) -> None:
    out(wardian("run", "--name", "one", IMAGE, "true"))
    assert out(wardian("diff", "one")) == ""
    out(wardian("commit", "one", "made:1"))
    layers = [
        json.loads(out(wardian("image", "inspect", name)))[0]["RootFS"]["Layers"]
        for name in (IMAGE, "made:1")
    ]
    assert layers[0] == layers[1]


@pytest.mark.usefixtures("storage")
def test_layers_stay_as_long_as_a_container_is_on_them(wardian: Wardian) -> None:
    out(wardian("create", "--name", "one", IMAGE, "cat", "/etc/passwd"))
    assert "is used by the container one" in refused(wardian("rmi", IMAGE), 1)
    out(wardian("image", "prune", "-f", "-a"))
    assert out(wardian("start", "-a", "one")).startswith("root:")
    assert out(wardian("system", "check")).endswith("nothing is wrong\n")


@pytest.mark.usefixtures("storage")
def test_build_copies_runs_and_deletes(wardian: Wardian, tmp_path: Path) -> None:
    (tmp_path / "leaf").write_text("green\n")
    (tmp_path / "Dockerfile").write_text(
        f"FROM {IMAGE} AS one\nRUN mkdir /a && echo a > /a/file && rm /bin/vi\n"
        f"FROM {IMAGE}\nCOPY leaf /leaf\nCOPY --from=one /a /a\nWORKDIR /work\n"
        "RUN --mount=type=tmpfs,target=/gone echo b > b && rm /a/file /bin/vi\n"
    )
    out(wardian("build", "-q", "-t", "made", tmp_path.as_posix()))
    script = "cat /leaf /work/b; ls /a /bin/vi /gone 2>/dev/null || true"
    assert out(wardian("run", "--rm", "made", "sh", "-c", script)) == "green\nb\n/a:\n"
    assert out(wardian("system", "check")).endswith("nothing is wrong\n")


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root enters a container from without; run the tests as root"
)
@pytest.mark.usefixtures("storage")
def test_files_are_copied_and_exported(wardian: Wardian, tmp_path: Path) -> None:
    (tmp_path / "leaf").write_text("green\n")
    out(wardian("run", "--name", "one", IMAGE, "sh", "-c", "rm /bin/vi; echo new > /new"))
    out(wardian("cp", "-q", str(tmp_path / "leaf"), "one:/leaf"))
    out(wardian("cp", "-q", "one:/new", str(tmp_path / "new")))
    assert (tmp_path / "new").read_text() == "new\n"
    assert {"A /leaf", "A /new", "D /bin/vi"} <= set(out(wardian("diff", "one")).splitlines())
    out(wardian("export", "-o", str(tmp_path / "all.tar"), "one"))
    names = names_in(tmp_path / "all.tar")
    assert {"leaf", "new", "bin/busybox", "etc/passwd"} <= names
    assert "bin/vi" not in names


@pytest.mark.usefixtures("storage")
def test_volume_is_filled_from_the_image(wardian: Wardian, state: Path) -> None:
    run = ("run", "--rm", "-v", "vol:/etc", IMAGE)
    assert out(wardian(*run, "cat", "/etc/passwd")).startswith("root:")
    assert (state / "volumes/vol/_data/passwd").exists()
    assert out(wardian("system", "check")).endswith("nothing is wrong\n")


def test_disk_use_is_that_of_the_files(storage: Driver, wardian: Wardian) -> None:
    out(wardian("run", "--name", "one", IMAGE, "true"))
    rows = [
        json.loads(line) for line in out(wardian("system", "df", "--format", "json")).splitlines()
    ]
    used = next(row["SizeBytes"] for row in rows if row["Type"] == "Containers")
    assert (used < 1 << 19) is storage.has_upper  # a static busybox is larger
    out(wardian("system", "prune", "-f"))
    assert out(wardian("ps", "-aq")) == ""


# --- the fuse-overlayfs driver -----------------------------------------------------------------


def server_of(box: Container, state: Path) -> int:
    """The process that serves its files, as its keeper knows it."""
    return int((state / "containers" / box.info.id / "server").read_text().split()[0])


def is_running(host_pid: int) -> bool:
    try:
        return Path(f"/proc/{host_pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("storage", [Driver.FUSE], indirect=True, ids=["fuse-overlayfs"])
@pytest.mark.usefixtures("storage")
def test_server_of_files_ends_with_its_container_and_no_sooner(
    client: Client, spec: ContainerSpec, state: Path
) -> None:
    box = client.run(spec)
    server = server_of(box, state)
    assert Path(f"/proc/{server}/comm").read_text() == "fuse-overlayfs\n"
    assert "fuse" not in ok(box, "ps")
    if os.geteuid() == 0:
        status = Path(f"/proc/{server}/status").read_text()
        assert f"Uid:\t{box.info.first_host_id}\t" in status
        assert "NoNewPrivs:\t1" in status
    kill_keeper(state)
    with Client.connect(state) as again:
        adopted = again.container("box")
        assert ok(adopted, "cat /srv/page/leaf") == "green\n"
        os.kill(server, 9)  # it belongs to the test: whoever watches it now is the second keeper
        wait_until(lambda: not adopted.info.host_pid)
        assert adopted.info.exit_reason.startswith("fuse-overlayfs ended")
        adopted.start()
        server = server_of(adopted, state)
        adopted.remove(force=True)
        wait_until(lambda: not is_running(server))


def test_program_that_is_missing_is_named_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuse, "PATH", str(tmp_path))
    with pytest.raises(SetupError, match="fuse-overlayfs is not installed"):
        FuseSnapshotter(tmp_path / "state").prepare("one")
    assert os.listdir(tmp_path / "state/snapshots") == []


# --- the native driver -------------------------------------------------------------------------


@pytest.fixture
def copied(tmp_path: Path, layer: Callable[[str], Path]) -> tuple[Snapshot, Path]:
    """A native snapshot, and the layer that it is to be a copy of."""
    return NativeSnapshotter(tmp_path / "state").prepare("one"), layer("source")


def test_copy_keeps_all_that_a_file_is(copied: tuple[Snapshot, Path]) -> None:
    snapshot, source = copied
    (source / "folder").mkdir(mode=0o750)
    (source / "folder/file").write_text("x")
    (source / "folder/link").symlink_to("../nowhere")
    os.mkfifo(source / "pipe", 0o640)
    os.setxattr(source / "folder/file", "user.note", b"\0kept")
    (source / "folder/file").chmod(stat.S_ISUID | 0o711)
    with open(source / "hole", "wb") as file:
        file.seek(1 << 24)
        file.write(b"end")
    os.truncate(source / "hole", 1 << 32)
    for number, name in enumerate(("folder/file", "folder/link", "pipe", "hole", "folder")):
        os.utime(source / name, ns=(number, 10**18 + number), follow_symlinks=False)
    native.fill(snapshot, [source], IdShift())
    for name in ("folder", "folder/file", "folder/link", "pipe", "hole"):
        before, after = (source / name).lstat(), (snapshot.upper / name).lstat()
        for fact in ("st_mode", "st_uid", "st_gid", "st_mtime_ns"):
            assert getattr(before, fact) == getattr(after, fact), (name, fact)
    assert os.getxattr(snapshot.upper / "folder/file", "user.note") == b"\0kept"
    assert os.readlink(snapshot.upper / "folder/link") == "../nowhere"
    hole = (snapshot.upper / "hole").stat()
    assert hole.st_size == 1 << 32
    assert hole.st_blocks * 512 < 1 << 21
    with open(snapshot.upper / "hole", "rb") as file:
        file.seek(1 << 24)
        assert file.read(4) == b"end\0"


@needs_root
def test_copy_has_the_containers_owners_devices_and_capabilities(
    copied: tuple[Snapshot, Path],
) -> None:
    snapshot, source = copied
    (source / "file").write_text("x")
    os.chown(source / "file", 5, 7)
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    os.setxattr(source / "file", "security.capability", capability)
    (source / "stranger").touch()
    os.chown(source / "stranger", 1 << 20, 0)
    os.mknod(source / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    native.fill(snapshot, [source], IdShift.of(0x70000000))
    file = (snapshot.upper / "file").stat()
    assert (file.st_uid, file.st_gid) == (0x70000005, 0x70000007)
    value = os.getxattr(snapshot.upper / "file", "security.capability")
    assert value[4:20] == capability[4:]
    assert int.from_bytes(value[20:], "little") == 0x70000000
    assert (snapshot.upper / "stranger").stat().st_uid == 0x70000000 + 65534
    assert (snapshot.upper / "null").stat().st_rdev == os.makedev(1, 3)
    whole = replace(snapshot, first_host_id=0x70000000)
    assert list(changes(whole, [source])) == []


def test_copying_that_was_cut_short_begins_anew(copied: tuple[Snapshot, Path]) -> None:
    snapshot, source = copied
    (source / "file").write_text("whole")
    (snapshot.upper / "file").write_text("ha")
    (snapshot.upper / "left/over").mkdir(parents=True)
    native.fill(snapshot, [source], IdShift())
    assert os.listdir(snapshot.upper) == ["file"]
    assert (snapshot.upper / "file").read_text() == "whole"
    (snapshot.upper / "file").write_text("mine")
    native.fill(snapshot, [source], IdShift())
    assert (snapshot.upper / "file").read_text() == "mine"


FULL = """
import sys
from pathlib import Path
from wardian.errors import SetupError
from wardian.storage import native
from wardian.storage.packing import IdShift
from wardian.storage.snapshotter import Snapshot
snapshot = native.NativeSnapshotter(Path(sys.argv[1])).prepare("one")
try:
    native.fill(snapshot, [Path(sys.argv[2])], IdShift())
except SetupError as error:
    print(error.what, error.hint, native.filled_ns(snapshot), sep=chr(10))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts; run the tests as root")
def test_copy_on_a_full_disk_is_no_copy(tmp_path: Path, layer: Callable[[str], Path]) -> None:
    (layer("big") / "file").write_bytes(os.urandom(1 << 22))
    (tmp_path / "small").mkdir()
    script = f'mount -t tmpfs -o size=1m none {tmp_path}/small; exec "$0" -c "$@"'
    command = ["unshare", "-m", "sh", "-ec", script, sys.executable, FULL]
    places = [f"{tmp_path}/small/state", f"{tmp_path}/layers/big"]
    what, hint, filled = subprocess.check_output([*command, *places], text=True).splitlines()
    assert what.endswith("No space left on device")
    assert hint.startswith("free some space")
    assert filled == "None"
