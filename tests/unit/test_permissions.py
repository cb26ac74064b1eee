"""``--chmod``: what it makes of a file's permissions, as chmod(1) does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from wardian.build.permissions import Permissions
from wardian.errors import InvalidInput

WORDS = [
    *("755", "0", "4711", "+x", "a-w", "u=rwX,go=rX", "go=", "g=u", "o=g-w", "u+s,+t", "ug=rw"),
    *("o-rwx", "a=rX", "go=u-w", "-x+X", "g+s", "u=rwx,o="),
]


@pytest.mark.parametrize("word", WORDS)
def test_permissions_are_those_that_chmod_gives(word: str, tmp_path: Path) -> None:
    """With umask 0, as BuildKit has it."""
    cases = [(mode, kind) for mode in (0o644, 0o755, 0o6750, 0o400) for kind in ("file", "folder")]
    for mode, kind in cases:
        path = tmp_path / f"{kind}-{mode:o}"
        path.mkdir() if kind == "folder" else path.touch()
        path.chmod(mode)
    subprocess.run(["chmod", word, *os.listdir(tmp_path)], cwd=tmp_path, check=True, umask=0)
    for mode, kind in cases:
        made = Permissions.parse(word).of(mode, is_directory=kind == "folder")
        told = (tmp_path / f"{kind}-{mode:o}").stat().st_mode & 0o7777
        if kind == "folder":  # whose set-id bits chmod of coreutils keeps unless they are named
            made, told = made & 0o1777, told & 0o1777
        assert f"{made:o}" == f"{told:o}", (f"{mode:o}", kind)


@pytest.mark.parametrize("word", ["", "8", "77777", "u", "u=q", "755,", "z+x", "+x,", "-1"])
def test_word_that_says_nothing_is_refused(word: str) -> None:
    with pytest.raises(InvalidInput, match="invalid chmod parameter"):
        Permissions.parse(word)
