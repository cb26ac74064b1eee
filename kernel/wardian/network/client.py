"""The way to the switch, for the keeper: one question, one answer."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from wardian import errors
from wardian.errors import ProtocolError, SetupError, WardianError
from wardian.network import messages as m

SOCKET = "switch.sock"
PATIENCE_S = 20.0

T = TypeVar("T", bound=m.Reply)


class SwitchClient:
    """A connection that is opened when it is needed.

    ``remind`` is called with every new switch, before anything else is asked of it: it tells what
    runs already.
    """

    def __init__(self, root: Path, remind: Callable[[], None]) -> None:
        self._root = root
        self._remind = remind
        self._socket: socket.socket | None = None

    def ask(self, request: m.Request, kind: type[T], fds: Sequence[int] = ()) -> T:
        """The answer; raises what the switch refused it with. Starts a switch if need be."""
        for is_last in (False, True):
            self.open()
            try:
                return self._exchange(request, kind, fds)
            except EOFError:
                self.close()
                if is_last:
                    break
        raise SetupError("the switch ends again and again", hint="see switch.log")

    def open(self) -> None:
        """Find the switch, or start one, and tell it of what runs."""
        if self._socket is None:
            self._socket = self._open()
            self._remind()

    @property
    def fd(self) -> int | None:
        """Readable when the switch is gone."""
        return self._socket.fileno() if self._socket is not None else None

    def close(self) -> None:
        """Hang up: it may leave when nobody is connected."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _exchange(self, request: m.Request, kind: type[T], fds: Sequence[int]) -> T:
        assert self._socket is not None
        try:
            socket.send_fds(self._socket, [m.encode(request)], list(fds))
            data = self._socket.recv(m.MAX_BYTES)
        except TimeoutError:
            self.close()
            raise SetupError("the switch does not answer", hint="see switch.log") from None
        except OSError as error:
            raise EOFError from error
        if not data:
            raise EOFError
        reply = m.decode_reply(data)
        if isinstance(reply, m.Failed):
            raise _as_error(reply)
        if not isinstance(reply, kind):
            raise ProtocolError(f"the switch answered {type(reply).__name__}")
        return reply

    def _open(self) -> socket.socket:
        if os.geteuid() != 0:
            raise SetupError(
                "only root can connect containers to a bridge",
                hint="use --network none or host; networks without root are not there yet",
            )
        with suppress(OSError):
            return self._connect()
        self._start()
        try:
            return self._connect()
        except OSError as error:
            raise SetupError(f"cannot reach the switch: {error.strerror}") from error

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        directory = os.open(self._root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            connection.settimeout(PATIENCE_S)
            connection.connect(f"/proc/self/fd/{directory}/{SOCKET}")
        except OSError:
            connection.close()
            raise
        finally:
            os.close(directory)
        return connection

    def _start(self) -> None:
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
        try:
            subprocess.run(
                [sys.executable, "-m", "wardian.network.switch", str(self._root), str(write_fd)],
                pass_fds=(write_fd,),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )
            os.close(write_fd)
            write_fd = -1
            answer = os.read(read_fd, 1 << 16)
        finally:
            os.close(read_fd)
            if write_fd >= 0:
                os.close(write_fd)
        if answer != b"+":
            failure = m.decode_reply(answer) if answer else None
            if isinstance(failure, m.Failed):
                raise _as_error(failure)
            raise SetupError("the switch does not start", hint=f"see {self._root / 'switch.log'}")


def _as_error(failure: m.Failed) -> WardianError:
    kind = getattr(errors, failure.kind, WardianError)
    if not (isinstance(kind, type) and issubclass(kind, WardianError)):
        return ProtocolError(failure.what)
    return kind(failure.what, hint=failure.hint)
