"""Which notebook a kernel belongs to, and what its file says about the container."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

MAX_NOTEBOOK_BYTES = 64 << 20


class Notebook(msgspec.Struct, frozen=True):
    """A notebook's file. Its container is found again by the file's path."""

    path: Path

    @classmethod
    def of_session(cls, session_name: str, workdir: Path) -> Notebook | None:
        """The file that a Jupyter session is named after, or None.

        ``session_name`` is ``JPY_SESSION_NAME``: the notebook's path, absolute or as the server
        names it, while the kernel's working directory is the notebook's. Consoles and headless
        runs have no file: they are nobody's.
        """
        if not session_name:
            return None
        for candidate in (
            Path(session_name),
            workdir / session_name,
            workdir / Path(session_name).name,
        ):
            with suppress(OSError):
                if candidate.is_absolute() and candidate.is_file():
                    return cls(candidate.resolve())
        return None

    @property
    def key(self) -> str:
        """A short name for it that is no other notebook's: the file's stem and a digest."""
        stem = re.sub(r"[^a-z0-9]+", "-", self.path.stem.lower()).strip("-")[:24] or "notebook"
        digest = hashlib.sha256(str(self.path).encode("utf-8", "surrogateescape")).hexdigest()
        return f"{stem}-{digest[:8]}"

    def settings(self) -> object:
        """The notebook's ``metadata.wardian``, unchecked; None if there is none to be read."""
        with suppress(OSError, ValueError):
            if self.path.stat().st_size <= MAX_NOTEBOOK_BYTES:
                document = json.loads(self.path.read_bytes())
                metadata = document.get("metadata") if isinstance(document, Mapping) else None
                return metadata.get("wardian") if isinstance(metadata, Mapping) else None
        return None
