"""Files of variables: ``.env`` and ``env_file``, as docker compose reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from wardian.compose.interpolation import interpolated
from wardian.errors import InvalidInput

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*(?:[=:]\s*(.*))?")
_QUOTED = re.compile(r"""(['"])((?:\\.|(?!\1).)*)\1\s*(?:#.*)?""")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "$": "$$"}


def read(path: Path, known: Mapping[str, str], *, is_raw: bool = False) -> dict[str, str]:
    """The variables of a file; values may name those above them and the ``known`` ones.

    In a raw one they are what is written, quotation marks and dollars too.

    Raises InvalidInput. A name without a value is the known one's, if there is such a one.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InvalidInput(f"cannot read the environment file {path}: {why}") from error
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        plain = line.strip()
        if not plain or plain.startswith("#"):
            continue
        parts = _LINE.fullmatch(plain)
        if parts is None:
            raise InvalidInput(
                f"{path}:{number}: not a variable: {plain[:40]!r}", hint="NAME=value"
            )
        if parts[2] is not None:
            found[parts[1]] = parts[2] if is_raw else _value(parts[2], {**found, **known})
        elif parts[1] in known:
            found[parts[1]] = known[parts[1]]
    return found


def read_all(files: Sequence[Path], directory: Path, known: Mapping[str, str]) -> dict[str, str]:
    """The variables of these files, or of the directory's ``.env`` if none is named."""
    usual = directory / ".env"
    found: dict[str, str] = {}
    for path in files or ([usual] if usual.is_file() else []):
        found.update(read(path, {**found, **known}))
    return found


def _value(word: str, known: Mapping[str, str]) -> str:
    quoted = _QUOTED.fullmatch(word)
    if quoted is None:
        return interpolated(re.sub(r"\s+#.*|^#.*", "", word).strip(), known)
    if quoted[1] == "'":
        return quoted[2]
    text = re.sub(
        r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), quoted[2], flags=re.DOTALL
    )
    return interpolated(text, known)
