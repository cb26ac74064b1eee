"""Korean reaches JupyterLab by its own entry points, with our wheel alone."""

from __future__ import annotations

import sys
from importlib import reload
from pathlib import Path

import pytest
from jupyterlab_server.translation_utils import get_language_pack, get_language_packs

from wardian.jupyter.server import language_pack


def test_korean_is_on_offer() -> None:
    packs, message = get_language_packs()
    assert message == ""
    assert packs["ko_KR"]["nativeName"] == "한국어 (대한민국)"


def test_our_words_come_with_korean() -> None:
    words, message = get_language_pack("ko_KR")
    assert message == ""
    assert words["wardian"]["Containers"] == ["컨테이너"]
    assert words["wardian"][""]["language"] == "ko-KR"


def test_jupyterlabs_own_pack_goes_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "jupyterlab_language_pack_ko_KR"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        assert reload(language_pack).korean.__file__ == str(package / "__init__.py")
    finally:
        monkeypatch.undo()
        sys.modules.pop("jupyterlab_language_pack_ko_KR", None)
        reload(language_pack)
