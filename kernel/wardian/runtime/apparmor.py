"""The AppArmor profile of a container's programs (``--security-opt apparmor=PROFILE``)."""

from __future__ import annotations

import errno
import os

from wardian.errors import KernelRefused, SetupError
from wardian.linux.security_module import SecurityModule, is_active, set_exec_label


def check(profile: str) -> None:
    """SetupError for a profile where AppArmor is not active."""
    if profile and not is_active(SecurityModule.APPARMOR):
        raise SetupError(
            f"the AppArmor profile {profile[:80]!r} needs AppArmor, which is not active",
            hint="boot with lsm=…,apparmor, or leave out --security-opt apparmor",
        )


def take(profile: str) -> None:
    """Whatever this process starts from now on runs under the profile. Raises SetupError."""
    if not profile:
        return
    try:
        set_exec_label(SecurityModule.APPARMOR, profile)
    except KernelRefused as error:
        if error.errno == errno.ENOENT:
            raise SetupError(
                f"AppArmor has no profile {profile[:80]!r}",
                hint="load it with apparmor_parser -r FILE, or name one that is loaded",
            ) from error
        raise SetupError(
            f"AppArmor does not take the profile {profile[:80]!r}: {os.strerror(error.errno)}",
            hint="leave out --security-opt apparmor",
        ) from error
