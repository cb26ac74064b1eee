"""``%record``: a real container is recorded by one kernel and replayed by another."""

from __future__ import annotations

from pathlib import Path

from tests.kernel.page import Page
from tests.linux.conftest import wait_until
from wardian.observe.frames import LayersFrame, ProcessesFrame
from wardian.observe.recording import load

FORK_AND_WRITE = """\
import subprocess
open("/srv/pet.txt", "w").write("I am a cat")
child = subprocess.Popen(["sleep", "1000"])"""


def record(folder: Path) -> None:
    """Fork and write while it is recorded; the kernel is gone afterwards."""
    page = Page.open("wardian-python", cwd=str(folder))
    try:
        page.run("1 + 1")
        started = page.run("%record start fork --views processes,layers")
        assert started.text() == "recording layers, processes of main\n"
        assert page.run("%record start again").error[1] == "a recording is under way"
        assert page.run(FORK_AND_WRITE).status == "ok"
        assert "being recorded" in page.run("%record list").text()
        stopped = page.run("%record stop")
        assert stopped.text() == "recorded layers, processes in fork.wardian-recording\n"
        assert page.run("%record start fork").error[1] == (
            "there is a recording fork.wardian-recording"
        )
    finally:
        page.close()


def test_a_fork_and_a_write_are_recorded_and_replayed_in_another_kernel(tmp_path: Path) -> None:
    record(tmp_path)
    found = load(tmp_path / "fork.wardian-recording")
    layers, processes = found.last["layers"], found.last["processes"]
    assert isinstance(layers, LayersFrame)
    assert isinstance(processes, ProcessesFrame)
    assert "/srv/pet.txt" in {entry.path for entry in layers.entries}
    assert "sleep" in {row.comm for row in processes.rows}
    cells = {cell.number: cell for cell in found.cells}
    assert set(cells) == {2, 3, 4, 5, 6}
    assert cells[4].ended_s is not None

    page = Page.open("wardian-shell", cwd=str(tmp_path))
    try:
        shown = page.run("%record show fork")
        (one,) = shown.of("display_data")
        assert "+ /srv/pet.txt" in one["data"]["text/plain"]
        assert "sleep" in one["data"]["text/html"]
        model = one["data"]["application/vnd.jupyter.widget-view+json"]["model_id"]
        (state,) = (
            message for message in shown.messages if message["content"].get("comm_id") == model
        )
        assert bytes(state["buffers"][0]) == found.data
        assert page.run("%record show fork --views network").error[1] == (
            "the recording has no view of 'network'"
        )
        assert "sleep" in page.run("%record show fork --views processes --text").text()
        whole = tmp_path / "fork.wardian-recording"
        assert "sleep" in page.run(f"%record show {whole} --text").text()
        assert page.run("%record show ..").error[0] == "NotFound"
        assert page.run("%record list").text() == "NAME  CONTAINER  NOTEBOOK\nfork  main\n"
        assert page.ask("complete_request", {"code": "%record show f", "cursor_pos": 14})[
            "matches"
        ] == ["fork"]
    finally:
        page.close()


def test_what_is_being_recorded_is_kept_when_the_kernel_ends(tmp_path: Path) -> None:
    page = Page.open("wardian-python", cwd=str(tmp_path))
    try:
        assert page.run("%record start --views processes").status == "ok"
    finally:
        page.close()
    file = tmp_path / "recording.wardian-recording"
    wait_until(file.exists)
    assert load(file).last.keys() == {"processes"}
