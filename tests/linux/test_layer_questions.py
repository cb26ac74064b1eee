"""What a page asks of a running container's layers is answered from the files that there are."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.linux.conftest import shell
from wardian.observe.frames import LayersFrame
from wardian.observe.recording import of_frames
from wardian.observe.subject import Subject
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.spec import ContainerSpec
from wardian.storage.driver import VARIABLE, Driver
from wardian.widgets.feed import PULSE, Feed

PATIENCE_S = 60.0
MIB = 1 << 20
HOSTILE = """
ln -s /etc/shadow /srv/link; mkfifo /srv/pipe; mknod /srv/gone c 0 0 2>/dev/null
printf '<img src=x onerror=alert(1)>\\033[2J\\n' > /srv/text
printf hello > "$(printf '/srv/two\\nlines')"
dd if=/dev/zero of=/srv/sparse bs=1 count=0 seek=1G 2>/dev/null
"""

# What no page of ours asks: it is passed over.
ODD: tuple[dict[str, object], ...] = (
    {"path": []},
    {"path": "/../srv", "layer": "upper", "tree": "merged"},
    {"path": "/srv/\\x00", "layer": [], "tree": {}},
    {"path": "\ud800", "layer": "upper", "tree": "merged", "most": "x"},
)


class Page:
    """Asks as a page does, and waits for what it is told."""

    def __init__(self, box: Container) -> None:
        self.told: list[dict[str, Any]] = []
        self._heard = threading.Condition()
        self.feed = Feed("layers", lambda: Subject.of(box.info), self._hear)
        self.feed.hear({"kind": "visible", "id": "page", "visible": True})

    def see(self, path: str, **facts: object) -> Any:
        """The first frame that has an entry of this path, for which the facts hold."""

        def is_seen() -> bool:
            frame = self.feed.history.last
            return isinstance(frame, LayersFrame) and any(
                entry.path == path and all(getattr(entry, k) == v for k, v in facts.items())
                for entry in frame.entries
            )

        with self._heard:
            assert self._heard.wait_for(is_seen, PATIENCE_S)
        return self.feed.history.last

    def ask(self, kind: str, **question: object) -> dict[str, Any]:
        """The next answer of that kind."""
        with self._heard:
            before = len(self.told)
        self.feed.hear({"kind": kind, **question})

        def answers() -> list[dict[str, Any]]:
            return [one for one in self.told[before:] if one["kind"] == kind]

        with self._heard:
            assert self._heard.wait_for(answers, PATIENCE_S)
            return answers()[0]

    def read(self, path: str, layer: str = "upper", against: str | None = None) -> dict[str, Any]:
        content: dict[str, Any] = self.ask("content", path=path, layer=layer, against=against)
        return content

    def _hear(self, messages: Sequence[bytes]) -> None:
        with self._heard:
            self.told += map(msgspec.json.decode, messages)
            self._heard.notify_all()


@pytest.fixture
def spec(busybox_layer: Path, tmp_path: Path) -> ContainerSpec:
    """A file of eight mebibytes and a text above busybox, as an image's second layer."""
    (tmp_path / "second/srv").mkdir(parents=True)
    (tmp_path / "second/etc").mkdir()
    (tmp_path / "second/srv/big").write_bytes(bytes(8 * MIB))
    (tmp_path / "second/srv/other").write_bytes(bytes(8 * MIB))
    (tmp_path / "second/etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
    lowers = (str(tmp_path / "second"), str(busybox_layer))
    return ContainerSpec(name="box", image="two", lowers=lowers)


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state root of the test has this driver."""
    monkeypatch.setenv(VARIABLE, Driver.NATIVE.value)


@pytest.fixture
def page(box: Container) -> Iterator[Page]:
    gc.freeze()
    made = Page(box)
    yield made
    made.feed.close()
    assert PULSE.wait_stopped(PATIENCE_S)
    gc.unfreeze()


def test_content_and_difference_are_read_when_they_are_asked_for(
    box: Container, page: Page
) -> None:
    shell(box, "echo plant:x:1000:1000::/:/bin/sh >> /etc/passwd" + HOSTILE)
    frame = page.see("/srv/sparse", size_bytes=1 << 30)
    second, base = (layer.name for layer in frame.layers[1:3])
    told = page.read("/etc/passwd", against=second)
    assert told["content"]["text"].splitlines()[-1] == "plant:x:1000:1000::/:/bin/sh"
    assert (told["diff"]["since"], told["diff"]["until"]) == (second, "upper")
    assert told["diff"]["lines"][1:] == [
        " root:x:0:0::/:/bin/sh",
        "+plant:x:1000:1000::/:/bin/sh",
    ]
    told = page.read("/etc/passwd", layer=base, against="upper")
    assert (told["diff"]["since"], told["content"]["layer"]) == (base, base)

    forms = {name: page.read(f"/srv/{name}")["content"] for name in ("link", "pipe", "sparse")}
    assert (forms["link"]["form"], forms["link"]["text"]) == ("target", "/etc/shadow")
    assert forms["pipe"]["form"] == "nothing"
    assert forms["sparse"]["form"] == "binary"
    assert page.read("/srv/text")["content"]["text"] == "<img src=x onerror=alert(1)>\\x1b[2J\n"
    assert page.read("/srv/two\\x0alines")["content"]["text"] == "hello"
    assert b"hello" not in of_frames(page.feed.history)


def test_write_copies_a_whole_file_up_and_its_bytes_are_counted(box: Container, page: Page) -> None:
    shell(box, "printf x | dd of=/srv/big conv=notrunc 2>/dev/null; rm /srv/other; echo > /etc/new")
    page.see("/etc/new")
    frame = page.see("/srv/big", is_copied_up=True)
    assert (frame.copied_up, frame.copied_up_bytes) == (1, 8 * MIB)
    shell(box, "cp /etc/group /tmp/group; mv -f /tmp/group /etc/group; chmod 600 /etc/passwd")
    frame = page.see("/etc/passwd", is_copied_up=True)
    rows = page.ask("folder", tree="merged", path="/etc")["rows"]
    assert [row["path"] for row in rows if row["is_copied_up"]] == ["/etc/passwd"]
    replaced = next(entry for entry in frame.entries if entry.path == "/etc/group")
    assert (replaced.mark.value, replaced.is_copied_up) == ("modified", False)

    use = page.ask("use")["use"]
    second = frame.layers[1].name
    worst = {row["path"]: (row["total_bytes"], row["is_deleted"]) for row in use["wasted"]}
    assert worst["/srv/big"] == (16 * MIB, False)
    assert worst["/srv/other"] == (8 * MIB, True)
    assert next(row for row in use["wasted"] if row["path"] == "/srv/other")["layers"] == [second]
    assert 0 < use["efficiency"] < 1


def test_trees_of_a_layer_and_of_all_are_loaded_directory_by_directory(
    box: Container, page: Page
) -> None:
    shell(box, "rm /srv/big; echo > /srv/new")
    frame = page.see("/srv/new")
    second, base = (layer.name for layer in frame.layers[1:3])
    _, listed = shell(box, "ls -A /srv")
    rows = page.ask("folder", tree="merged", path="/srv")["rows"]
    assert {row["path"]: row["owner"] for row in rows} == {
        "/srv/new": "upper",
        "/srv/other": second,
        "/srv/page": base,
    }
    assert {row["path"].removeprefix("/srv/") for row in rows} == set(listed.split())
    rows = page.ask("folder", tree=second, path="/etc")["rows"]
    (row,) = rows
    assert (row["path"], row["mark"], row["hides"]) == ("/etc/passwd", "modified", base)
    for odd in ODD:
        for kind in ("versions", "content", "folder"):
            page.feed.hear({"kind": kind, **odd})
    versions = page.ask("versions", path="/srv/page/leaf")["versions"]
    assert [(one["layer"], one["wins"]) for one in versions] == [(base, True)]


@pytest.mark.usefixtures("native")
def test_a_copy_is_read_beside_the_layers_that_it_is_of(
    client: Client, spec: ContainerSpec
) -> None:
    box = client.run(spec)
    page = Page(box)
    shell(box, "echo plant:x:1000:1000::/:/bin/sh >> /etc/passwd")
    frame = page.see("/etc/passwd", is_copied_up=False)
    second = frame.layers[1].name
    told = page.read("/etc/passwd", layer="copy", against=second)
    assert told["diff"]["lines"][-1] == "+plant:x:1000:1000::/:/bin/sh"
    assert page.ask("folder", tree=second, path="/etc")["rows"][0]["path"] == "/etc/passwd"
    use = page.ask("use")["use"]
    assert (use["has_upper"], [row["path"] for row in use["wasted"]]) == (False, ["/etc/passwd"])
    page.feed.close()
    assert PULSE.wait_stopped(PATIENCE_S)
