"""Copying files and trees from here to there as an archive, with the rules of `docker cp`."""

from __future__ import annotations

import os
import posixpath
import stat
from typing import BinaryIO

import msgspec

from wardian.errors import InvalidInput, NotFound
from wardian.storage import layers, packing
from wardian.storage.layers import Owners, Policy

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Source(msgspec.Struct, frozen=True):
    """What is copied: ``name`` in ``folder``; the contents alone if the path ended in ``/.``."""

    folder: str
    name: str
    is_directory: bool
    contents_only: bool


class Target(msgspec.Struct, frozen=True):
    """Where it goes: into ``folder``, there to be called ``name`` (as it is called if empty)."""

    folder: str
    name: str


def source(path: str, *, follow: bool) -> Source:
    """Look at what is to be copied; NotFound. With ``follow`` a symlink is what it points to."""
    if follow and os.path.islink(path):
        path = os.path.realpath(path)
    plain = path.rstrip("/") or "/"
    contents_only = plain.endswith("/.") or plain == "."
    full = os.path.abspath(plain)
    try:
        status = os.lstat(full) if not path.endswith("/") else os.stat(full)
    except OSError as error:
        raise NotFound(f"cannot copy {path}: {error.strerror}") from error
    is_directory = stat.S_ISDIR(status.st_mode)
    if path.endswith("/") and not is_directory:
        raise InvalidInput(f"cannot copy {path}: it is not a directory")
    folder, name = posixpath.split(full)
    return Source(folder, name, is_directory, contents_only or full == "/")


def target(path: str, *, of_directory: bool, contents_only: bool) -> Target:
    """Where a source goes, by docker's rules; NotFound or InvalidInput if it cannot go there."""
    full = os.path.abspath(path)
    if os.path.isdir(full):
        return Target(full, "." if contents_only and of_directory else "")
    if os.path.lexists(full):
        if of_directory:
            raise InvalidInput(
                f"cannot copy a directory to {path}: it is a file", hint="name a directory"
            )
        return Target(posixpath.dirname(full), posixpath.basename(full))
    if path.endswith("/") and not of_directory:
        raise NotFound(f"no such directory: {path}", hint="make it first")
    folder = posixpath.dirname(full)
    if not os.path.isdir(folder):
        raise NotFound(f"no such directory: {folder}", hint="make it first")
    return Target(folder, posixpath.basename(full))


def pack(what: Source, name: str, output: BinaryIO) -> int:
    """Write the source as an archive in which it has this name (``.``: its contents); bytes."""
    folder = os.open(what.folder, _DIRECTORY)
    try:
        packed = packing.pack_one(folder, what.name, name or what.name, output)
    finally:
        os.close(folder)
    output.flush()
    return packed.size_bytes


def unpack(stream: BinaryIO, folder: str, *, keep_owners: bool, privileges: bool) -> int:
    """Unpack such an archive into a directory, over what is there; how many bytes of files.

    Without ``privileges`` no file is setuid or has capabilities afterwards.
    """
    fd = os.open(folder, _DIRECTORY)
    try:
        owners = Owners.AS_ARCHIVED if keep_owners else Owners.CALLER
        policy = Policy(owners=owners, privileges=privileges)
        return layers.unpack(stream, fd, policy=policy).data_bytes
    finally:
        os.close(fd)
