"""The way to the keeper: synchronous calls over its socket, which is opened on demand."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from wardian.errors import NotFound, SetupError, WardianError, revived
from wardian.linux import unix_socket
from wardian.runtime import messages as m
from wardian.runtime.container import Container
from wardian.runtime.event_messages import Event, EventsCall
from wardian.runtime.messages import ContainerInfo
from wardian.runtime.paths import state_root
from wardian.runtime.spec import ContainerSpec, Keep
from wardian.runtime.wire import Connection

T = TypeVar("T")
ATTEMPTS = 20


class Client:
    """One connection to the keeper of a state root. May be used from several threads in turn.

    A call that waits (``wait``, ``stop``) holds the connection; use a client of its own for that
    where others must not wait. When the keeper was replaced, the call that notices is repeated on
    the new one if it changes nothing, and containers held by ``attach`` are attached again.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.RLock()
        self._connection: Connection | None = None
        self._next_id = 1
        self.attached: dict[str, m.AttachCall] = {}

    @classmethod
    def connect(cls, root: Path | None = None) -> Client:
        """A client of the keeper of ``root`` (default: `state_root`), started if need be."""
        client = cls(root or state_root())
        if "WARDIAN_STORAGE_DRIVER" in os.environ:
            from wardian.storage import driver

            driver.check(client.root)
        client._open()
        return client

    def close(self) -> None:
        """Hang up. What becomes of containers that were attached is as they were attached."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def hang_up(self) -> None:
        """End what another thread waits for here: it raises SetupError there."""
        if (connection := self._connection) is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # --- containers ----------------------------------------------------------------------

    def create(self, spec: ContainerSpec) -> Container:
        """A new container, not started."""
        with self._with_volumes(spec) as whole:
            info, _ = self.call("create", m.CreateCall(whole), ContainerInfo)
        return Container(self, info.id)

    def run(
        self,
        spec: ContainerSpec,
        *,
        fds: Mapping[int, int] | None = None,
        terminal: bool = False,
        attach: bool = False,
    ) -> Container:
        """A new container, started; ``fds`` are its main process's descriptors by number.

        With ``terminal`` the main process gets one, whose master is ``Container.terminal_fd``.
        With ``attach`` its streams are in ``Container.streams``, as `Container.join` gives them.
        """
        fds = fds or {}
        with self._with_volumes(spec) as whole:
            body = m.RunCall(whole, tuple(fds), terminal, attach)
            info, given = self.call("run", body, ContainerInfo, tuple(fds.values()))
        if spec.keep is not Keep.ALWAYS:
            self.attached[info.id] = m.AttachCall(info.id, spec.keep)
        if attach:
            return Container(self, info.id, streams=given)
        return Container(self, info.id, terminal_fd=given[0] if given else None)

    def _with_volumes(self, spec: ContainerSpec) -> AbstractContextManager[ContainerSpec]:
        if not spec.volumes:
            return nullcontext(spec)
        from wardian.runtime.filling import with_volumes  # what a start without them need not load

        return with_volumes(self, spec)

    def container(self, name: str) -> Container:
        """The container of this name, id or start of an id; NotFound."""
        info, _ = self.call("inspect", m.NameCall(name), ContainerInfo)
        return Container(self, info.id)

    def list(self) -> list[ContainerInfo]:
        """Every container, oldest first."""
        with self._lock:
            for _ in range(ATTEMPTS):
                try:
                    return [info for info in self._stream("list", ContainerInfo | None) if info]
                except EOFError:
                    self._reopen()
        raise _always_replaced()

    def events(self, *, since: float | None = None, until: float | None = None) -> Iterator[Event]:
        """What happens to containers, from now on or since and until a moment.

        Moments are seconds since the epoch. Keeps the connection busy.
        """
        with self._lock:
            try:
                yield from self._stream("events", Event | None, EventsCall(since, until))
            except EOFError:
                self.close()
                raise _replaced("events") from None

    # --- the wire ------------------------------------------------------------------------

    def call(
        self, name: str, body: Any, kind: type[T], fds: Sequence[int] = ()
    ) -> tuple[T, tuple[int, ...]]:
        """One request and its answer: the value and its descriptors. Raises WardianError."""
        with self._lock:
            for _ in range(ATTEMPTS):
                try:
                    answer, given = self._exchange(name, body, fds)
                    return m.decode(answer, kind), given
                except EOFError:
                    self._reopen()
                    if name not in _REPEATABLE:
                        raise _replaced(name) from None
        raise _always_replaced()

    def _exchange(self, name: str, body: Any, fds: Sequence[int]) -> tuple[bytes, tuple[int, ...]]:
        number = self._send(name, body, fds)
        return self._receive(number)

    def _stream(self, name: str, kind: Any, body: Any = None) -> Iterator[Any]:
        """Many answers to one request, until a null."""
        number = self._send(name, body, ())
        while (value := m.decode(self._receive(number)[0], kind)) is not None:
            yield value

    def _send(self, name: str, body: Any, fds: Sequence[int]) -> int:
        number, self._next_id = self._next_id, self._next_id + 1
        if self._connection is None:
            self._open()
        assert self._connection is not None
        request = m.Request(number, name, msgspec.Raw(m.encode(body)))
        self._connection.send(m.encode(request), fds)
        return number

    def _receive(self, number: int) -> tuple[bytes, tuple[int, ...]]:
        assert self._connection is not None
        while True:
            message = self._connection.receive()
            answer = m.decode_answer(message.data)
            if answer.id == number:
                break
            message.close()  # the late answer to a request that was given up
        if answer.failure is not None:
            raise _revived(answer.failure)
        return bytes(answer.body), message.fds

    def _reopen(self) -> None:
        """Find the keeper again, or its successor, and hold what was held."""
        for _ in range(ATTEMPTS):
            self.close()
            with suppress(EOFError):
                self._open()
                for container_id, attached in list(self.attached.items()):
                    try:
                        self._exchange("attach", attached, ())
                    except NotFound:
                        del self.attached[container_id]
                return
        raise _always_replaced()

    def _open(self) -> None:
        for attempt in range(ATTEMPTS):
            try:
                self._connection = Connection(unix_socket.connect(self.root / "keeper.sock"))
                # One that was just killed or is leaving takes callers and hears them no more.
                self._exchange("ping", None, ())
            except EOFError:
                self.close()
            except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
                if attempt:
                    _check_space(self.root)
                start_keeper(self.root)
            except OSError as error:
                raise SetupError(
                    f"cannot reach the keeper: {error.strerror}",
                    hint="the state directory belongs to another user; set WARDIAN_ROOT",
                ) from error
            else:
                return
        raise SetupError("the keeper does not start", hint=f"see {self.root / 'keeper.log'}")


def _replaced(call: str) -> SetupError:
    return SetupError(
        f"the keeper was replaced during `{call}`", hint="try again; the containers go on"
    )


def _check_space(root: Path) -> None:
    """A keeper was started and none listens: a full disk lets it bind no socket, nor log why."""
    import tempfile

    try:
        with tempfile.TemporaryFile(dir=root, buffering=0) as probe:
            probe.write(b"full?")
    except OSError as error:
        raise SetupError(
            f"the keeper does not start: {error.strerror}",
            hint="free some space, or set WARDIAN_ROOT to another file system",
        ) from error


def _always_replaced() -> SetupError:
    return SetupError("the keeper ends again and again", hint="see keeper.log")


_REPEATABLE = frozenset(
    {"inspect", "ping", "wait", "wait_healthy"}
    | {"join", "attach", "stop", "update", "pause", "unpause"}
)


def start_keeper(root: Path) -> None:
    """Start a keeper for ``root`` and wait until it listens (or another one does)."""
    # ctypes, which who finds a keeper does without
    from wardian.linux import process
    from wardian.runtime import interpreter

    _prepare(root)
    with interpreter.read_only() as program_fd:
        answer = process.start_daemon(
            "wardian.runtime.keeper",
            str(root),
            environment=_keeper_environment(),
            program_fd=program_fd,
        )
    if answer not in (b"+", b""):
        raise _revived(m.decode(answer, m.Failure))


def _keeper_environment() -> dict[str, str]:
    """No secrets: only what Python needs to find us, and our own settings."""
    kept = ("PATH", "HOME", "LANG", "PYTHONPATH", "XDG_RUNTIME_DIR", "VIRTUAL_ENV")
    return {
        name: value
        for name, value in os.environ.items()
        if name in kept or name.startswith("WARDIAN_")
    }


def _prepare(root: Path) -> None:
    try:
        root.mkdir(mode=0o711, parents=True, exist_ok=True)
        _make_a_file(root)
    except OSError as error:
        raise SetupError(
            f"cannot write the state directory {root}: {error.strerror}",
            hint="set WARDIAN_ROOT to a directory that you can write, or free some space",
        ) from error


def _make_a_file(root: Path) -> None:
    """Try it with one that has no name: who is killed here leaves nothing. Raises OSError.

    On a full disk a keeper is needed all the same, to remove what fills it.
    """
    try:
        os.close(os.open(root, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR):  # a file system that cannot do that
            probe = root / ".probe"
            probe.touch()
            probe.unlink(missing_ok=True)
        elif error.errno != errno.ENOSPC:
            raise


def _revived(failure: m.Failure) -> WardianError:
    return revived(failure.kind, failure.what, failure.hint, failure.exit_code)
