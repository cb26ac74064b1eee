"""The way to the switch, for the keeper: one question, one answer."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeVar

from wardian.errors import ProtocolError, SetupError, WardianError, revived
from wardian.linux import process, unix_socket
from wardian.network import messages as m

SOCKET = "switch.sock"
PATIENCE_S = 20.0
ATTEMPTS = 20

T = TypeVar("T", bound=m.Reply)


class Watcher(Protocol):
    """An event loop, as far as it is needed here."""

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        """Call ``callback`` whenever ``fd`` is readable."""

    def unwatch(self, fd: int) -> None:
        """Forget a descriptor."""


class SwitchClient:
    """A connection that is opened when it is needed. While it is there, so is the switch.

    ``remind`` is called with every new switch, before anything else is asked of it: it tells what
    runs already. A switch that is lost is replaced at once if anything does (``is_needed``).
    """

    def __init__(
        self,
        root: Path,
        loop: Watcher,
        *,
        remind: Callable[[], None],
        is_needed: Callable[[], bool],
    ) -> None:
        self._root = root
        self._loop = loop
        self._remind = remind
        self._is_needed = is_needed
        self._socket: socket.socket | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a switch that knows us."""
        return self._socket is not None

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
            self._loop.watch(self._socket.fileno(), self._lost)
            self._remind()

    def close(self) -> None:
        """Hang up: it may leave when nobody is connected."""
        if self._socket is not None:
            self._loop.unwatch(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _lost(self) -> None:
        """It says nothing unasked: its proxies and names are gone until there is another."""
        self.close()
        if self._is_needed():
            self.open()

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
            raise _revived(reply)
        if not isinstance(reply, kind):
            raise ProtocolError(f"the switch answered {type(reply).__name__}")
        return reply

    def _open(self) -> socket.socket:
        """One that is leaving is still in the way of the next, and listens no more."""
        for _ in range(ATTEMPTS):
            with suppress(FileNotFoundError, ConnectionRefusedError):
                return self._connect()
            self._start()
        try:
            return self._connect()
        except OSError as error:
            hint = f"see {self._root / 'switch.log'}"
            raise SetupError(f"cannot reach the switch: {error.strerror}", hint=hint) from error

    def _connect(self) -> socket.socket:
        return unix_socket.connect(self._root / SOCKET, socket.SOCK_SEQPACKET, timeout_s=PATIENCE_S)

    def _start(self) -> None:
        answer = process.start_daemon("wardian.network.switch", str(self._root))
        if answer != b"+":
            failure = m.decode_reply(answer) if answer else None
            if isinstance(failure, m.Failed):
                raise _revived(failure)
            raise SetupError("the switch does not start", hint=f"see {self._root / 'switch.log'}")


def _revived(failure: m.Failed) -> WardianError:
    return revived(failure.kind, failure.what, failure.hint)
