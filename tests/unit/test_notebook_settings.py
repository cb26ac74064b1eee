"""What a notebook asks for, from four places, and the first of them: JupyterLab's settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from wardian.errors import InvalidInput
from wardian.jupyter import defaults
from wardian.jupyter.settings import RUNGS, Settings
from wardian.runtime.doctor import Rung


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WARDIAN_ROOT", str(tmp_path / "state"))
    return tmp_path / "state"


def test_without_a_choice_a_notebook_gets_the_usual() -> None:
    assert defaults.read() == Settings()


def test_what_was_chosen_is_what_notebooks_get(root: Path) -> None:
    defaults.write({"image": "wardian/busybox", "memory": "64m", "cpus": 1.5, "refresh": 2})
    settings = defaults.read()
    assert settings.image == "wardian/busybox"
    assert settings.limits.memory_bytes == 64 << 20
    assert settings.limits.cpus == 1.5
    assert settings.refresh_s == 2.0
    assert [path.name for path in root.iterdir()] == ["defaults.json"]
    defaults.write({})
    assert defaults.read() == Settings()


def test_what_is_nearer_to_the_notebook_goes_before() -> None:
    defaults.write({"memory": "64m", "pids": 10, "cpus": 1})
    settings = defaults.read().with_environment({"WARDIAN_MEMORY": "128m", "WARDIAN_PIDS": "20"})
    settings = settings.with_words({"memory": "256m"})
    assert (settings.memory, settings.pids, settings.cpus) == ("256m", "20", "1")


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ({"memory": "much"}, "not a size"),
        ({"colour": "red"}, "unknown setting"),
        ({"refresh": -1}, "not a refresh rate"),
        ([], "not an object"),
    ],
)
def test_what_no_container_can_have_is_refused(root: Path, words: object, what: str) -> None:
    defaults.write({"pids": 10})
    with pytest.raises(InvalidInput, match=what):
        defaults.write(words)
    assert defaults.read().pids == "10"


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"memory": "much"}', "[" * 100_000])
def test_a_file_that_was_spoilt_is_named(root: Path, text: str) -> None:
    root.mkdir()
    (root / "defaults.json").write_text(text)
    with pytest.raises(InvalidInput) as refusal:
        defaults.read()
    assert str(root / "defaults.json") in str(refusal.value.hint)


def test_rungs_are_those_of_the_doctor() -> None:
    assert tuple(rung.value for rung in Rung) == RUNGS


@pytest.mark.parametrize(
    ("hub", "notebook", "counts"),
    [
        (None, None, None),
        (None, "rootless", "rootless"),
        ("pod", None, "pod"),
        ("pod", "bare", "pod"),
        ("pod", "full", "full"),
    ],
)
def test_stricter_rung_wins(hub: str | None, notebook: str | None, counts: str | None) -> None:
    settings = Settings().with_environment({"WARDIAN_REQUIRE": hub} if hub else {})
    assert settings.with_words({"require": notebook} if notebook else None).require == counts


def test_unknown_rung_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not a rung: best"):
        Settings().with_words({"require": "best"})
