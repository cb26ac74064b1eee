"""The kernel's own news: processes by the proc connector, files by inotify."""

from __future__ import annotations

import os
import select
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.linux.child import in_child
from wardian.errors import KernelRefused
from wardian.linux.inotify import Event, Inotify, Mask
from wardian.linux.namespaces import CLONE_NEWUSER
from wardian.linux.proc_connector import ProcConnector, ProcEvent, What

# --- processes -------------------------------------------------------------------------------


@pytest.fixture
def connector() -> Iterator[ProcConnector]:
    if os.geteuid() != 0:
        pytest.skip("only root hears of processes; run the tests as root")
    connector = ProcConnector.open()
    assert connector is not None
    yield connector
    connector.close()


def heard(
    connector: ProcConnector, is_enough: Callable[[list[ProcEvent]], bool]
) -> list[ProcEvent]:
    """Events until there are enough of them; those of other people's processes too."""
    events: list[ProcEvent] = []
    while not is_enough(events):
        assert select.select([connector], [], [], 10)[0], events
        more, was_lossy = connector.read()
        assert not was_lossy
        events += more
    return events


def test_life_of_a_process_is_told_from_fork_to_exit(connector: ProcConnector) -> None:
    child = os.fork()
    if child == 0:
        os.execv("/bin/sh", ["sh", "-c", "exit 3"])
    os.waitpid(child, 0)

    def has_ended(events: list[ProcEvent]) -> bool:
        return any(event.what is What.EXIT and event.host_pid == child for event in events)

    events = [event for event in heard(connector, has_ended) if event.host_pid == child]
    told = [event for event in events if event.what is not What.COMM]
    assert told == [
        ProcEvent(What.FORK, child, parent_host_pid=os.getpid()),
        ProcEvent(What.EXEC, child),
        ProcEvent(What.EXIT, child, wait_status=3 << 8),
    ]


def test_no_news_is_read_without_waiting(connector: ProcConnector) -> None:
    assert not os.get_blocking(connector.fileno())
    for _ in range(1000):
        if connector.read(max_events=1) == ([], False):
            return  # a moment without anybody's processes
    pytest.fail("read() never came to an end of the news")


def test_subscription_that_the_kernel_ignores_is_none(connector: ProcConnector) -> None:
    """Even while another one makes the news flow."""
    assert in_child(lambda: ProcConnector.open() is None, CLONE_NEWUSER)


# --- files -----------------------------------------------------------------------------------


@pytest.fixture
def inotify() -> Iterator[Inotify]:
    inotify = Inotify()
    yield inotify
    inotify.close()


def watch(inotify: Inotify, directory: Path) -> int:
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return inotify.add(fd)
    finally:
        os.close(fd)


def masks(events: list[Event], name: str) -> Mask:
    """Everything that was told of one name."""
    found = Mask(0)
    for event in events:
        if event.name == name:
            found |= Mask(event.mask)
    return found


def test_changes_of_a_directory_are_told_by_name(inotify: Inotify, tmp_path: Path) -> None:
    wd = watch(inotify, tmp_path)
    (tmp_path / "leaf").write_text("green")
    (tmp_path / "leaf").chmod(0o600)
    (tmp_path / "leaf").rename(tmp_path / "blade")
    (tmp_path / "twig").mkdir()
    (tmp_path / "blade").unlink()
    assert select.select([inotify], [], [], 10)[0]
    events = inotify.read()
    assert {event.wd for event in events} == {wd}
    leaf, blade, twig = (masks(events, name) for name in ("leaf", "blade", "twig"))
    assert leaf == (
        Mask.IN_CREATE | Mask.IN_MODIFY | Mask.IN_CLOSE_WRITE | Mask.IN_ATTRIB | Mask.IN_MOVED_FROM
    )
    assert blade == Mask.IN_MOVED_TO | Mask.IN_DELETE
    assert twig == Mask.IN_CREATE | Mask.IN_ISDIR


def test_directory_has_one_watch_however_often_it_is_added(
    inotify: Inotify, tmp_path: Path
) -> None:
    assert watch(inotify, tmp_path) == watch(inotify, tmp_path)


def test_removed_watch_tells_nothing_more(inotify: Inotify, tmp_path: Path) -> None:
    wd = watch(inotify, tmp_path)
    inotify.remove(wd)
    (tmp_path / "leaf").touch()
    assert [Mask(event.mask) for event in inotify.read()] == [Mask.IN_IGNORED]
    inotify.remove(wd)  # it is gone already: no error


def test_directory_that_goes_takes_its_watch_with_it(inotify: Inotify, tmp_path: Path) -> None:
    (tmp_path / "twig").mkdir()
    wd = watch(inotify, tmp_path / "twig")
    shutil.rmtree(tmp_path / "twig")
    assert Event(wd, int(Mask.IN_IGNORED), "") in inotify.read()


def test_no_news_of_files_is_an_empty_list(inotify: Inotify, tmp_path: Path) -> None:
    watch(inotify, tmp_path)
    assert inotify.read() == []


def test_names_that_are_no_text_are_kept(inotify: Inotify, tmp_path: Path) -> None:
    watch(inotify, tmp_path)
    name = b"\xff\xfe leaf\n"
    os.close(os.open(os.path.join(os.fsencode(tmp_path), name), os.O_CREAT | os.O_WRONLY))
    assert {os.fsencode(event.name) for event in inotify.read()} == {name}


def test_file_is_no_directory_to_watch(inotify: Inotify, tmp_path: Path) -> None:
    (tmp_path / "leaf").touch()
    fd = os.open(tmp_path / "leaf", os.O_PATH | os.O_CLOEXEC)
    with pytest.raises(KernelRefused, match="inotify_add_watch"):
        inotify.add(fd)
    os.close(fd)
