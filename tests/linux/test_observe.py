"""What the samplers show of a real container is what the kernel says of it at that moment."""

from __future__ import annotations

import gc
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.linux.conftest import shell
from wardian.cgroups.limits import Limits
from wardian.errors import FailedPrecondition, WardianError
from wardian.observe.cells import Cells
from wardian.observe.frames import (
    Kind,
    LayersFrame,
    Limited,
    Mark,
    ProcessesFrame,
    ProcessRow,
    ResourcesFrame,
    Source,
    State,
    UpperEntry,
)
from wardian.observe.layers import LayersSampler
from wardian.observe.processes import ProcessesSampler
from wardian.observe.pulse import Pulse, Sampler
from wardian.observe.resources import ResourcesSampler
from wardian.observe.subject import Subject
from wardian.observe.wire import Frame
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.spec import ContainerSpec, ProcessSpec
from wardian.widgets.feed import Feed

PATIENCE_S = 60.0
MIB = 1 << 20


class Viewer:
    """Looks at one container as a view does, and waits until it sees something."""

    def __init__(self, sampler: Sampler[Any]) -> None:
        self.frames: list[Frame] = []
        self.error: WardianError | None = None
        self._heard = threading.Condition()
        self._pulse = Pulse()
        self._watch = self._pulse.watch(sampler, self._publish, self._fail)

    def see(self, condition: Callable[[Any], object]) -> Any:
        """The first frame for which the condition holds."""
        with self._heard:
            assert self._heard.wait_for(
                lambda: any(condition(frame) for frame in self.frames), PATIENCE_S
            ), f"not seen in {len(self.frames)} frames; the last: {self.frames[-1:]}"
            return next(frame for frame in self.frames if condition(frame))

    def see_error(self) -> WardianError:
        """The error that ended the watch."""
        with self._heard:
            assert self._heard.wait_for(lambda: self.error is not None, PATIENCE_S)
        assert self.error is not None
        return self.error

    def close(self) -> None:
        """Look away: nothing is sampled any more."""
        self._watch.close()
        assert self._pulse.wait_stopped(PATIENCE_S)

    def _publish(self, frame: Frame) -> None:
        with self._heard:
            self.frames.append(frame)
            self._heard.notify_all()

    def _fail(self, error: WardianError) -> None:
        with self._heard:
            self.error = error
            self._heard.notify_all()


@pytest.fixture
def look(box: Container) -> Iterator[Callable[[type[Any]], Viewer]]:
    """Start looking at the box through a sampler.

    What pytest remembers of thousands of tests is no garbage to be looked through in the pulse's
    thread: a view is charged for all that its thread does, and waits until it has paid.
    """
    viewers: list[Viewer] = []
    gc.freeze()

    def start(sampler: type[Any]) -> Viewer:
        viewers.append(Viewer(sampler(Subject.of(box.info))))
        viewers[-1].see(lambda _: True)
        return viewers[-1]

    yield start
    for viewer in viewers:
        viewer.close()
    gc.unfreeze()


def entry(frame: LayersFrame, path: str) -> UpperEntry:
    return next(entry for entry in frame.entries if entry.path == path)


def row(frame: ProcessesFrame, comm: str) -> ProcessRow:
    return next(row for row in frame.rows if row.comm == comm)


def layer_of_image(box: Container) -> str:
    """The name of the busybox layer; the runtime may put its own below."""
    place = next(n for n, path in enumerate(box.info.lowers) if "busybox" in path)
    return f"lower {len(box.info.lowers) - 1 - place}"


def has_entry(path: str, **facts: object) -> Callable[[LayersFrame], bool]:
    """Whether a frame has an entry for which these facts hold."""
    return lambda frame: any(e.path == path and _holds(e, facts) for e in frame.entries)


def has_row(comm: str, **facts: object) -> Callable[[ProcessesFrame], bool]:
    """Whether a frame has a process for which these facts hold."""
    return lambda frame: any(r.comm == comm and _holds(r, facts) for r in frame.rows)


def _holds(item: object, facts: dict[str, object]) -> bool:
    return all(getattr(item, name) == value for name, value in facts.items())


Look = Callable[[type[Any]], Viewer]


def test_write_in_the_container_is_seen_in_the_upper_layer(box: Container, look: Look) -> None:
    viewer = look(LayersSampler)
    shell(box, "echo hello > /tmp/new")
    frame = viewer.see(has_entry("/tmp/new", size_bytes=6))
    assert entry(frame, "/tmp/new").mark is Mark.ADDED
    assert entry(frame, "/tmp").mark is Mark.UNCHANGED
    assert frame.source is Source.EVENTS


def test_appending_to_a_file_of_the_image_copies_it_up(
    box: Container, look: Look, busybox_layer: Path
) -> None:
    size = (busybox_layer / "etc/passwd").stat().st_size
    viewer = look(LayersSampler)
    shell(box, "printf x >> /etc/passwd")
    frame = viewer.see(has_entry("/etc/passwd", size_bytes=size + 1))
    seen = entry(frame, "/etc/passwd")
    assert (seen.mark, seen.hides, seen.hidden_bytes) == (Mark.MODIFIED, layer_of_image(box), size)


def test_file_that_goes_on_growing_is_seen_to_grow(box: Container, look: Look) -> None:
    viewer = look(LayersSampler)
    shell(box, "for i in 1 2 3; do printf 12345 >> /tmp/log; done")
    viewer.see(has_entry("/tmp/log", size_bytes=15))
    shell(box, "printf 12345 >> /tmp/log")
    viewer.see(has_entry("/tmp/log", size_bytes=20))


def test_removing_a_file_of_the_image_leaves_a_whiteout(box: Container, look: Look) -> None:
    viewer = look(LayersSampler)
    shell(box, "rm /etc/group")
    frame = viewer.see(has_entry("/etc/group"))
    seen = entry(frame, "/etc/group")
    assert (seen.mark, seen.kind) == (Mark.DELETED, Kind.WHITEOUT)
    assert seen.hides == layer_of_image(box)


def test_directory_that_replaces_one_of_the_image_is_opaque(box: Container, look: Look) -> None:
    viewer = look(LayersSampler)
    shell(box, "rm -r /srv/page; mkdir /srv/page; touch /srv/page/leaf")
    frame = viewer.see(has_entry("/srv/page/leaf", kind=Kind.FILE, size_bytes=0))
    assert entry(frame, "/srv/page").is_opaque
    assert entry(frame, "/srv/page/leaf").mark is Mark.ADDED


def test_frames_agree_with_the_upper_directory(box: Container, look: Look) -> None:
    viewer = look(LayersSampler)
    shell(box, "mkdir -p /a/b/c; cp -r /etc /a/b/c; mv /a/b /moved; rm -r /moved/c/etc; rm /bin/ls")
    upper = Path(box.info.upper)
    there = {"/" + str(path.relative_to(upper)) for path in upper.rglob("*")}
    viewer.see(lambda f: {e.path for e in f.entries} == there)


def test_symlink_out_of_the_container_is_shown_and_not_followed(box: Container, look: Look) -> None:
    viewer = look(LayersSampler)
    shell(box, "ln -s /proc/1/root /tmp/out; ln -s ../../../../../../.. /tmp/up")
    frame = viewer.see(lambda f: has_entry("/tmp/up")(f) and has_entry("/tmp/out")(f))
    assert {e.kind for e in frame.entries if e.path.startswith("/tmp/")} == {Kind.SYMLINK}


def test_process_is_seen_with_its_pid_on_both_sides(box: Container, look: Look) -> None:
    viewer = look(ProcessesSampler)
    with box.spawn(ProcessSpec(argv=("/bin/sleep", "1000"))) as process:
        frame = viewer.see(has_row("sleep"))
        seen = row(frame, "sleep")
        assert (seen.host_pid, seen.container_pids) == (process.host_pid, (process.container_pid,))
        assert seen.args == "/bin/sleep 1000"
        assert seen.uid == 0
        assert seen.host_uid == os.stat(f"/proc/{process.host_pid}").st_uid
        process.signal(9)
        viewer.see(has_row("sleep", exit_status=137, state=State.DEAD))


def test_children_hang_below_their_parent(box: Container, look: Look) -> None:
    viewer = look(ProcessesSampler)
    argv = ("/bin/sh", "-c", "/bin/sleep 1000 & wait")
    with box.spawn(ProcessSpec(argv=argv)) as process:
        frame = viewer.see(has_row("sleep"))
        assert row(frame, "sleep").parent_host_pid == process.host_pid
        process.signal(9)
        # Its parent dead, the child is init's: the kernel reparents it.
        viewer.see(has_row("sleep", parent_host_pid=box.info.host_pid))


def test_process_that_lives_a_moment_is_seen(box: Container, look: Look) -> None:
    viewer = look(ProcessesSampler)
    shell(box, "/bin/true; exit 3")
    viewer.see(lambda f: any(r.exit_status == 3 for r in f.rows))
    # Maybe in another frame: on a slow machine its ghost has gone before its parent's comes.
    frame = viewer.see(lambda f: any(r.exit_status == 0 and r.state is State.DEAD for r in f.rows))
    assert frame.source is Source.EVENTS


def test_only_processes_of_the_container_are_shown(
    box: Container, look: Look, client: Client, spec: ContainerSpec
) -> None:
    other = client.run(ContainerSpec(name="other", image="busybox", lowers=spec.lowers))
    viewer = look(ProcessesSampler)
    with (
        other.spawn(ProcessSpec(argv=("/bin/sleep", "1000"))),
        box.spawn(ProcessSpec(argv=("/bin/cat", "/dev/zero"))),
    ):
        frame = viewer.see(has_row("cat"))
        assert not has_row("sleep")(frame)
        assert {r.host_pid for r in frame.rows if r.ended_s is None} <= set(
            Subject.of(box.info).group.processes()
        )


def test_command_line_of_a_hostile_process_is_escaped(box: Container, look: Look) -> None:
    viewer = look(ProcessesSampler)
    with box.spawn(ProcessSpec(argv=("/bin/sleep", "1000", "\x1b[2J"))):
        pass
    with box.spawn(ProcessSpec(argv=("/bin/sh", "-c", ": \x1b[2J; /bin/sleep 1000; :"))):
        frame = viewer.see(lambda f: any("\\x1b[2J" in r.args for r in f.rows))
        assert not any("\x1b" in r.args for r in frame.rows)


def test_without_the_connector_processes_are_seen_all_the_same(box: Container) -> None:
    viewer = Viewer(ProcessesSampler(Subject.of(box.info), use_connector=False))
    with box.spawn(ProcessSpec(argv=("/bin/sleep", "1000"))):
        assert viewer.see(has_row("sleep")).source is Source.POLLING
    viewer.close()


@pytest.fixture
def spec(busybox_layer: Path) -> ContainerSpec:
    return ContainerSpec(
        name="box",
        image="busybox",
        lowers=(str(busybox_layer),),
        limits=Limits(memory_bytes=64 * MIB, memory_swap_bytes=64 * MIB, cpus=0.5, pids=50),
    )


def test_limits_shown_are_those_of_the_container(look: Look) -> None:
    frame = look(ResourcesSampler).see(lambda _: True)
    assert frame.memory_limit_bytes == 64 * MIB
    assert frame.cpu_limit_percent == 50.0
    assert frame.pids_limit == 50


def test_allocation_is_seen_in_current_memory_and_peak(box: Container, look: Look) -> None:
    viewer = look(ResourcesSampler)
    command = "exec dd if=/dev/zero of=/dev/null bs=20M count=1000000"
    with box.spawn(ProcessSpec(argv=("/bin/sh", "-c", command))) as process:
        viewer.see(lambda f: f.memory_current_bytes > 20 * MIB and f.memory_peak_bytes > 20 * MIB)
        process.signal(9)
    last = viewer.see(
        lambda f: f.memory_peak_bytes > 20 * MIB and f.memory_current_bytes < 20 * MIB
    )
    usage = Subject.of(box.info).group.usage()
    assert usage.memory_peak_bytes == last.memory_peak_bytes


def test_busy_loop_is_throttled_at_its_quota(box: Container, look: Look) -> None:
    viewer = look(ResourcesSampler)
    with box.spawn(ProcessSpec(argv=("/bin/sh", "-c", "while :; do :; done"))) as process:
        viewer.see(lambda f: f.cpu_percent and f.throttled_percent)
        process.signal(9)


# A shell that takes memory once it is told to, so that it is known before.
GREEDY = "until [ -e /tmp/go ]; do /bin/sleep 0.05; done; a=xxxx; while :; do a=$a$a; done"


def test_out_of_memory_kill_is_counted_with_its_victim_and_cell(box: Container) -> None:
    cells = Cells()
    cells.note(4, begins=True)
    with box.spawn(ProcessSpec(argv=("/bin/sh", "-c", GREEDY))) as process:
        viewer = Viewer(ResourcesSampler(replace(Subject.of(box.info), cells=cells)))
        viewer.see(lambda _: True)
        shell(box, "touch /tmp/go")
        frame = viewer.see(lambda f: f.hits and f.hits[0].comm)
        assert process.wait(PATIENCE_S) == 137
        (hit,) = frame.hits
        assert (hit.what, hit.number, frame.oom_kills) == (Limited.MEMORY, 1, 1)
        assert (hit.comm, hit.container_pid, hit.cell) == ("sh", process.container_pid, 4)
    viewer.close()


def test_process_count_is_that_of_the_group(box: Container, look: Look) -> None:
    viewer = look(ResourcesSampler)
    before = viewer.see(lambda _: True).pids_current
    with box.spawn(ProcessSpec(argv=("/bin/sleep", "1000"))) as process:
        viewer.see(lambda f: f.pids_current == before + 1)
        process.signal(9)


def test_refused_forks_are_those_that_the_group_counts(box: Container, look: Look) -> None:
    viewer = look(ResourcesSampler)
    box.update(Limits(pids=4))
    shell(box, "for n in 1 2 3 4 5 6; do /bin/sleep 1000 >/dev/null 2>&1 & done")
    frame = viewer.see(lambda f: f.hits)
    assert frame.hits[0].what is Limited.PIDS
    viewer.see(lambda f: f"max {f.pids_refused}" in of_group(box, "pids.events"))


def of_group(box: Container, *names: str) -> str:
    """The text of the first of these files that the box's group has; "" without one."""
    files = [Path(path, name) for name in names for path in box.info.cgroups.values()]
    return next((file.read_text() for file in files if file.exists()), "")


def test_pressure_is_what_the_groups_files_say(box: Container, look: Look) -> None:
    viewer = look(ResourcesSampler)
    if not of_group(box, "cpu.pressure"):
        assert viewer.see(lambda _: True).pressure == {}
        return
    with box.spawn(ProcessSpec(argv=("/bin/sh", "-c", "while :; do :; done"))) as process:
        viewer.see(lambda f: f.pressure["cpu"].some_10)  # at its quota it waits
        process.signal(9)

    def is_told(frame: ResourcesFrame) -> bool:
        return all(
            f"some avg10={pressure.some_10:.2f} avg60={pressure.some_60:.2f} "
            in of_group(box, f"{resource}.pressure")
            and f"full avg10={pressure.full_10:.2f} avg60={pressure.full_60:.2f} "
            in of_group(box, f"{resource}.pressure")
            for resource, pressure in frame.pressure.items()
        )

    assert set(viewer.see(is_told).pressure) == {"cpu", "memory", "io"}


def test_bytes_to_and_from_disks_are_what_the_group_counts(box: Container, look: Look) -> None:
    viewer = look(ResourcesSampler)
    shell(box, "/bin/dd if=/dev/zero of=/srv/file bs=1M count=2 conv=fsync")

    def counted(v1: str, v2: str) -> int | None:
        text = of_group(box, "blkio.throttle.io_service_bytes", "io.stat")
        found = re.findall(rf"(?:^\S+ {v1} |\b{v2}=)(\d+)", text, re.MULTILINE)
        is_v2 = "unified" in box.info.cgroups and len(box.info.cgroups) == 1
        return sum(map(int, found)) if found or (is_v2 and text) else None

    frame = viewer.see(
        lambda f: (
            (f.io_read_bytes, f.io_written_bytes)
            == (counted("Read", "rbytes"), counted("Write", "wbytes"))
        )
    )
    assert (frame.io_written_bytes is None) is (frame.io_read_bytes is None)


def test_slabs_and_the_high_mark_are_those_of_cgroup_v2_or_unknown(
    box: Container, look: Look
) -> None:
    viewer = look(ResourcesSampler)
    if "memory" in box.info.cgroups:
        frame = viewer.see(lambda _: True)
        is_listed = of_group(box, "memory.kmem.slabinfo") != ""
        assert (frame.memory_slab_bytes is not None) is is_listed
        return
    box.update(Limits(memory_bytes=64 * MIB, memory_high_bytes=48 * MIB))
    viewer.see(lambda f: f.memory_high_bytes == 48 * MIB)
    viewer.see(lambda f: f"\nslab {f.memory_slab_bytes}\n" in of_group(box, "memory.stat"))


def test_limit_in_force_is_the_least_of_the_group_and_those_above(box: Container) -> None:
    sampler = ResourcesSampler(Subject.of(box.info))
    found = sampler.ancestry()
    own = len(found.levels) - 1
    assert found.in_force == {"memory": own, "cpu": own, "pids": own}
    assert found.levels[own].limits == {"memory": 64 * MIB, "cpu": 0.5, "pids": 50}
    above = Path(found.levels[own - 1].files["memory"])
    before = above.read_text()
    above.write_text(str(32 * MIB))
    try:
        feed_says: list[bytes] = []
        told = threading.Event()

        def hear(messages: Sequence[bytes]) -> None:
            feed_says.extend(one for one in messages if b'"ancestry"' in one)
            if feed_says:
                told.set()

        feed = Feed("resources", lambda: Subject.of(box.info), hear)
        feed.hear({"kind": "visible", "id": "page", "visible": True})
        feed.hear({"kind": "ancestry"})
        assert told.wait(PATIENCE_S)
        feed.close()
    finally:
        above.write_text("max" if "max" in before else "-1")
    message = json.loads(feed_says[0])
    assert message["in_force"] == {"memory": own - 1, "cpu": own, "pids": own}
    assert message["levels"][own - 1]["limits"]["memory"] == 32 * MIB


def test_view_of_a_stopped_container_says_so(box: Container, look: Look) -> None:
    viewers = [look(kind) for kind in (LayersSampler, ProcessesSampler, ResourcesSampler)]
    box.stop(timeout_s=0.1)
    for viewer in viewers:
        error = viewer.see_error()
        assert isinstance(error, FailedPrecondition)
        assert re.search("'box' is not running", str(error))
    with pytest.raises(FailedPrecondition):
        Subject.of(box.info)
