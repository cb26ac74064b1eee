"""What the upper directory holds, and which layer wins: overlayfs' rules on plain directories.

Inotify and whiteouts (a character device 0, 0, which anybody may make) work without a mount, so
these tests need no rights.
"""

from __future__ import annotations

import os
import select
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from wardian.cgroups.absent import AbsentCgroup
from wardian.errors import NotFound
from wardian.observe.frames import Kind, LayersFrame, Mark, UpperEntry
from wardian.observe.layers import LayersSampler
from wardian.observe.lowers import Lowers
from wardian.observe.subject import Subject, digest_of
from wardian.observe.upper import UpperTree


def put(layer: Path, path: str, text: str = "x") -> Path:
    file = layer / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def whiteout(layer: Path, path: str) -> None:
    (layer / path).parent.mkdir(parents=True, exist_ok=True)
    os.mknod(layer / path, stat.S_IFCHR, os.makedev(0, 0))


def opaque(directory: Path) -> None:
    os.setxattr(directory, "user.overlay.opaque", b"y")


@pytest.fixture
def lowers(tmp_path: Path) -> tuple[Path, ...]:
    """Three layers, the uppermost (lower 2) first."""
    made = tuple(tmp_path / f"lower{n}" for n in (2, 1, 0))
    for layer in made:
        layer.mkdir()
    return made


@pytest.fixture
def stack(lowers: tuple[Path, ...]) -> Iterator[Lowers]:
    made = Lowers(lowers)
    yield made
    made.close()


def winner(stack: Lowers, path: str) -> str | None:
    found = stack.winner(path)
    return None if found is None else found[0]


def test_uppermost_layer_wins(stack: Lowers, lowers: tuple[Path, ...]) -> None:
    put(lowers[2], "etc/passwd")
    put(lowers[0], "etc/passwd")
    assert winner(stack, "etc/passwd") == "lower 2"


def test_whiteout_hides_file_from_merged(stack: Lowers, lowers: tuple[Path, ...]) -> None:
    put(lowers[2], "etc/motd")
    whiteout(lowers[1], "etc/motd")
    assert winner(stack, "etc/motd") is None


def test_whiteout_of_a_directory_hides_what_is_below(
    stack: Lowers, lowers: tuple[Path, ...]
) -> None:
    put(lowers[2], "usr/share/doc/a")
    whiteout(lowers[1], "usr/share")
    assert winner(stack, "usr/share/doc/a") is None


def test_opaque_directory_hides_layers_below(stack: Lowers, lowers: tuple[Path, ...]) -> None:
    put(lowers[2], "srv/old")
    put(lowers[1], "srv/new")
    opaque(lowers[1] / "srv")
    assert winner(stack, "srv/old") is None
    assert winner(stack, "srv/new") == "lower 1"


def test_file_in_place_of_a_directory_hides_it(stack: Lowers, lowers: tuple[Path, ...]) -> None:
    put(lowers[2], "opt/tool/bin")
    put(lowers[0], "opt/tool")
    assert winner(stack, "opt/tool/bin") is None


def test_symlinks_of_a_layer_are_not_followed(
    stack: Lowers, lowers: tuple[Path, ...], tmp_path: Path
) -> None:
    put(tmp_path, "secret/key")
    (lowers[2] / "etc").symlink_to(tmp_path / "secret")
    (lowers[1] / "up").symlink_to("..")
    assert winner(stack, "etc/key") is None
    assert winner(stack, "up/secret/key") is None
    assert winner(stack, "../secret/key") is None


def test_versions_name_every_layer_that_has_the_path(
    stack: Lowers, lowers: tuple[Path, ...]
) -> None:
    put(lowers[2], "etc/passwd", "1")
    whiteout(lowers[1], "etc/passwd")
    put(lowers[0], "etc/passwd", "333")
    found = [(name, facts.st_size) for name, facts in stack.versions("etc/passwd")]
    assert found == [("lower 2", 3), ("lower 1", 0), ("lower 0", 1)]


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    (tmp_path / "upper").mkdir()
    return tmp_path / "upper"


@pytest.fixture
def tree(upper: Path) -> Iterator[UpperTree]:
    made = UpperTree(upper)
    yield made
    made.close()


def test_new_file_is_noticed(tree: UpperTree, upper: Path) -> None:
    put(upper, "a", "1234")
    assert tree.refresh() == {"a"}
    assert tree.facts["a"].st_size == 4


def test_files_of_directories_made_in_one_go_are_noticed(tree: UpperTree, upper: Path) -> None:
    put(upper, "a/b/c/d")
    assert tree.refresh() == {"a", "a/b", "a/b/c", "a/b/c/d"}
    put(upper, "a/b/c/d", "22")
    assert "a/b/c/d" in tree.refresh()


def test_removed_tree_is_forgotten(tree: UpperTree, upper: Path) -> None:
    put(upper, "a/b/c")
    tree.refresh()
    shutil.rmtree(upper / "a")
    assert tree.refresh() == {"a", "a/b", "a/b/c"}
    assert tree.facts == {}


def test_renamed_directory_is_followed_under_its_new_name(tree: UpperTree, upper: Path) -> None:
    put(upper, "one/x/file")
    (upper / "two").mkdir()
    tree.refresh()
    (upper / "one").rename(upper / "two/moved")
    tree.refresh()
    assert set(tree.facts) == {"two", "two/moved", "two/moved/x", "two/moved/x/file"}
    put(upper, "two/moved/x/file", "longer")
    tree.refresh()
    assert tree.facts["two/moved/x/file"].st_size == 6


def test_directory_that_gets_the_inode_of_a_removed_one_is_watched(
    tree: UpperTree, upper: Path
) -> None:
    for turn in range(20):
        (upper / "d").mkdir()
        tree.refresh()
        (upper / "d").rmdir()
        (upper / "d").mkdir()
        tree.refresh()
        put(upper, f"d/{turn}")
        tree.refresh()
        assert f"d/{turn}" in tree.facts
        shutil.rmtree(upper / "d")


def test_symlinks_of_the_container_are_not_followed(
    tree: UpperTree, upper: Path, tmp_path: Path
) -> None:
    put(tmp_path, "outside/secret")
    (upper / "link").symlink_to(tmp_path / "outside")
    tree.refresh()
    assert set(tree.facts) == {"link"}
    assert stat.S_ISLNK(tree.facts["link"].st_mode)


def test_event_queue_overflow_loses_nothing(tree: UpperTree, upper: Path) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    (upper / "d").mkdir()
    tree.refresh()
    for turn in range(limit // 2 + 100):  # two events each, alternating so that none are merged
        (upper / "d" / f"f{turn % 7}").touch()
    put(upper, "d/last")
    while select.select([tree], [], [], 0)[0]:
        tree.refresh()
    assert "d/last" in tree.facts


@pytest.fixture
def sampler(tmp_path: Path, lowers: tuple[Path, ...], upper: Path) -> Iterator[LayersSampler]:
    subject = Subject(
        name="web",
        init_host_pid=os.getpid(),
        lowers=lowers,
        upper=upper,
        work=tmp_path / "work",
        group=AbsentCgroup("not needed"),
        digests=("sha256:22", "sha256:11", "sha256:00"),
    )
    made = LayersSampler(subject)
    put(lowers[2], "etc/passwd", "root")
    made.open()
    yield made
    made.close()


def frame_of(sampler: LayersSampler) -> LayersFrame:
    frame = sampler.sample()
    assert frame is not None
    return frame


def entry(frame: LayersFrame, path: str) -> UpperEntry:
    return next(entry for entry in frame.entries if entry.path == path)


def test_layers_are_named_from_the_top(sampler: LayersSampler) -> None:
    layers = frame_of(sampler).layers
    assert [layer.name for layer in layers] == ["upper", "lower 2", "lower 1", "lower 0"]
    assert layers[3].digest == "sha256:00"


def test_copied_up_file_is_modified_and_its_directory_is_not(
    sampler: LayersSampler, upper: Path
) -> None:
    put(upper, "etc/passwd", "root and more")
    frame = frame_of(sampler)
    changed = entry(frame, "/etc/passwd")
    assert (changed.mark, changed.hides, changed.hidden_bytes) == (Mark.MODIFIED, "lower 0", 4)
    assert entry(frame, "/etc").mark is Mark.UNCHANGED
    assert (frame.added, frame.modified, frame.deleted, frame.upper_bytes) == (0, 1, 0, 13)


def test_whiteout_is_a_deletion(sampler: LayersSampler, upper: Path) -> None:
    whiteout(upper, "etc/passwd")
    deleted = entry(frame_of(sampler), "/etc/passwd")
    assert (deleted.mark, deleted.kind, deleted.hides) == (Mark.DELETED, Kind.WHITEOUT, "lower 0")


def test_nothing_below_an_opaque_directory_is_hidden_by_its_files(
    sampler: LayersSampler, upper: Path
) -> None:
    (upper / "etc").mkdir()
    opaque(upper / "etc")
    put(upper, "etc/passwd")
    frame = frame_of(sampler)
    assert entry(frame, "/etc/passwd").mark is Mark.ADDED
    assert entry(frame, "/etc").is_opaque
    assert entry(frame, "/etc").mark is Mark.MODIFIED


def test_file_that_was_a_whiteout_hides_nothing_once_its_directory_is_opaque(
    sampler: LayersSampler, upper: Path, tmp_path: Path
) -> None:
    whiteout(upper, "etc/passwd")
    assert entry(frame_of(sampler), "/etc/passwd").mark is Mark.DELETED
    # What overlayfs does on `rm -r /etc; mkdir /etc; touch /etc/passwd`, all before the next look.
    (tmp_path / "work").mkdir()
    opaque(tmp_path / "work")
    (upper / "etc").rename(tmp_path / "gone")
    (tmp_path / "work").rename(upper / "etc")
    put(upper, "etc/passwd")
    seen = entry(frame_of(sampler), "/etc/passwd")
    assert (seen.mark, seen.hides) == (Mark.ADDED, None)


def test_directory_that_becomes_opaque_changes_the_marks_in_it(
    sampler: LayersSampler, upper: Path
) -> None:
    put(upper, "etc/passwd")
    assert entry(frame_of(sampler), "/etc/passwd").mark is Mark.MODIFIED
    opaque(upper / "etc")
    assert entry(frame_of(sampler), "/etc/passwd").mark is Mark.ADDED


def test_no_frame_without_a_change(sampler: LayersSampler, upper: Path) -> None:
    frame_of(sampler)
    assert sampler.sample() is None
    put(upper, "new")
    assert frame_of(sampler).added == 1
    (upper / "new").unlink()
    assert frame_of(sampler).added == 0


def test_frame_is_capped_and_says_so(
    sampler: LayersSampler, upper: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LayersSampler, "max_entries", 10)
    for number in range(25):
        put(upper, f"f{number}")
    frame = frame_of(sampler)
    assert (len(frame.entries), frame.left_out, frame.added) == (10, 15, 25)
    put(upper, "f0", "the latest")
    assert frame_of(sampler).entries[0].path == "/f0"


def test_upper_version_wins_over_all(sampler: LayersSampler, upper: Path) -> None:
    put(upper, "etc/passwd", "new")
    frame_of(sampler)
    versions = sampler.versions("/etc/passwd").versions
    assert [(v.layer, v.size_bytes, v.wins) for v in versions] == [
        ("upper", 3, True),
        ("lower 0", 4, False),
    ]


def test_a_path_that_the_page_made_up_is_not_looked_up(sampler: LayersSampler) -> None:
    frame_of(sampler)
    with pytest.raises(NotFound):
        sampler.versions("/../../../etc/shadow")


def test_hostile_names_are_escaped_in_frames(sampler: LayersSampler, upper: Path) -> None:
    put(upper, "evil\x1b]0;\u202e")
    assert entry(frame_of(sampler), "/evil\\x1b]0;\\u{202e}").mark is Mark.ADDED


def test_digest_of_an_unpacked_layer_is_its_directory() -> None:
    name = "0123456789abcdef" * 4
    assert digest_of(f"/var/lib/wardian/layers/{name}") == f"sha256:{name}"
    assert digest_of("/srv/rootfs") == ""
