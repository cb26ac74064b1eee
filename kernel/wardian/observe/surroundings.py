"""What a container's network view is about: its own network and those of whom it may know.

Root looks in its own process. An ordinary user has to fork for each namespace that is looked into
(`wardian.network.rootless`), which a process with threads and much memory had better not: so a
small one is started, which lives as long as somebody looks and writes a frame a line.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import msgspec
from msgspec.structs import replace

from wardian.errors import FailedPrecondition, SetupError, WardianError
from wardian.network import rights
from wardian.observe.network import NetworkSampler
from wardian.observe.network_frame import NetworkFrame, space_name
from wardian.observe.pulse import Notice
from wardian.observe.subject import NAME_LABEL, NOTEBOOK_LABEL, not_running
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.messages import ContainerInfo

PERIOD_S = 0.5
CPU_SHARE = 0.015  # of a core: there are as many namespaces to look into as containers
_READ_BYTES = 1 << 20
_PATIENCE_S = 10.0


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """A container, by its id and the name that it is known by, and the state root that it is in."""

    root: Path
    id: str
    name: str

    @classmethod
    def of(cls, container: Container) -> Surroundings:
        """Those of a container. Raises NotFound."""
        info = container.info
        name = info.spec.labels.get(NAME_LABEL, info.name)
        return cls(root=container.client.root, id=info.id, name=name)

    def known(self, containers: Sequence[ContainerInfo]) -> list[ContainerInfo]:
        """The notebook's containers and those of no notebook: another one's are nobody's business.

        Raises FailedPrecondition if the container itself does not run.
        """
        own = next((one for one in containers if one.id == self.id), None)
        if own is None or own.host_pid is None:
            raise not_running(self.name)
        book = own.spec.labels.get(NOTEBOOK_LABEL)
        return [one for one in containers if one.spec.labels.get(NOTEBOOK_LABEL, book) == book]

    def look(self, client: Client, sampler: NetworkSampler) -> NetworkFrame:
        """The frame of now. Raises WardianError."""
        return replace(sampler.sample(self.known(client.list())), container=space_name(self.name))


class SurroundingsSampler:
    """Looks twice a second; says nothing while nothing but the time has changed."""

    view: ClassVar[str] = NetworkFrame.view
    period_s = PERIOD_S
    cpu_share = CPU_SHARE

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._client: Client | None = None
        self._sampler = NetworkSampler(surroundings.root)
        self._before: NetworkFrame | None = None

    def open(self) -> None:
        """Ask the keeper who is there, as long as somebody looks."""
        self._client = Client.connect(self._surroundings.root)

    def close(self) -> None:
        """Hang up."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def sources(self) -> tuple[int, ...]:
        """There are none: counters are polled."""
        return ()

    def notice(self) -> Notice:
        """Never called without a source."""
        return Notice(is_news=False)

    def sample(self) -> NetworkFrame | None:
        """The frame of this moment, or None. Raises FailedPrecondition once it has ended."""
        assert self._client is not None
        frame, before = self._surroundings.look(self._client, self._sampler), self._before
        if before is not None and replace(before, time_s=frame.time_s) == frame:
            return None
        self._before = frame
        return frame


class RelayedSampler:
    """The same by a process of its own, for an ordinary user."""

    view: ClassVar[str] = NetworkFrame.view
    period_s = 3600.0

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._process: subprocess.Popen[bytes] | None = None
        self._read = b""

    def open(self) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, *_words(self._surroundings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        os.set_blocking(self._fd, False)  # os' own argument

    def close(self) -> None:
        """End it: it hears that nobody is there any more."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.communicate()

    def sources(self) -> tuple[int, ...]:
        """Where it writes."""
        return (self._fd,)

    def notice(self) -> Notice:
        """It has written something, or ended."""
        return Notice(is_news=True)

    def sample(self) -> NetworkFrame | None:
        """The last frame that has come whole. Raises WardianError when there will be no more."""
        with suppress(BlockingIOError):
            while data := os.read(self._fd, _READ_BYTES):
                self._read += data
            raise self._why_it_ended()
        lines, _, self._read = self._read.rpartition(b"\n")
        last = lines.rpartition(b"\n")[2]
        return msgspec.json.decode(last, type=NetworkFrame) if last else None

    def wait(self) -> NetworkFrame:
        """The first frame."""
        deadline = time.monotonic() + _PATIENCE_S
        while (frame := self.sample()) is None:
            select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))
            if time.monotonic() > deadline:
                raise SetupError("no look at the networks", hint="try again")
        return frame

    @property
    def _fd(self) -> int:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def _why_it_ended(self) -> WardianError:
        assert self._process is not None
        _, said = self._process.communicate()
        return FailedPrecondition(
            said.decode(errors="replace").strip() or "no look at the networks"
        )


def sampler(surroundings: Surroundings) -> SurroundingsSampler | RelayedSampler:
    """The one for who we are."""
    kind = SurroundingsSampler if rights.may_come_back() else RelayedSampler
    return kind(surroundings)


def observe(surroundings: Surroundings) -> NetworkFrame:
    """One frame. Raises WardianError."""
    looking = sampler(surroundings)
    looking.open()
    try:
        found = looking.wait() if isinstance(looking, RelayedSampler) else looking.sample()
        assert found is not None
        return found
    finally:
        looking.close()


def _words(surroundings: Surroundings) -> tuple[str, str, str]:
    return str(surroundings.root), surroundings.id, surroundings.name


def _follow(surroundings: Surroundings) -> None:
    """Write a frame a line until nobody is there to read, sparing of the processor."""
    nobody = select.poll()
    nobody.register(sys.stdin, select.POLLHUP)
    looking = SurroundingsSampler(surroundings)
    looking.open()
    while True:
        begun = time.process_time()
        if frame := looking.sample():
            sys.stdout.buffer.write(msgspec.json.encode(frame) + b"\n")
            sys.stdout.buffer.flush()
        rest_s = max(PERIOD_S, (time.process_time() - begun) / CPU_SHARE)
        if nobody.poll(rest_s * 1000):
            return


if __name__ == "__main__":
    try:
        with suppress(BrokenPipeError):
            _follow(Surroundings(root=Path(sys.argv[1]), id=sys.argv[2], name=sys.argv[3]))
    except WardianError as error:
        sys.exit(error.what)
