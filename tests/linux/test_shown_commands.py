"""What a view shows as a command says, run by sh as root, what the view says."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.linux.conftest import shell, wait_until
from tests.linux.program import IMAGE
from tests.linux.shown_commands import Shown, run, say
from wardian.cgroups.limits import Limits
from wardian.images.resolve import resolve
from wardian.images.store import ImageStore
from wardian.observe import image
from wardian.observe.copied import layers_sampler
from wardian.observe.frames import LayersFrame, ProcessesFrame, ResourcesFrame
from wardian.observe.label import label
from wardian.observe.layers import LayersSampler
from wardian.observe.processes import ProcessesSampler
from wardian.observe.pulse import Sampler
from wardian.observe.resources import ResourcesSampler
from wardian.observe.subject import Subject
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.spec import ContainerSpec, ProcessSpec
from wardian.storage.driver import VARIABLE, Driver

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root may ask of a container; run the tests as root"
)
HOSTILE = "/srv/$(id)'\x1b[2J\n; echo \udcff!"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return Shown.bundled(tmp_path_factory.mktemp("shown"))


def frame_of(kind: Callable[[Subject], Sampler[Any]], box: Container) -> Any:
    """One look."""
    sampler = kind(Subject.of(box.info))
    sampler.open()
    try:
        return sampler.sample()
    finally:
        sampler.close()


def test_the_overlays_commands_say_what_the_view_says(box: Container, shown: Shown) -> None:
    shell(box, "echo more >> /etc/passwd; rm /etc/group; rm -r /srv/page; mkdir /srv/page")
    upper = box.info.upper
    Path(f"{upper}{HOSTILE}").write_text("12345")
    frame: LayersFrame = frame_of(LayersSampler, box)
    lines = shown.lines(frame)

    assert "overlay" in say(lines, "findmnt ")
    listed = os.fsencode(say(lines, f"find {upper} ", end="1"))
    assert listed.count(b"/passwd\n") == 1
    assert f"0,0 {upper}/etc/group" in say(lines, f"find {upper} ", end="+").splitlines()
    assert int(say(lines, f"find {upper} ", end="}'")) == frame.upper_bytes

    lines = shown.lines(frame, "/etc/passwd")
    assert say(lines, f"stat {upper}/etc/passwd") != say(lines, f"stat {box.info.lowers[0]}/")
    assert say(lines, "diff ", code=1).endswith("\n+more\n")
    assert "regular file" in say(lines, "stat /proc/")
    lines = shown.lines(frame, label(HOSTILE))
    assert "Size: 5 " in say(lines, f"stat \"$(printf '{upper}").replace("\t", " ")


def test_the_mount_line_makes_the_tree_that_the_container_saw(box: Container, shown: Shown) -> None:
    shell(box, "echo hello > /tmp/new; rm /etc/group")
    frame = frame_of(LayersSampler, box)
    box.stop(timeout_s=0)
    (line,) = [one for one in shown.lines(frame) if one.startswith("mount -t")]
    seen = run(["unshare", "--mount", "/bin/sh", "-c", f"{line} && ls /mnt/tmp /mnt/etc"])
    assert "new" in seen.split()
    assert "passwd" in seen.split()
    assert "group" not in seen.split()


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state root of the test has this driver."""
    monkeypatch.setenv(VARIABLE, Driver.NATIVE.value)


@pytest.mark.usefixtures("native")
def test_a_copys_commands_say_what_the_view_says(
    client: Client, spec: ContainerSpec, shown: Shown
) -> None:
    box = client.run(spec)
    shell(box, "echo more >> /etc/passwd; rm /etc/group; echo x > /new")
    frame: LayersFrame = frame_of(layers_sampler, box)
    lines = shown.lines(frame, "/etc/passwd")
    assert f"[{box.info.upper}]" in say(lines, "findmnt ")
    assert int(say(lines, "du ").split()[0]) > 1 << 19  # a static busybox is larger
    base = box.info.lowers[0]
    differences = say(lines, f"diff -rq --no-dereference {base} ", code=1).splitlines()
    assert f"Only in {box.info.upper}: new" in differences
    assert f"Only in {base}/etc: group" in differences
    assert say(lines, "diff -u ", code=1).endswith("\n+more\n")
    lines = shown.lines(frame, "/etc/group")
    assert "regular" in say(lines, f"stat {base}/etc/group")


def test_a_process_is_known_by_the_same_pids(box: Container, shown: Shown) -> None:
    with box.spawn(ProcessSpec(argv=("/bin/sleep", "1000"))) as process:
        frame: ProcessesFrame = frame_of(ProcessesSampler, box)
        (row,) = [one for one in frame.rows if one.comm == "sleep"]
        lines = shown.lines(frame, row.key)
        pids = [row.host_pid, *row.container_pids]
        assert say(lines, "grep NSpid ").split()[-len(pids) :] == [str(pid) for pid in pids]
        assert say(lines, "tr ").split() == row.args.split()
        assert str(row.host_pid) in say(lines, "ps -o ").split()
        assert f"{row.host_pid} " in say(lines, "pgrep ")
        assert "pid" in say(lines, "lsns ", end=f" {row.host_pid}").split()
        inside = [line.split() for line in say(lines, "nsenter ", end=" ps").splitlines()]
        assert [str(process.container_pid), "/bin/sleep"] in [[w[0], w[-2]] for w in inside if w]
        spaces = say(lines, "readlink ").splitlines()
        assert {f"{kind}:[{inode}]" for kind, inode in frame.namespaces.items()} <= {*spaces}
        freeze, thaw = (line for line in lines if line.startswith("echo "))
        run(["/bin/sh", "-c", freeze])
        wait_until(lambda: bool(frame_of(ProcessesSampler, box).is_frozen))
        run(["/bin/sh", "-c", thaw])
        wait_until(lambda: not frame_of(ProcessesSampler, box).is_frozen)
        say(lines, "kill -s TERM")
        assert process.wait(30) == 128 + 15


def test_figures_and_limits_are_those_of_the_cgroups_files(box: Container, shown: Shown) -> None:
    box.update(Limits(memory_bytes=64 << 20, cpus=0.5, pids=77))
    frame: ResourcesFrame = frame_of(ResourcesSampler, box)
    lines = shown.lines(frame)
    v1 = "memory" in frame.cgroup_host_paths
    (limit,) = [one for one in lines if one.endswith(("memory.max", "limit_in_bytes"))][:1]
    assert int(run(["/bin/sh", "-c", limit])) == frame.memory_limit_bytes == 64 << 20
    assert int(say(lines, "cat ", end="pids.max")) == frame.pids_limit == 77
    assert int(say(lines, "cat ", end="pids.current")) == frame.pids_current
    assert say(lines, "cat ", end="pids.events") == f"max {frame.pids_refused}\n"
    averages = [line for line in lines if line.startswith("grep -H . ")]
    assert len(averages) == bool(frame.pressure)
    for line in averages:
        said = run(["/bin/sh", "-c", line])
        assert {"cpu.pressure:some avg10=", "io.pressure:full avg10="} <= {
            f"{word.rpartition('/')[2].partition('=')[0]}=" for word in said.splitlines()
        }
    quota = say(lines, "cat ", end="cpu.cfs_quota_us" if v1 else "cpu.max").split()[0]
    assert int(quota) == 50_000

    other = replace(frame, memory_limit_bytes=32 << 20, cpu_limit_percent=150.0, pids_limit=55)
    for line in shown.lines(other):
        if line.startswith("echo "):
            run(["/bin/sh", "-c", line])
    now: ResourcesFrame = frame_of(ResourcesSampler, box)
    assert (now.memory_limit_bytes, now.cpu_limit_percent, now.pids_limit) == (32 << 20, 150.0, 55)


def test_an_images_parts_are_where_the_commands_look(state: Path, shown: Shown) -> None:
    store = ImageStore(state)
    resolve(store, IMAGE)
    frame = image.look(store, IMAGE)
    lines = shown.lines(frame, 0)
    layer = frame.layers[0]
    assert {row.path for row in layer.largest} <= {
        f"/{path}" for path in say(lines, "tar ").split("\n")
    }
    assert say(lines, "sha256sum ").split()[0] == layer.blob.digest.removeprefix("sha256:")
    assert say(lines, "", end="| sha256sum").split()[0] == layer.diff_id.removeprefix("sha256:")
    assert json.loads(say(lines, "skopeo "))["Layers"] == [one.blob.digest for one in frame.layers]
    assert json.loads(say(lines, "wardian "))[0]["Id"] == frame.manifest.digest
    assert frame.config.digest in say(lines, "cat ", end=frame.manifest.digest[7:])
