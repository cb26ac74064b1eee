"""What the command says: on standard error, and to --log as runc writes it there."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress

import msgspec


class Log(msgspec.Struct):
    """Where to, in which format (text or json), and whether debug lines too."""

    path: str = ""
    format: str = "text"
    is_debug: bool = False

    def error(self, what: str) -> None:
        """What ends the command."""
        self._write("error", what)

    def warning(self, what: str) -> None:
        """What must be known though the command goes on."""
        self._write("warning", what)

    def debug(self, what: str) -> None:
        """What --debug shows."""
        if self.is_debug:
            self._write("debug", what)

    def _write(self, level: str, what: str) -> None:
        prefix = "" if level == "error" else f"{level}: "
        # With a log, standard error may be the container's, which only a failed one does without.
        if level == "error" or not self.path:
            with suppress(OSError):
                print(f"wardian-oci: {prefix}{what}", file=sys.stderr)  # noqa: T201
        if not self.path:
            return
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = msgspec.json.encode({"level": level, "msg": what, "time": now})
        if self.format != "json":
            quoted = msgspec.json.encode(what).decode()
            line = f'time="{now}" level={level} msg={quoted}'.encode()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        with suppress(OSError):
            fd = os.open(self.path, flags, 0o600)
            os.write(fd, line + b"\n")
            os.close(fd)


LOG = Log()
