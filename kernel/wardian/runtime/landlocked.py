"""Landlock rules of a container: what of its files its processes may read, write and execute."""

from __future__ import annotations

import os
import stat

from wardian.errors import KernelRefused, SetupError
from wardian.linux import landlock
from wardian.linux.openat2 import RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, openat2
from wardian.runtime.spec import LandlockRule

# Nothing runs without these: init opens terminals, libraries read /proc; what a container may do
# there is decided elsewhere.
ALWAYS = (LandlockRule(path="/dev", access="rw"), LandlockRule(path="/proc", access="rw"))


def restrict(rules: tuple[LandlockRule, ...]) -> None:
    """Put the rules on this process and its children. SetupError if that cannot be.

    From within the container's root. A path that a link leads to is refused: the image could
    otherwise choose what is allowed.
    """
    if not rules:
        return
    abi = landlock.abi_version()
    if abi == 0:
        raise SetupError(
            "this kernel has no Landlock, or it is not switched on",
            hint="boot with lsm=landlock,… or leave out --security-opt landlock",
        )
    handled = landlock.rights(abi)
    ruleset = landlock.create_ruleset(handled)
    try:
        for rule in (*ALWAYS, *rules):
            _allow(ruleset, rule, handled)
        landlock.restrict_self(ruleset)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, rule: LandlockRule, handled: int) -> None:
    try:
        how = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
        fd = openat2(-100, rule.path, os.O_PATH | os.O_CLOEXEC, resolve=how)
    except KernelRefused as error:
        raise SetupError(
            f"Landlock: cannot open {rule.path} in the container: {os.strerror(error.errno)}",
            hint="name a file or directory that it has, not a link to one",
        ) from error
    try:
        granted = _granted(rule.access) & handled
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            granted &= landlock.OF_FILES
        landlock.allow_beneath(ruleset, fd, granted)
    finally:
        os.close(fd)


def _granted(access: str) -> int:
    reading = landlock.READ_FILE | landlock.READ_DIR
    granted = reading if "r" in access else 0
    granted |= landlock.EXECUTE if "x" in access else 0
    return granted | (~(reading | landlock.EXECUTE) if "w" in access else 0)
