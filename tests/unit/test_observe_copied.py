"""What the layers view shows of a container whose files are a copy: what has changed in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wardian.cgroups.absent import AbsentCgroup
from wardian.errors import FailedPrecondition
from wardian.observe.copied import CopySampler, layers_sampler
from wardian.observe.frames import Kind, LayersFrame, Mark
from wardian.observe.subject import Subject
from wardian.storage import native
from wardian.storage.driver import Driver
from wardian.storage.native import NativeSnapshotter
from wardian.storage.packing import IdShift
from wardian.widgets.still import still


@pytest.fixture
def lowers(tmp_path: Path) -> tuple[Path, ...]:
    """Uppermost first."""
    top, base = tmp_path / "top", tmp_path / "base"
    for path, text in {
        base / "etc/passwd": "root",
        base / "etc/group": "wheel",
        base / "srv/page/leaf": "green",
        base / "srv/page/stem": "brown",
        top / "etc/passwd": "root and more",
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return (top, base)


@pytest.fixture
def subject(tmp_path: Path, lowers: tuple[Path, ...]) -> Subject:
    snapshot = NativeSnapshotter(tmp_path / "state").prepare("one")
    return Subject(
        name="web",
        init_host_pid=os.getpid(),
        lowers=lowers,
        upper=snapshot.upper,
        work=snapshot.work,
        group=AbsentCgroup("not needed"),
        driver=Driver.NATIVE,
    )


@pytest.fixture
def copy(subject: Subject, lowers: tuple[Path, ...]) -> Path:
    """The container's files, as they are before the first start."""
    native.fill(NativeSnapshotter(subject.upper.parents[3]).get("one"), lowers, IdShift())
    return subject.upper


@pytest.fixture
def look(subject: Subject, copy: Path) -> Iterator[Callable[[], LayersFrame]]:
    """The frame of this moment, of one sampler that goes on."""
    del copy
    sampler = layers_sampler(subject)
    assert isinstance(sampler, CopySampler)
    sampler.open()
    last: list[LayersFrame] = []

    def frame() -> LayersFrame:
        last.extend(filter(None, [sampler.sample()]))
        return last[-1]

    frame.versions = sampler.versions  # type: ignore[attr-defined]
    yield frame
    sampler.close()


def told(frame: LayersFrame) -> dict[str, tuple[Mark, str | None, int | None]]:
    return {one.path: (one.mark, one.hides, one.hidden_bytes) for one in frame.entries}


def change(copy: Path) -> None:
    """As a container would: each in a way of its own."""
    (copy / "etc/passwd").write_text("root or less!")  # as long as it was
    (copy / "etc/group").unlink()
    (copy / "srv").rename(copy / "moved")
    (copy / "moved/page/stem").unlink()
    (copy / "new").write_text("12345")
    os.chmod(copy / "etc", 0o700)


CHANGED = {
    "/etc": (Mark.MODIFIED, "lower 1", None),  # which both have
    "/etc/passwd": (Mark.MODIFIED, "lower 1", 13),
    "/etc/group": (Mark.DELETED, "lower 0", 5),
    "/srv": (Mark.DELETED, "lower 0", None),
    "/moved": (Mark.ADDED, None, None),
    "/moved/page": (Mark.ADDED, None, None),
    "/moved/page/leaf": (Mark.ADDED, None, None),
    "/new": (Mark.ADDED, None, None),
}


def test_copy_is_named_as_one_with_the_layers_that_it_is_of(
    look: Callable[[], LayersFrame], copy: Path
) -> None:
    frame = look()
    assert (frame.driver, frame.work_host_path, frame.entries) == ("native", "", ())
    assert [layer.name for layer in frame.layers] == ["copy", "lower 1", "lower 0"]
    assert frame.layers[0].host_path == str(copy)
    assert "copy of lower 1 → lower 0" in still(frame)


def test_changes_are_found_by_whoever_comes_later(subject: Subject, copy: Path) -> None:
    change(copy)
    sampler = layers_sampler(subject)
    sampler.open()
    try:
        frame = sampler.sample()
    finally:
        sampler.close()
    assert frame is not None
    assert told(frame) == CHANGED
    assert (frame.added, frame.modified, frame.deleted) == (4, 2, 2)


def test_changes_are_told_as_they_happen(look: Callable[[], LayersFrame], copy: Path) -> None:
    look()
    change(copy)
    assert told(look()) == CHANGED
    (gone,) = [one for one in look().entries if one.path == "/etc/group"]
    assert (gone.kind, gone.size_bytes) == (Kind.FILE, 0)
    assert "<s>/etc/group</s>  (was of lower 0)" in still(look())
    (copy / "etc/group").write_text("other")
    (copy / "moved").rename(copy / "srv")
    seen = told(look())
    assert seen["/etc/group"][0] is Mark.MODIFIED
    assert {path: mark for path, (mark, *_) in seen.items() if "page" in path} == {
        "/srv/page/stem": Mark.DELETED
    }
    assert not [path for path in seen if path.startswith("/moved")]


def test_file_that_is_written_as_it_was_has_not_changed(
    look: Callable[[], LayersFrame], copy: Path
) -> None:
    look()
    file = copy / "srv/page/leaf"
    before = file.stat()
    file.write_text("other")
    assert "/srv/page/leaf" in told(look())
    file.write_text("green")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert told(look()) == {}


def test_versions_of_a_path_are_the_copy_s_and_the_layers(
    look: Callable[[], LayersFrame], copy: Path
) -> None:
    change(copy)
    look()
    versions = look.versions  # type: ignore[attr-defined]
    found = versions("/etc/passwd").versions
    assert [(one.layer, one.wins) for one in found] == [
        ("copy", True),
        ("lower 1", False),
        ("lower 0", False),
    ]
    assert [one.layer for one in versions("/etc/group").versions] == ["lower 0"]


def test_copy_that_is_not_whole_is_not_shown(subject: Subject) -> None:
    with pytest.raises(FailedPrecondition, match="not all there yet"):
        layers_sampler(subject).open()
