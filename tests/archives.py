"""Archives for tests, written by the standard library."""

from __future__ import annotations

import io
import tarfile

Member = str | tuple[str, bytes] | tarfile.TarInfo


def archive(*members: Member) -> bytes:
    """A tar: "dir/" a directory, "a -> b" a symlink, "a => b" a hard link, ("a", b"x") a file."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            data = b""
            if isinstance(member, tarfile.TarInfo):
                info = member
            elif isinstance(member, tuple):
                info, data = tarfile.TarInfo(member[0]), member[1]
                info.size = len(data)
            else:
                info = _member(member)
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def _member(text: str) -> tarfile.TarInfo:
    for arrow, kind in ((" -> ", tarfile.SYMTYPE), (" => ", tarfile.LNKTYPE)):
        if arrow in text:
            info = tarfile.TarInfo(text.split(arrow, maxsplit=1)[0])
            info.type, info.linkname = kind, text.split(arrow)[1]
            return info
    info = tarfile.TarInfo(text.rstrip("/"))
    if text.endswith("/"):
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    return info
