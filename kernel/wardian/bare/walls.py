"""The walls that a process without privileges can put around itself and its children, for good."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

import msgspec

from wardian.bare.reach import Reach, beneath
from wardian.errors import KernelRefused, SetupError
from wardian.linux import capabilities, landlock, process, seccomp

READING = landlock.EXECUTE | landlock.READ_FILE | landlock.READ_DIR
FILES, SIGNALS, CALLS = "files", "signals", "system calls"


class Walls(msgspec.Struct, frozen=True, kw_only=True):
    """What stands. ``landlock`` is its version (0: none); ``missing`` says why, wall by wall."""

    landlock: int
    missing: dict[str, str]

    @property
    def has_files(self) -> bool:
        """Whether they can only write to what is theirs."""
        return FILES not in self.missing

    @property
    def has_signals(self) -> bool:
        """Whether they can signal no process but their own."""
        return SIGNALS not in self.missing

    @property
    def has_filter(self) -> bool:
        """Whether the default filter of containers is in force."""
        return CALLS not in self.missing


def raise_walls(reach: Reach) -> Walls:
    """Put up every wall that this kernel gives. SetupError where too few would be left.

    Only for processes of one thread.
    """
    _drop_capabilities()
    process.set_no_new_privs()
    missing = {}
    version = 0
    try:
        version = _restrict_files(reach)
    except KernelRefused as error:
        missing[FILES] = missing[SIGNALS] = f"Landlock is refused: {error.what}"
    else:
        if version == 0:
            missing[FILES] = missing[SIGNALS] = "this kernel has no Landlock, or it is switched off"
        elif not landlock.scopes(version):
            missing[SIGNALS] = f"this kernel's Landlock ({version}) does not hold signals back"
    if FILES in missing and os.geteuid() == 0:
        raise SetupError(
            f"cells would be root here with no wall around this machine's files: {missing[FILES]}",
            hint="start Jupyter as an ordinary user",
        )
    try:
        seccomp.load(seccomp.compile_default(capabilities.DEFAULT))
    except (KernelRefused, SetupError) as error:
        missing[CALLS] = error.what
    return Walls(landlock=version, missing=missing)


def _drop_capabilities() -> None:
    """An ordinary user has none. Root's bounding set may be kept from us: no_new_privs holds it."""
    with suppress(KernelRefused):
        capabilities.drop_bounding(())
    with suppress(KernelRefused):
        capabilities.clear_ambient()
    capabilities.set_capabilities(effective=(), permitted=(), inheritable=())


def _restrict_files(reach: Reach) -> int:
    """The version of Landlock by which the rules are in force; 0 if there is none."""
    abi = landlock.abi_version()
    if abi == 0:
        return 0
    everything = landlock.rights(abi)
    ruleset = landlock.create_ruleset(everything, landlock.scopes(abi))
    try:
        for path in (*beneath("/", reach.hidden), *reach.readable):
            _allow(ruleset, path, READING)
        for path in reach.writable:
            _allow(ruleset, path, everything)
        landlock.restrict_self(ruleset)
    finally:
        os.close(ruleset)
    return abi


def _allow(ruleset: int, path: str, rights: int) -> None:
    """What is not there, or not ours to see, is not allowed either."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        is_directory = stat.S_ISDIR(os.fstat(fd).st_mode)
        landlock.allow_beneath(ruleset, fd, rights if is_directory else rights & landlock.OF_FILES)
    finally:
        os.close(fd)
