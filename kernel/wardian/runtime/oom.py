"""Whom the kernel's OOM killer prefers: /proc/PID/oom_score_adj (proc(5))."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from wardian.errors import CommandFailed


def check(host_pid: int | None, adjustment: int) -> None:
    """CommandFailed if a process of init's, here by its PID, may not have this adjustment.

    To go lower than what was inherited takes CAP_SYS_RESOURCE. It is tried on init, which has
    its own value back at once: so a program never runs with another preference than it should.
    """
    if adjustment == 0:
        return
    file = Path(f"/proc/{host_pid}/oom_score_adj")
    try:
        own = file.read_text()
        if adjustment >= int(own):
            return
        file.write_text(str(adjustment))
        file.write_text(own)
    except PermissionError as error:
        raise CommandFailed(
            f"cannot set oom_score_adj to {adjustment}: {error.strerror}",
            exit_code=125,
            hint="lowering it takes CAP_SYS_RESOURCE on this machine; give no less than 0",
        ) from error
    except OSError:
        return  # init has ended, and that will be said


def prefer(host_pid: int, adjustment: int) -> None:
    """Adjust a process that runs; `check` has said whether that is allowed."""
    with suppress(FileNotFoundError, ProcessLookupError):  # it has ended already
        Path(f"/proc/{host_pid}/oom_score_adj").write_text(str(adjustment))
