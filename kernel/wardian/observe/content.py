"""What is in a file as one layer has it: text, where a link leads, a device's numbers.

The layer belongs to a container, or to whoever made the image. No symlink is followed, nothing but
a regular file is opened for reading (a named pipe would wait, a device do something), and of that
one only its beginning is read.
"""

from __future__ import annotations

import codecs
import enum
import os
import re
import stat
from pathlib import Path

import msgspec
from msgspec.structs import replace

from wardian.errors import KernelRefused
from wardian.observe.frames import Kind
from wardian.observe.label import label, visible
from wardian.observe.lowers import kind_of
from wardian.storage import foreign
from wardian.storage.tree import open_below

MOST_BYTES = 64 << 10
_PATH_ONLY = os.O_PATH | os.O_NOFOLLOW
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NO_TEXT = re.compile("[\\udc80-\\udcff]")  # bytes that are no UTF-8
_MOST_OF_IT = 10  # one in so many characters: it is another encoding, or no text


class Form(enum.Enum):
    """What can be shown of a file.

    ``NOTHING``: it has no content (a directory, a pipe, a whiteout). ``REFUSED``: the user of the
    kernel may not read it. ``GONE``: it is not there any more.
    """

    TEXT = "text"
    BINARY = "binary"
    TARGET = "target"
    DEVICE = "device"
    NOTHING = "nothing"
    REFUSED = "refused"
    GONE = "gone"


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """A path's content in one layer.

    ``text`` is that of a file, a link's target, or the numbers of a device, without characters
    that cannot be seen (`visible`): ``is_escaped`` if there were any. Of a file it is at most
    the first ``read_bytes`` of ``size_bytes``.
    """

    layer: str
    form: Form
    kind: Kind | None = None
    size_bytes: int = 0
    read_bytes: int = 0
    text: str = ""
    is_escaped: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether all of a file was read."""
        return self.read_bytes == self.size_bytes


class Reading(msgspec.Struct, frozen=True):
    """A content, and the lines of a text as they are, with their ends: to be compared."""

    content: Content
    lines: tuple[str, ...] | None = None


def read(layer: str, directory: Path, path: str) -> Reading:
    """What ``path`` is in the layer that lies in ``directory``; the answer says what failed."""
    return foreign.read(
        lambda: _opened(layer, directory, path),
        Reading,
        lambda found: found.content.form is Form.REFUSED,
    )


def _opened(layer: str, directory: Path, path: str) -> Reading:
    try:
        root_fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fd = open_below(root_fd, path, _PATH_ONLY)
        finally:
            os.close(root_fd)
    except FileNotFoundError:
        return Reading(Content(layer=layer, form=Form.GONE))
    except (OSError, KernelRefused):
        return Reading(Content(layer=layer, form=Form.REFUSED))
    try:
        return _read(layer, fd)
    finally:
        os.close(fd)


def _read(layer: str, fd: int) -> Reading:
    facts = os.fstat(fd)
    content = Content(layer=layer, form=Form.NOTHING, kind=kind_of(facts))
    if stat.S_ISREG(facts.st_mode):
        return _file(content, fd)
    if stat.S_ISLNK(facts.st_mode):
        target = os.readlink("", dir_fd=fd)
        return Reading(replace(content, form=Form.TARGET, text=label(target, max_chars=4096)))
    if content.kind is Kind.DEVICE:
        letter = "c" if stat.S_ISCHR(facts.st_mode) else "b"
        numbers = f"{letter} {os.major(facts.st_rdev)}, {os.minor(facts.st_rdev)}"
        return Reading(replace(content, form=Form.DEVICE, text=numbers))
    return Reading(content)


def _file(content: Content, fd: int) -> Reading:
    """Of the inode that ``fd`` stands for: its name may be another's by now."""
    try:
        data, size = _beginning(fd)
    except OSError:
        return Reading(replace(content, form=Form.REFUSED))
    content = replace(content, size_bytes=size, read_bytes=len(data))
    text = _text(data, is_cut=size > len(data))
    if text is None:
        return Reading(replace(content, form=Form.BINARY))
    lines = text.split("\n")
    shown = [visible(line) for line in lines]
    content = replace(content, form=Form.TEXT, text="\n".join(shown), is_escaped=shown != lines)
    ended = [f"{line}\n" for line in lines[:-1]]
    if content.is_whole and lines[-1]:  # else nobody knows how it ends
        ended.append(lines[-1])
    return Reading(content, tuple(ended))


def _beginning(fd: int) -> tuple[bytes, int]:
    """The first bytes of a regular file and how many it has."""
    reading = os.open(f"/proc/self/fd/{fd}", _READ)
    try:
        parts, missing = [], MOST_BYTES
        while missing and (part := os.read(reading, missing)):
            parts.append(part)
            missing -= len(part)
        data = b"".join(parts)
        return data, max(len(data), os.fstat(reading).st_size)
    finally:
        os.close(reading)


def _text(data: bytes, *, is_cut: bool) -> str | None:
    """None of what is no text. A character that the end cuts in two is left out."""
    if b"\0" in data:
        return None
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    text = decoder.decode(data, final=not is_cut)
    return None if len(_NO_TEXT.findall(text)) * _MOST_OF_IT > len(text) else text
