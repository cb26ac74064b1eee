"""Probes of what confines a process: seccomp, no_new_privs, Landlock, capabilities, new calls."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

from wardian.errors import KernelRefused, SetupError
from wardian.linux import capabilities, landlock, namespaces, process, seccomp
from wardian.linux.capabilities import Capability
from wardian.linux.syscall import number, syscall
from wardian.runtime.probes.attempt import Result, attempt

# Called so that they fail where they exist: ENOSYS is what tells that they do not.
NEW_CALLS = (
    "openat2",
    "pidfd_open",
    "pidfd_send_signal",
    "close_range",
    "open_tree",
    "move_mount",
    "mount_setattr",
    "fsopen",
)


def system_calls() -> Result:
    """The younger system calls that a start needs; for clone3 clone does, as it does there."""

    def deed() -> str:
        missing = [name for name in NEW_CALLS if _is_missing(name)]
        if missing:
            raise SetupError(f"not there: {', '.join(missing)}")
        host_pid, pidfd = process.clone3(0)
        if host_pid == 0:
            os._exit(0)
        os.close(pidfd)
        os.waitpid(host_pid, 0)
        return "clone3 is hidden, clone does" if _is_missing("clone3") else ""

    return attempt(deed)


def _is_missing(name: str) -> bool:
    try:
        number(name)
        syscall(name, -1, 0, -1, 0, -1)
    except KernelRefused as error:
        return error.errno == errno.ENOSYS
    return False


def default_filter() -> Result:
    """The default seccomp filter in force: what it refuses is refused."""

    def deed() -> str:
        program = seccomp.compile_default(capabilities.DEFAULT)
        process.set_no_new_privs()
        seccomp.load(program)
        try:
            namespaces.unshare(namespaces.CLONE_NEWUSER)
        except KernelRefused as error:
            if error.errno == errno.EPERM:
                return ""
        raise SetupError("the filter is loaded, but a call that it refuses goes through")

    return attempt(deed)


def filter_compiler() -> Result:
    """libseccomp, which compiles filters for other capabilities and custom profiles."""

    def deed() -> str:
        ctypes.CDLL("libseccomp.so.2")
        return ""

    return attempt(deed)


def no_new_privileges() -> Result:
    """PR_SET_NO_NEW_PRIVS, set and read back."""

    def deed() -> str:
        process.set_no_new_privs()
        if "NoNewPrivs:\t1" not in Path("/proc/self/status").read_text():
            raise SetupError("it was set and is not in force")
        return ""

    return attempt(deed)


def landlock_rules() -> Result:
    """A Landlock ruleset in force: a file that it does not allow cannot be read."""

    def deed() -> str:
        version = landlock.abi_version()
        if version == 0:
            raise SetupError("this kernel has none, or it was not enabled at boot")
        process.set_no_new_privs()
        landlock.restrict_self(landlock.create_ruleset(landlock.ACCESS_FS_READ_FILE))
        try:
            os.close(os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC))
        except PermissionError:
            return f"ABI {version}"
        raise SetupError("a file that the rules do not allow can be read")

    return attempt(deed)


def lacking_capabilities() -> list[str]:
    """What root here lacks of the capabilities that this kernel knows."""
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    status = Path("/proc/self/status").read_text()
    held = next(int(line.split()[1], 16) for line in status.splitlines() if line[:7] == "CapEff:")
    return [c.name for c in Capability if c <= last and not held >> c & 1]
