"""Recordings: what is written is read again, and what others have written does no harm."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.test_observe_wire import (
    layers_frames,
    network_frames,
    processes_frames,
    resources_frame,
    unordered,
)
from wardian.errors import InvalidInput, NotFound, SetupError
from wardian.observe import recording
from wardian.observe.frames import ProcessesFrame, ProcessRow, Source, State
from wardian.observe.recording import FORMAT, Head, Writer, load, load_head, read, save
from wardian.observe.wire import Frame
from wardian.widgets.recording_still import forms, origin

HEAD = Head(
    format=FORMAT, container="main", notebook="fork.ipynb", machine="Linux", begun_s=1764175006.0
)
Events = list[dict[str, Any]]


def packed(*lines: bytes) -> bytes:
    packing = zlib.compressobj(wbits=31)
    return packing.compress(b"".join(line + b"\n" for line in lines)) + packing.flush()


def lines_of(data: bytes) -> list[bytes]:
    return zlib.decompress(data, wbits=31).splitlines()


def events_of(data: bytes) -> Events:
    return [json.loads(line) for line in lines_of(data)[1:]]


def process(pid: int, **changes: Any) -> ProcessRow:
    facts: dict[str, Any] = dict.fromkeys(ProcessRow.__struct_fields__)
    facts |= {"host_pid": 4000 + pid, "start_ticks": 1, "container_pids": (pid,), "args": "x"}
    facts |= {"state": State.SLEEPING, "comm": f"process-{pid}", "ignored": ()}
    return ProcessRow(**(facts | changes))


def processes(*rows: ProcessRow, time_s: float = 1.0) -> ProcessesFrame:
    return ProcessesFrame(
        time_s=time_s,
        container="main",
        source=Source.EVENTS,
        init_host_pid=4001,
        rows=rows,
        left_out=0,
        running=0,
    )


def fork() -> bytes:
    """A process appears in a cell, then it ends."""
    parent, child = process(1), process(2, parent_host_pid=4001)
    writer = Writer(HEAD)
    writer.frame(0.0, processes(parent))
    writer.cell(1.0, 3, begins=True)
    writer.frame(1.5, processes(parent, child, time_s=2.5))
    writer.frame(1.6, resources_frame(memory_current_bytes=3 << 20, cpu_percent=12.0))
    writer.cell(2.0, 3, begins=False)
    return writer.end(9.3)


@settings(max_examples=40)
@given(st.lists(st.one_of(layers_frames, processes_frames, network_frames), min_size=1))
def test_what_is_recorded_is_what_is_read(frames: list[Frame]) -> None:
    writer = Writer(HEAD)
    for number, frame in enumerate(frames):
        writer.frame(number / 8, frame)
    found = read(writer.end(len(frames)))
    assert (found.head, found.seconds) == (HEAD, len(frames))
    last = {frame.view: unordered(frame) for frame in frames}
    assert {view: unordered(frame) for view, frame in found.last.items()} == last


def test_cells_are_where_they_were() -> None:
    found = read(fork())
    (cell,) = found.cells
    assert (cell.number, cell.begun_s, cell.ended_s) == (3, 1.0, 2.0)


def test_a_recording_of_the_same_is_the_same_bytes() -> None:
    assert fork() == fork()


def test_frames_come_whole_again_once_their_changes_are_as_long() -> None:
    """So a page finds any moment by reading no more than two frames' length."""
    rows = tuple(process(number) for number in range(200))
    writer = Writer(HEAD)
    for moment in range(900):
        changed = rows[moment % 200]
        frame = processes(
            *(row for row in rows if row is not changed), replace(changed, rss_bytes=moment)
        )
        writer.frame(moment / 5, frame)
    lines = lines_of(writer.end(180.0))[1:-1]
    keys = [number for number, line in enumerate(lines) if b'"kind":"full"' in line]
    assert len(keys) > 2
    for key, following in zip(keys, [*keys[1:], len(lines)], strict=True):
        since = sum(map(len, lines[key + 1 : following - 1]))
        assert since <= max(len(lines[key]), 16 << 10) + 1000


def test_writer_is_full_long_before_a_reader_refuses() -> None:
    writer = Writer(HEAD)
    moment = 0
    while not writer.is_full:
        moment += 1
        noise = os.urandom(500).hex()
        writer.frame(moment / 10, processes(*(process(n, args=noise + str(n)) for n in range(40))))
    assert len(read(writer.end(60.0)).data) <= recording.MOST_FILE_BYTES


def test_forms_show_the_last_frame_labelled_recorded() -> None:
    found = read(fork())
    made = forms(found, ("processes", "resources"))
    assert made["text/plain"] == (
        "recorded 2025-11-26 16:36:46 UTC · container main of fork.ipynb · Linux · 9.3 s\n\n"
        "processes\n"
        "4001 ⇄ 1            process-1\n"
        "4002 ⇄ 2              process-2\n\n"
        "resources\n"
        "memory           3 MiB\n"
        "CPU              12 % of one core\n"
        "memory limit     no limit\n"
        "CPU limit        no limit\n"
        "processes limit  no limit"
    )
    assert made["text/html"].startswith("<p><b>recorded 2025")


def test_why_a_recording_ended_is_told() -> None:
    writer = Writer(HEAD)
    writer.frame(0, processes())
    assert "ended as 600 s had passed" in origin(read(writer.end(600, "600 s had passed")))


def changed(change: Callable[[Events], Any]) -> bytes:
    events = events_of(fork())
    change(events)
    head, *_ = lines_of(fork())
    return packed(head, *(json.dumps(event).encode() for event in events))


def test_events_of_an_unknown_kind_are_passed_over() -> None:
    data = changed(lambda events: events.insert(1, {"at": 0.5, "kind": "later invention"}))
    assert read(data).last.keys() == {"processes", "resources"}


BIDI = "\u202egnp.exe"
DEEP = b'{"at":0,"kind":"full","frame":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
HOSTILE: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "text": lambda: b"hello",
    "cut": lambda: fork()[:-20],
    "more behind": lambda: fork() + fork(),
    "no lines": packed,
    "only a head": lambda: packed(lines_of(fork())[0]),
    "no end": lambda: packed(*lines_of(fork())[:-1]),
    "something after the end": lambda: changed(lambda e: e.append(dict(e[0], at=9.3))),
    "another version": lambda: packed(b'{"format": "wardian-recording/9", "container": ""}'),
    "another year": lambda: packed(
        json.dumps({"format": FORMAT, "container": "", "begun_s": 1e300}).encode()
    ),
    "a bomb": lambda: packed(b" " * (48 << 20)),
    "a bomb of lines": lambda: packed(b"\n" * (8 << 20)),
    "deep": lambda: packed(lines_of(fork())[0], DEEP),
    "not utf-8": lambda: packed(b'{"format": "\xff"}'),
    "time goes back": lambda: changed(lambda e: e[2].update(at=0.1)),
    "time is no number": lambda: changed(lambda e: e[2].update(at="1")),
    "a year long": lambda: changed(lambda e: e[-1].update(at=3e7)),
    "no such view": lambda: changed(lambda e: e[0].update(view="../x")),
    "a view that is no text": lambda: changed(lambda e: e[0].update(view=[])),
    "changes of nothing": lambda: changed(lambda e: e.pop(0)),
    "no frame": lambda: changed(lambda e: e[0].update(frame=None)),
    "a field too few": lambda: changed(lambda e: e[0]["frame"].pop("rows")),
    "a field of another type": lambda: changed(lambda e: e[0]["frame"].update(running="1")),
    "a row of another type": lambda: changed(lambda e: e[2].update(put=[{"path": "/"}])),
    "rows of another type": lambda: changed(lambda e: e[2].update(put=7)),
    "rows that are set": lambda: changed(lambda e: e[2]["set"].update(rows=[])),
    "a field that is none": lambda: changed(lambda e: e[2]["set"].update(constructor=1)),
    "a patch of a method": lambda: changed(lambda e: e[2].update(patch=[[["__class__"], 1]])),
    "a patch of a row": lambda: changed(
        lambda e: e[2].update(patch=[[["rows", 10**9, "comm"], ""]])
    ),
    "a patch of everything": lambda: changed(lambda e: e[2].update(patch=[[[], {}]])),
    "a patch that is deep": lambda: changed(lambda e: e[2].update(patch=[[["rows"] * 99, 1]])),
    "text that turns around": lambda: changed(lambda e: e[0]["frame"].update(container=BIDI)),
    "a cell that is a text": lambda: changed(lambda e: e[1].update(cell="3")),
    "a head that turns around": lambda: packed(
        json.dumps({"format": FORMAT, "container": BIDI}).encode(), *lines_of(fork())[1:]
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_recording_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        read(HOSTILE[name]())


def test_files_are_read_and_their_heads_alone(tmp_path: Path) -> None:
    path = tmp_path / "fork.wardian-recording"
    save(path, fork())
    assert load(path).head == load_head(path) == HEAD
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_files_that_are_none_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "endless").symlink_to("/dev/zero")
    for name in ("absent", "fifo", "endless", ".", "a\0b"):
        for reading in (load, load_head):
            with pytest.raises((InvalidInput, NotFound)):
                reading(tmp_path / name)


def test_a_recording_that_cannot_be_written_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken.wardian-recording").mkdir()
    with pytest.raises(SetupError, match=r"taken.wardian-recording cannot be written"):
        save(tmp_path / "taken.wardian-recording", fork())
    assert [one.name for one in tmp_path.iterdir()] == ["taken.wardian-recording"]
