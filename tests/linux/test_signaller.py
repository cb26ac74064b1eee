"""What a page asks of a container's processes reaches these, and nobody else."""

from __future__ import annotations

import json
import os
import queue
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from tests.linux.conftest import wait_until
from tests.linux.test_observe import Viewer, has_row, row
from wardian.bare.figures import PlainGroup
from wardian.errors import FailedPrecondition, NotFound
from wardian.linux.process import start_ticks
from wardian.observe.frames import ProcessesFrame, ProcessRow
from wardian.observe.processes import ProcessesSampler
from wardian.observe.subject import Subject
from wardian.runtime.container import Container, ContainerProcess
from wardian.runtime.spec import ContainerSpec, ProcessSpec
from wardian.runtime.state import Status
from wardian.widgets.feed import PULSE, Feed
from wardian.widgets.signaller import Freezing, Order

SLEEP = ProcessSpec(argv=("/bin/sleep", "1000"))
KILL, TERM, USR1, STOP = 9, 15, 10, 19


@pytest.fixture
def viewer(box: Container) -> Iterator[Viewer]:
    made = Viewer(ProcessesSampler(Subject.of(box.info)))
    yield made
    made.close()


def order(host_pid: int, signal: int = TERM) -> Order:
    """What a page asks that has seen the process which is there now."""
    return Order(number=1, signal=signal, host_pid=host_pid, start_ticks=start_ticks(host_pid) or 1)


def shell(box: Container, script: str) -> ContainerProcess:
    return box.spawn(ProcessSpec(argv=("/bin/sh", "-c", script)))


def seen(viewer: Viewer, comm: str) -> ProcessRow:
    return row(viewer.see(has_row(comm)), comm)


def test_signal_reaches_the_process_that_it_is_for(box: Container) -> None:
    with box.spawn(SLEEP) as process, box.spawn(SLEEP) as other:
        order(process.host_pid).carry_out(Subject.of(box.info))
        assert process.wait(30) == 128 + TERM
        assert start_ticks(other.host_pid) is not None


def test_a_page_is_told_what_came_of_its_order(box: Container) -> None:
    """After a frame that shows it."""
    told: queue.Queue[dict[str, Any]] = queue.Queue()

    def send(messages: Sequence[bytes]) -> None:
        for message in messages:
            told.put(json.loads(message))

    def answer() -> dict[str, Any]:
        while (message := told.get(timeout=60))["kind"] != "obeyed":
            pass
        return message

    feed = Feed("processes", lambda: Subject.of(box.info), send, freezer=box)
    feed.hear({"kind": "visible", "id": "a", "visible": True})
    with box.spawn(SLEEP) as process:
        asked = msgspec.to_builtins(order(process.host_pid))
        feed.hear({"kind": "signal", **asked, "start_ticks": asked["start_ticks"] + 1})
        assert answer() == {
            "kind": "obeyed",
            "number": 1,
            "problem": "nothing was sent: the process has ended",
        }
        feed.hear({"kind": "signal", **asked, "number": 2})
        assert answer() == {"kind": "obeyed", "number": 2, "problem": ""}
        assert process.wait(30) == 128 + TERM
    feed.hear({"kind": "freeze", "number": 3, "freeze": True})
    assert answer()["problem"] == ""
    assert box.info.status is Status.PAUSED
    feed.hear({"kind": "freeze", "number": 4, "freeze": False})
    assert answer()["problem"] == ""
    feed.close()
    assert PULSE.wait_stopped(60)


def test_process_of_the_host_is_refused(box: Container) -> None:
    subject = Subject.of(box.info)
    with subprocess.Popen(["/bin/sleep", "1000"]) as stranger:
        with pytest.raises(NotFound, match="none of the container's"):
            order(stranger.pid, KILL).carry_out(subject)
        with pytest.raises(NotFound, match="none of the container's"):
            replace(order(stranger.pid), is_tree=True).carry_out(subject)
        assert stranger.poll() is None
        stranger.terminate()
        assert stranger.wait() == -TERM  # not by what was refused


def test_pid_that_is_anothers_by_now_is_never_hit(box: Container) -> None:
    subject = Subject.of(box.info)
    with box.spawn(SLEEP) as process:
        now = order(process.host_pid, KILL)
        for was in (now.start_ticks - 1, now.start_ticks + 1):
            for is_tree in (False, True):
                with pytest.raises(NotFound, match="has ended"):
                    replace(now, start_ticks=was, is_tree=is_tree).carry_out(subject)
        order(process.host_pid, TERM).carry_out(subject)
        assert process.wait(30) == 128 + TERM


def test_a_tree_is_killed_to_the_last_one_and_nothing_beside_it(
    box: Container, viewer: Viewer
) -> None:
    """Also what forks without end while it is being killed."""
    script = "while :; do /bin/sleep 1000 & /bin/true; done"
    with box.spawn(SLEEP) as other, shell(box, f"({script}) & /bin/cat /dev/zero; :") as process:
        seen(viewer, "cat")
        viewer.see(lambda f: sum(r.comm == "sleep" for r in f.rows) > 3)
        replace(order(process.host_pid), is_tree=True).carry_out(Subject.of(box.info))
        assert process.wait(30) == 128 + KILL
        group = Subject.of(box.info).group
        wait_until(lambda: set(group.processes()) == {box.info.host_pid, other.host_pid})


def test_init_is_killed_only_if_that_was_confirmed(box: Container) -> None:
    subject, init = Subject.of(box.info), box.info.host_pid
    assert init is not None
    for slip in (order(init, KILL), replace(order(init), is_tree=True)):
        with pytest.raises(FailedPrecondition, match="would end with it"):
            slip.carry_out(subject)
    with pytest.raises(FailedPrecondition, match="ignores SIGTERM"):
        order(init).carry_out(subject)
    assert box.info.host_pid == init
    replace(order(init, KILL), is_confirmed=True).carry_out(subject)
    wait_until(lambda: box.info.host_pid is None)


def test_what_a_process_ignores_is_known_and_not_sent(box: Container, viewer: Viewer) -> None:
    assert set(seen(viewer, "wardian-init").ignored) >= {TERM, USR1}
    assert not {KILL, STOP} & set(seen(viewer, "wardian-init").ignored)
    with shell(box, "trap '' TERM; /bin/sleep 1000") as process:
        viewer.see(lambda f: any(r.comm == "sleep" and TERM in r.ignored for r in f.rows))
        with pytest.raises(FailedPrecondition, match="ignores SIGTERM"):
            order(process.host_pid).carry_out(Subject.of(box.info))
        order(process.host_pid, USR1).carry_out(Subject.of(box.info))
        assert process.wait(30) == 128 + USR1


def test_freezing_holds_all_processes_until_they_are_thawed(box: Container, viewer: Viewer) -> None:
    assert viewer.see(lambda _: True).is_frozen is False
    Freezing(1, freeze=True).carry_out(box)
    held = viewer.see(lambda f: f.is_frozen)
    Freezing(2, freeze=False).carry_out(box)
    viewer.see(lambda f: f.is_frozen is False and f.time_s > held.time_s)
    with pytest.raises(FailedPrecondition):
        Freezing(3, freeze=True).carry_out(None)


def test_plain_processes_are_signalled_as_well_and_only_these(tmp_path: Path) -> None:
    script = "/bin/sleep 1000 & /bin/sleep 1000 & wait $!"
    with (
        subprocess.Popen(["/bin/sh", "-c", script]) as parent,
        subprocess.Popen(["/bin/sleep", "1000"]) as stranger,
    ):
        group = PlainGroup(parent.pid)
        subject = Subject(
            name="none",
            init_host_pid=parent.pid,
            lowers=(),
            upper=tmp_path,
            work=tmp_path,
            group=group,
            is_container=False,
        )
        wait_until(lambda: len(group.processes()) == 3)
        first, second = group.processes()[1:]
        replace(order(first), is_tree=True).carry_out(subject)
        order(second).carry_out(subject)
        with pytest.raises(NotFound):
            order(stranger.pid).carry_out(subject)
        with pytest.raises(FailedPrecondition):
            order(parent.pid, KILL).carry_out(subject)
        assert parent.wait(30) in (128 + KILL, 128 + TERM)
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"number": 1, "signal": KILL},
        {"number": 1, "signal": 11, "host_pid": 1, "start_ticks": 1},
        {"number": 1, "signal": KILL, "host_pid": -1, "start_ticks": 1},
        {"number": 1, "signal": KILL, "host_pid": 1 << 40, "start_ticks": 1},
        {"number": 1, "signal": "KILL", "host_pid": 1, "start_ticks": 1},
        {"number": 1, "signal": KILL, "host_pid": 1, "start_ticks": 1, "is_confirmed": 1},
    ],
)
def test_nonsense_is_no_order(content: dict[str, object]) -> None:
    assert Order.of(content) is None


@pytest.fixture
def spec(busybox_layer: os.PathLike[str]) -> ContainerSpec:
    """One in which namespaces can be made."""
    return ContainerSpec(
        name="box", image="busybox", lowers=(str(busybox_layer),), cap_add=("SYS_ADMIN",)
    )


def test_namespaces_of_its_own_are_told_from_the_containers(box: Container, viewer: Viewer) -> None:
    """An ordinary user is not shown init's: there the first process that is stands for it."""
    with shell(box, "exec /bin/cat /dev/zero") as plain:
        viewer.see(has_row("cat", namespaces={}))
        with shell(box, "exec unshare -n -u /bin/sleep 1000") as process:
            frame: ProcessesFrame = viewer.see(
                lambda f: any(r.comm == "sleep" and r.namespaces for r in f.rows)
            )
            own = {kind: inode(process.host_pid, kind) for kind in ("net", "uts")}
            assert row(frame, "sleep").namespaces == own
            assert row(frame, "cat").namespaces == {}
            assert frame.namespaces["mnt"] == inode(plain.host_pid, "mnt")
            assert frame.host_namespaces["mnt"] == inode("self", "mnt")
            assert not own.items() & {**frame.namespaces, **frame.host_namespaces}.items()


def inode(host_pid: int | str, kind: str) -> int:
    return os.stat(f"/proc/{host_pid}/ns/{kind}").st_ino


def test_ancestors_of_init_lead_to_the_keeper_and_beyond(box: Container, viewer: Viewer) -> None:
    frame: ProcessesFrame = viewer.see(lambda f: f.ancestors)
    parents = {one.host_pid: one for one in frame.ancestors}
    init = row(frame, "wardian-init")
    assert init.parent_host_pid is not None
    keeper = parents[init.parent_host_pid]
    assert "wardian-keeper" in keeper.comm
    assert os.stat(f"/proc/{keeper.host_pid}").st_uid == os.geteuid()
