"""What a view tells of files in layers: contents, differences, directories, and how well they fit.

Plain directories stand for the layers, as overlayfs' marks need no mount; so no rights are needed.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from wardian.errors import NotFound
from wardian.observe.content import MOST_BYTES, Form, read
from wardian.observe.folder import UpperFolder, merged, of_layer
from wardian.observe.frames import Kind, Mark
from wardian.observe.layer_use import UpperNow, layers_use
from wardian.observe.text_diff import MOST_LINES, text_diff
from wardian.observe.upper import UpperTree

NOBODY = 65534


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    (tmp_path / "layer").mkdir()
    return tmp_path / "layer"


def test_text_is_shown_with_what_cannot_be_seen_escaped(layer: Path) -> None:
    (layer / "f").write_bytes(b"<b>bold</b>\x1b[31m\r\nlast \xff line")
    content = read("upper", layer, "f").content
    assert (content.form, content.is_escaped, content.is_whole) == (Form.TEXT, True, True)
    assert content.text == "<b>bold</b>\\x1b[31m\\x0d\nlast \\xff line"


def test_only_the_beginning_of_a_large_file_is_read(layer: Path) -> None:
    (layer / "log").write_text("x" * 99 + "ü\n" * MOST_BYTES)
    content = read("upper", layer, "log").content
    assert content.form is Form.TEXT
    assert (content.read_bytes, content.size_bytes) == (MOST_BYTES, 99 + 3 * MOST_BYTES)
    assert content.text.endswith("ü\n")  # the half of a character at the end is left out


def test_sparse_file_of_a_gibibyte_is_binary_and_read_at_once(layer: Path) -> None:
    with open(layer / "disk", "wb") as file:
        file.truncate(1 << 30)
    content = read("upper", layer, "disk").content
    assert (content.form, content.read_bytes) == (Form.BINARY, MOST_BYTES)
    (layer / "latin").write_bytes("Grüße äöü ß".encode("latin-1"))
    assert read("upper", layer, "latin").content.form is Form.BINARY


def test_symlink_says_where_it_leads_and_is_not_followed(layer: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (layer / "link").symlink_to("../secret")
    (layer / "up").symlink_to("..")
    content = read("upper", layer, "link").content
    assert (content.form, content.text) == (Form.TARGET, "../secret")
    assert read("upper", layer, "up/secret").content.form is Form.GONE
    assert read("upper", layer, "../secret").content.form is Form.GONE
    assert read("upper", layer, str(tmp_path / "secret")).content.form is Form.GONE


def test_pipe_socket_and_whiteout_are_not_opened(layer: Path) -> None:
    os.mkfifo(layer / "pipe")
    os.mknod(layer / "gone", stat.S_IFCHR, os.makedev(0, 0))
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(layer / "socket"))
    kinds = {}
    for name in ("pipe", "gone", "socket", "."):
        content = read("upper", layer, name).content
        assert content.form is Form.NOTHING
        kinds[name] = content.kind
    assert list(kinds.values()) == [Kind.FIFO, Kind.WHITEOUT, Kind.SOCKET, Kind.DIRECTORY]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make devices")
def test_device_is_told_by_its_numbers_and_not_opened(layer: Path) -> None:
    os.mknod(layer / "disk", stat.S_IFBLK | 0o666, os.makedev(1, 3))
    content = read("upper", layer, "disk").content
    assert (content.form, content.text) == (Form.DEVICE, "b 1, 3")


@contextmanager
def an_ordinary_user() -> Iterator[None]:
    """Root gives up its rights meanwhile."""
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(mine)


def test_file_that_may_not_be_read_says_so() -> None:
    with TemporaryDirectory() as made:
        layer = Path(made)
        layer.chmod(0o755)
        (layer / "f").touch(mode=0)
        (layer / "closed").mkdir(mode=0)
        with an_ordinary_user():
            content = read("upper", layer, "f").content
            inside = read("upper", layer, "closed/f").content
            folder = of_layer((layer,), "lower 0", "closed")
        assert (content.form, content.kind) == (Form.REFUSED, Kind.FILE)
        assert (inside.form, folder.is_refused) == (Form.REFUSED, True)


def diff(old: str, new: str, **how: float) -> list[str]:
    lines = [text.splitlines(keepends=True) for text in (old, new)]
    return list(text_diff("a", lines[0], "b", lines[1], is_partial=False, **how).lines)


def test_difference_reads_as_diff_says_it() -> None:
    old = "".join(f"{n}\n" for n in range(20))
    new = old.replace("7\n", "seven\x1b\n", 1) + "end"
    assert diff(old, old) == []
    assert diff(old, new) == [
        *("@@ -5,7 +5,7 @@", " 4", " 5", " 6", "-7", "+seven\\x1b", " 8", " 9", " 10"),
        *("@@ -18,3 +18,4 @@", " 17", " 18", " 19", "+end", "\\ No newline at end of file"),
    ]
    assert diff("", "a\n") == ["@@ -0,0 +1 @@", "+a"]


def test_comparison_that_takes_too_long_ends_and_says_so() -> None:
    """Each line occurs in a hundredth of the other text: the worst for what difflib does."""
    old, new = ([f"{n**power % 101}\n" for n in range(9000)] for power in (2, 3))
    found = text_diff("a", old, "b", new, is_partial=False, patience_s=0.05)
    assert (found.is_coarse, found.is_partial) == (True, True)
    assert len(found.lines) + found.left_out <= 3 * MOST_LINES


@pytest.fixture
def lowers(tmp_path: Path) -> tuple[Path, ...]:
    """Two layers, the uppermost (lower 1) first."""
    made = tuple(tmp_path / f"lower{n}" for n in (1, 0))
    for one in made:
        (one / "etc").mkdir(parents=True)
    (made[1] / "etc/passwd").write_text("root")
    (made[1] / "etc/group").write_text("group")
    (made[1] / "big").write_bytes(bytes(1000))
    (made[1] / "doc").mkdir()
    (made[1] / "doc/page").write_bytes(bytes(200))
    (made[0] / "etc/passwd").write_text("root and more")
    (made[0] / "etc/new\nline").write_text("")
    os.mknod(made[0] / "etc/group", stat.S_IFCHR, os.makedev(0, 0))
    return made


def test_directory_of_a_layer_shows_what_the_layer_did(lowers: tuple[Path, ...]) -> None:
    folder = of_layer(lowers, "lower 1", "etc")
    rows = {row.path: (row.mark, row.hides) for row in folder.rows}
    assert rows == {
        "/etc/group": (Mark.DELETED, "lower 0"),
        "/etc/new\\x0aline": (Mark.ADDED, None),
        "/etc/passwd": (Mark.MODIFIED, "lower 0"),
    }
    assert of_layer(lowers, "lower 1", "").rows[0].mark is Mark.UNCHANGED
    os.setxattr(lowers[0] / "etc", "user.overlay.opaque", b"y")
    marks = {row.mark for row in of_layer(lowers, "lower 1", "etc").rows}
    assert marks == {Mark.ADDED, Mark.DELETED}  # beneath it nothing is hidden any more
    assert of_layer(lowers, "lower 1", "../lower0").rows == ()


@pytest.fixture
def upper(tmp_path: Path) -> Iterator[UpperTree]:
    (tmp_path / "upper/etc").mkdir(parents=True)
    (tmp_path / "upper/etc/hosts").write_text("me")
    (tmp_path / "upper/big").write_bytes(bytes(1001))
    os.mknod(tmp_path / "upper/doc", stat.S_IFCHR, os.makedev(0, 0))
    tree = UpperTree(tmp_path / "upper")
    yield tree
    tree.close()


def test_merged_directory_names_the_layer_of_each_name(
    lowers: tuple[Path, ...], upper: UpperTree
) -> None:
    def shown(path: str) -> dict[str, tuple[str, Mark]]:
        above = UpperFolder("upper", upper.children(path), frozenset(), hides=False)
        rows = merged(lowers, above, path).rows
        return {row.path: (row.owner, row.mark) for row in rows}

    assert shown("") == {"/etc": ("upper", Mark.UNCHANGED), "/big": ("upper", Mark.MODIFIED)}
    assert shown("etc") == {
        "/etc/hosts": ("upper", Mark.ADDED),
        "/etc/new\\x0aline": ("lower 1", Mark.UNCHANGED),
        "/etc/passwd": ("lower 1", Mark.UNCHANGED),
    }
    hidden = UpperFolder("upper", upper.children("etc"), frozenset(), hides=True)
    assert [row.path for row in merged(lowers, hidden, "etc").rows] == ["/etc/hosts"]


def test_large_directory_is_cut_and_what_is_left_out_counted(layer: Path) -> None:
    for number in range(620):
        (layer / f"{number:03}").touch()
    folder = of_layer((layer,), "lower 0", "")
    assert (len(folder.rows), folder.left_out, folder.rows[-1].path) == (500, 120, "/499")
    above = UpperFolder("upper", {}, frozenset(), hides=False)
    folder = merged((layer,), above, "")
    assert (len(folder.rows), folder.left_out) == (500, 120)
    folder = merged((layer,), above, "", 1000)
    assert (len(folder.rows), folder.left_out) == (620, 0)


def never() -> None:
    """Somebody still wants to know."""


def test_efficiency_is_dives_with_the_upper_as_one_more_layer(
    lowers: tuple[Path, ...], upper: UpperTree
) -> None:
    use = layers_use(lowers, UpperNow(upper.facts, frozenset(), 0), never)
    # passwd 4 and 13, group 5 and 0, big 1000 and 1001, page 200, its directory deleted 200
    assert (use.least_bytes, use.total_bytes) == (4 + 1000 + 200 + 200 + 2, 17 + 5 + 2001 + 402)
    assert use.efficiency == round(use.least_bytes / use.total_bytes, 6)
    told = {row.path: (row.total_bytes, row.layers, row.is_deleted) for row in use.wasted}
    assert told == {
        "/big": (2001, ("upper", "lower 0"), False),
        "/doc": (200, ("lower 0",), True),
        "/etc/passwd": (17, ("lower 1", "lower 0"), False),
        "/etc/group": (5, ("lower 0",), True),
    }
    alone = layers_use(lowers[1:], None, never)
    assert (alone.efficiency, alone.wasted, alone.has_upper) == (1.0, (), False)


def test_nobody_counts_for_a_view_that_is_gone(layer: Path) -> None:
    for number in range(300):
        (layer / str(number)).touch()

    def ensure_wanted() -> None:
        raise NotFound("nobody looks any more")

    with pytest.raises(NotFound):
        layers_use((layer,), None, ensure_wanted)
