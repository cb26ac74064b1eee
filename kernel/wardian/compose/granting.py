"""``secrets`` and ``configs``: what the project has, what a service is given, and where it lies.

A file of the host is bound into the container as it is, as docker has it. What comes from the
environment or from the compose file itself becomes a file of the state root, by its digest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from wardian.compose.project import FileEntry, Grant, Service
from wardian.compose.section import Section
from wardian.errors import FailedPrecondition, NotFound
from wardian.linux.whole import write_whole

MAX_ID = 1 << 16
SECRETS, CONFIGS = "secrets", "configs"
_PLACES = {SECRETS: "/run/secrets", CONFIGS: "/"}
_SOURCES = {SECRETS: ("file", "environment"), CONFIGS: ("file", "environment", "content")}


# --- as they are described -----------------------------------------------------------------------


def entries(top: Section, kind: str, variables: Mapping[str, str]) -> dict[str, FileEntry]:
    """The project's secrets or configs. Raises InvalidInput."""
    return {key: _entry(kind, key, one, variables) for key, one in top.sections(kind)}


def _entry(kind: str, key: str, one: Section, variables: Mapping[str, str]) -> FileEntry:
    if one.switch("external"):
        raise one.fault("there is no swarm that could have it", "name its file:", "external")
    given = {source: one.text(source) for source in _SOURCES[kind] if source in one}
    one.take("name")  # what it would be called in a swarm
    one.done()
    if len(given) != 1:
        raise one.fault(f"it needs one source: {', '.join(_SOURCES[kind])}", "add file: PATH")
    [(source, word)] = given.items()
    if source == "file":
        return FileEntry(key=key, path=word)
    if source == "content":
        return FileEntry(key=key, content=word.encode())
    if word not in variables:
        raise one.fault(f"the variable {word[:80]} is not set", f"set {word[:80]}", source)
    return FileEntry(key=key, content=variables[word].encode())


def grants(service: Section, kind: str, known: Mapping[str, FileEntry]) -> Iterator[Grant]:
    """Those of a service. Raises InvalidInput."""
    for number, value in enumerate(service.items(kind)):
        one = service.below(
            {"source": value} if isinstance(value, str) else value, kind, str(number)
        )
        key = one.text("source")
        if key not in known:
            raise one.fault(f"there is none called {key[:80]!r} below {kind}:")
        entry = known[key]
        target = os.path.normpath(os.path.join(_PLACES[kind], one.text("target") or key))
        own: dict[str, Any] = {}
        if "uid" in one or "gid" in one:
            own["owner"] = tuple(_id(one, name) for name in ("uid", "gid"))
        if "mode" in one:
            own["mode"] = _mode(one)
        one.done()
        if own and entry.path:
            what = "the owner and the mode of a file are those that it has"
            raise one.fault(what, "leave out uid, gid and mode, or change them at the file")
        yield Grant(entry=entry, target=target, **own)


def _id(one: Section, name: str) -> int:
    number = one.number(name) or 0
    if number >= MAX_ID:
        raise one.fault(f"it is no id in a container: {number}", "", name)
    return number


def _mode(one: Section) -> int:
    """YAML has read ``0440`` as the number it is; in quotation marks it is a word."""
    value = one.take("mode")
    try:
        mode = int(value, 8) if isinstance(value, str) else int(value)
    except (TypeError, ValueError):
        mode = -1
    if not 0 <= mode <= 0o777:
        raise one.fault("it is no mode", "write it like 0440", "mode")
    return mode


# --- as files ------------------------------------------------------------------------------------


def mounts(service: Service, folder: Path) -> tuple[str, ...]:
    """Words of ``--mount``; what is not a file yet becomes one in ``folder``.

    Raises NotFound for a file that is not there.
    """
    return tuple(
        _line(service.name, grant, grant.entry.path or str(_file(grant, folder)))
        for grant in service.grants
    )


def _line(service: str, grant: Grant, path: str) -> str:
    from wardian.compose.mounting import line

    if not os.path.exists(path):
        raise NotFound(
            f"service {service}: {grant.entry.key}: there is no file {path}",
            hint="make it, or name another",
        )
    return line(["type=bind", f"src={path}", f"dst={grant.target}", "readonly=true"])


def _file(grant: Grant, folder: Path) -> Path:
    """Made anew each time, under a name that says what is in it and whose it is."""
    uid, gid = grant.owner
    path = folder / f"{grant.entry.digest[:32]}-{uid}-{gid}-{grant.mode:o}"
    if path.exists():  # containers may have it mounted
        return path
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    write_whole(path, grant.entry.content, prepare=lambda fd: _give(fd, grant))
    return path


def _give(fd: int, grant: Grant) -> None:
    os.fchmod(fd, grant.mode)
    if os.geteuid() == 0:  # the mount maps these to the container's ids
        os.fchown(fd, *grant.owner)
    elif grant.owner != (0, 0):
        raise FailedPrecondition(
            f"{grant.entry.key}: only root can give a file to uid {grant.owner[0]}",
            hint="leave out uid and gid: its mode lets everybody in the container read it",
        )


def forget(folder: Path, used: Sequence[str] = ()) -> None:
    """Remove the files that none of the ``used`` mounts has, and the folder if it is empty."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if str(path) not in used:
            path.unlink()
    if not used:
        folder.rmdir()
