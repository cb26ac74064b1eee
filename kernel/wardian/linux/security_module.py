"""AppArmor and SELinux: which is active, and the label that a program gets with execve(2).

apparmor(7); proc_pid_attr(5): ``exec`` is the label of whatever this process, and what it forks,
becomes next.
"""

from __future__ import annotations

import enum
import errno
import os
from contextlib import suppress
from pathlib import Path

from wardian.errors import KernelRefused
from wardian.linux.statfs import PROC_SUPER_MAGIC, file_system_type

_OWN = Path("/proc/self/attr")


class SecurityModule(enum.Enum):
    """The modules that label programs, by the names that people know."""

    APPARMOR = "AppArmor"
    SELINUX = "SELinux"


def is_active(module: SecurityModule, sys: Path = Path("/sys")) -> bool:
    """Whether this kernel labels with it."""
    if module is SecurityModule.SELINUX:
        return (sys / "fs/selinux/enforce").exists()
    with suppress(OSError):
        return (sys / "module/apparmor/parameters/enabled").read_text().startswith("Y")
    return False


def set_exec_label(module: SecurityModule, label: str, attributes: Path = _OWN) -> None:
    """Give this label to what this process and its children become.

    Raises KernelRefused: ENOENT for a profile that AppArmor has not loaded, EINVAL for a label
    that SELinux does not know or where the module is not active, ENOTSUP for a file that is not
    the kernel's own (CVE-2019-16884).
    """
    path, text = attributes / "exec", label
    if module is SecurityModule.APPARMOR:
        text = f"exec {label}"
        if (own := attributes / "apparmor/exec").exists():  # since Linux 5.8
            path = own
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if file_system_type(fd) != PROC_SUPER_MAGIC:
                raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
            os.write(fd, text.encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise KernelRefused("write", error.errno or 0, f"{label} to {path}") from error
