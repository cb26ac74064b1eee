"""The walls that a process without privileges can put around itself and its children, for good."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

import msgspec

from wardian.bare import truncation
from wardian.bare.reach import Reach, beneath
from wardian.errors import KernelRefused, SetupError
from wardian.linux import capabilities, landlock, process, seccomp

LATEST = 1 << 31  # no version is that high
READING = landlock.EXECUTE | landlock.READ_FILE | landlock.READ_DIR
FILES, SIGNALS, CALLS, SIZES = "files", "signals", "system calls", "sizes"


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
    def has_sizes(self) -> bool:
        """Whether they can empty no file that they may not write (truncate(2))."""
        return SIZES not in self.missing

    @property
    def has_filter(self) -> bool:
        """Whether the default filter of containers is in force."""
        return CALLS not in self.missing


def raise_walls(reach: Reach, *, most: int = LATEST) -> Walls:
    """Put up every wall that this kernel gives. SetupError where too few would be left.

    Only for processes of one thread. ``most`` is the latest version of Landlock to make use of, as
    if the kernel had no later one.
    """
    _drop_capabilities()
    process.set_no_new_privs()
    missing: dict[str, str] = {}
    version = 0
    try:
        version = _restrict_files(reach, most)
    except KernelRefused as error:
        missing[FILES] = missing[SIGNALS] = f"Landlock is refused: {error.what}"
    else:
        if version == 0:
            missing[FILES] = missing[SIGNALS] = "this kernel has no Landlock, or it is switched off"
        elif not landlock.scopes(version):
            missing[SIGNALS] = f"this kernel's Landlock ({version}) does not hold signals back"
        if 0 < version < truncation.GOVERNED_FROM:
            missing |= _refuse_truncation()
    if (open_to := missing.get(FILES) or missing.get(SIZES)) and os.geteuid() == 0:
        raise SetupError(
            f"cells would be root here with no wall around this machine's files: {open_to}",
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


def _refuse_truncation() -> dict[str, str]:
    """What is missing then: nothing, or why a file's size is open to all."""
    try:
        truncation.refuse()
    except KernelRefused as error:
        return {SIZES: f"this kernel's Landlock does not govern truncate; {error.what}"}
    return {}


def _restrict_files(reach: Reach, most: int) -> int:
    """The version of Landlock by which the rules are in force; 0 if there is none."""
    abi = min(landlock.abi_version(), most)
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
