"""Every error a user can meet.

    WardianError
      SetupError           the host lacks something (kernel feature, program, permission)
      KernelRefused        a system call failed; carries its name and errno
      InvalidInput         a name, size, reference or option that cannot be right
      NotFound             no such container, image, layer, file
      AlreadyExists        the name is taken
      FailedPrecondition   right request, wrong state (not running, in use)
      LimitHit             a cgroup or time limit ended what was asked for
      CommandFailed        a program in the container could not be run; carries its exit code
      RegistryFailed       a registry cannot be reached, refuses, or does not keep to the protocol
      ProtocolError        the other side of a socket said something impossible

Each says *what* happened and to what in one line, and in ``hint`` what to do about it.
"""

from __future__ import annotations

import errno as errno_names
import os

TYPE_CHECKING = False  # typing takes 3 ms, which `wardian-oci` does without in its first half

if TYPE_CHECKING:
    from pathlib import Path


class WardianError(Exception):
    """Base of every error that Wardian raises on purpose."""

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}\nhint: {self.hint}" if self.hint else self.what


class SetupError(WardianError):
    """The host lacks something that the request needs."""


class KernelRefused(WardianError):
    """A system call failed.

    ``call`` is the man page's name of the call, ``errno`` its error number.
    """

    def __init__(self, call: str, errno: int, what: str = "", *, hint: str = "") -> None:
        name = errno_names.errorcode.get(errno, str(errno))
        subject = f" {what}" if what else ""
        super().__init__(f"{call}{subject}: {os.strerror(errno)} ({name})", hint=hint)
        self.call = call
        self.errno = errno


class InvalidInput(WardianError):
    """A name, size, reference or option that cannot be right."""


class NotFound(WardianError):
    """There is no such container, image, layer or file."""


class AlreadyExists(WardianError):
    """The name is taken."""


class FailedPrecondition(WardianError):
    """The request is right, but the thing is in the wrong state for it."""


class LimitHit(WardianError):
    """A memory, process or time limit ended what was asked for."""


class CommandFailed(WardianError):
    """A program in a container could not be run or ended badly.

    ``exit_code`` follows docker: 125 the runtime failed, 126 cannot be executed, 127 not found.
    """

    def __init__(self, what: str, *, exit_code: int, hint: str = "") -> None:
        super().__init__(what, hint=hint)
        self.exit_code = exit_code


class RegistryFailed(WardianError):
    """A registry cannot be reached, refuses, or does not keep to the protocol."""


class ProtocolError(WardianError):
    """The other side of a socket said something impossible; treat it as hostile."""


def not_ours(path: Path, why: str) -> SetupError:
    """What is stored there is not in this version's form: it is somebody's, and stays."""
    return SetupError(
        f"another version of Wardian wrote {path}: {why}",
        hint="use that version, or set WARDIAN_ROOT to a directory of this one's own",
    )


def revived(kind: str, what: str, hint: str = "", exit_code: int | None = None) -> WardianError:
    """An error that crossed a socket as the name of its class and its words, as an exception again.

    One of the kernel's is a SetupError here: its call was another process's.
    """
    found = globals().get(kind, WardianError)
    if not (isinstance(found, type) and issubclass(found, WardianError)):
        return ProtocolError(what)
    if found is CommandFailed:
        return CommandFailed(what, exit_code=exit_code or 125, hint=hint)
    return (SetupError if found is KernelRefused else found)(what, hint=hint)
