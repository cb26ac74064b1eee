"""Volumes of a notebook's containers, by the real kernel."""

from __future__ import annotations

from pathlib import Path

from tests.kernel.page import Page


def test_named_volume_outlives_the_containers_of_a_notebook(page: Page, tmp_path: Path) -> None:
    (tmp_path / "leaf").write_text("green\n")
    page.run("1")  # makes the image
    page.run(f"%container new one --volume plants:/data -v {tmp_path}:/in:ro")
    assert page.run("%%on one\n%%sh\ncp /in/leaf /data && cat /data/leaf").text() == "green\n"
    page.run("%container rm one")
    page.run("%container new two -v plants:/else")
    assert page.run("%%on two\n%%sh\ncat /else/leaf").text() == "green\n"
    page.run("%container rm two")


def test_image_s_volume_is_filled_and_goes_with_the_container(page: Page) -> None:
    cell = "%%dockerfile -t garden\nFROM wardian/base\nRUN echo fern > /srv/plant\nVOLUME /srv\n"
    built = page.run(cell.replace("RUN ", "RUN mkdir -p /srv && "))
    assert built.status == "ok", built.reply
    page.run("%container new three --image garden")
    assert "/srv" in page.run("%%on three\n%%sh\ngrep ' /srv ' /proc/self/mounts").text()
    assert page.run("%%on three\n%%sh\ncat /srv/plant").text() == "fern\n"
    page.run("%container rm three")


def test_wrong_volumes_are_said(page: Page) -> None:
    wrong = page.run("%container new four --volume n:/data")
    assert wrong.error == ("InvalidInput", "not a volume name: 'n'")
    in_a_cell = page.run("1", metadata={"wardian": {"volumes": ["data:/data"]}})
    assert in_a_cell.error is not None
    assert in_a_cell.error[1] == "a cell's metadata cannot choose another image, volumes or a rung"
    no_list = page.run("1", metadata={"wardian": {"volumes": {"a": 1}}})
    assert no_list.error == ("InvalidInput", "the setting volumes is not a list of texts")
