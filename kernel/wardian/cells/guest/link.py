"""The runner's end of the socket, and which cell output belongs to."""

from __future__ import annotations

import json
import os
import select
import socket
import threading
import time
from collections import deque
from contextvars import ContextVar
from typing import Any, Callable, Deque, Dict, List, Optional, Sequence, Tuple

from .descriptors import write_all
from .frames import HEADER, Bytes, FrameReader, Marks, send_parts
from .interrupts import Interrupts
from .packing import Pieces, is_large, pack

PAUSE_S = 0.01
Message = Tuple[Dict[str, Any], List[memoryview]]

# Set while a cell or a comm message is handled; its tasks inherit it. Threads do not: their
# output belongs to the cell that runs, as in ipykernel.
_parent: ContextVar[Tuple[int, Dict[str, Any]]] = ContextVar("wardian_parent")


class Link:
    """Sends messages to the host and takes the host's."""

    def __init__(self, sock: socket.socket, interrupts: Interrupts) -> None:
        self.interrupts = interrupts
        self.flush: Callable[[], None] = lambda: None
        self.is_child = False
        self.has_control_thread = False  # which then reads, and takes debug requests for itself
        self.running: Tuple[int, Dict[str, Any]] = (0, {})  # the last cell; what the pipes carry
        self._sock = sock
        self._reader = FrameReader()
        self._arrived: Deque[Message] = deque()
        self._sending = threading.RLock()
        self._reading = threading.Lock()
        self._marks: Optional[Marks] = None
        self._mark_fds: Sequence[int] = ()
        self._published = 0
        os.register_at_fork(after_in_child=self._become_child)

    def _become_child(self) -> None:
        """A forked child may print; the socket is its parent's."""
        self.is_child = True
        self._sending = threading.RLock()
        self._sock.close()

    def use_marks(self, marks: Marks, fds: Sequence[int]) -> None:
        """Write a mark into these pipes after each publication."""
        self._marks, self._mark_fds = marks, fds

    # --- whose output it is ----------------------------------------------------------------

    @property
    def cell(self) -> int:
        """The number of the cell (or comm message) that runs in this context."""
        return _parent.get(self.running)[0]

    @property
    def header(self) -> Dict[str, Any]:
        """The Jupyter header of the request that runs in this context."""
        return _parent.get(self.running)[1]

    def begin(self, cell: int, header: Dict[str, Any]) -> None:
        """From now on, in this context, output belongs to this."""
        _parent.set((cell, header))

    # --- sending ---------------------------------------------------------------------------

    def send(
        self,
        message: Dict[str, Any],
        buffers: Sequence[Any] = (),
        pieces: Optional[Pieces] = None,
    ) -> None:
        """One message, whole; ``pieces`` are its first buffer."""
        if self.is_child:
            return
        views: List[Bytes] = [memoryview(buffer).cast("B") for buffer in buffers]
        sizes = [len(view) for view in views]
        if pieces is not None:
            sizes.insert(0, pieces.size)
        if sizes:
            message["b"] = sizes
        head = pack(message)
        header = HEADER.pack(len(head), sum(sizes))
        with self.interrupts, self._sending:
            if pieces is not None:
                self._sock.sendall(header + head)
                for piece in pieces:
                    self._sock.sendall(piece)
                send_parts(self._sock, views)
            else:
                send_parts(self._sock, [header, head, *views])

    def publish(
        self,
        kind: str,
        content: Dict[str, Any],
        metadata: Optional[Dict[str, Any]] = None,
        buffers: Sequence[Any] = (),
    ) -> None:
        """One iopub message, in order with what was printed before and after."""
        if self.is_child:
            return
        self.flush()
        message: Dict[str, Any] = {"t": "publish", "cell": self.cell, "kind": kind}
        pieces = None
        if is_large(content):  # a buffer of its own, so that nobody has to look for its end
            pieces = Pieces(content)
        else:
            message["content"] = content
        if metadata:
            message["metadata"] = metadata
        with self.interrupts, self._sending:
            self.send(message, buffers, pieces)
            self._published += 1
            if self._marks is not None:
                for fd in self._mark_fds:
                    write_all(fd, self._marks.mark(self._published))

    def fileno(self) -> int:
        """The socket's descriptor, for the event loop."""
        return self._sock.fileno()

    # --- receiving -------------------------------------------------------------------------

    def receive(self) -> Optional[Message]:
        """The next message if one is there. EOFError when the host is gone."""
        if not self._arrived and not self.has_control_thread:
            self.read()
        with self._reading:
            for index, message in enumerate(self._arrived):
                if not (self.has_control_thread and message[0].get("t") == "debug"):
                    del self._arrived[index]
                    return message
        return None

    def wait_for(self, kind: str) -> Dict[str, Any]:
        """Wait for a message of this kind; the others keep for `receive`. From any thread."""
        while True:
            found = self.take(kind)
            if found:
                return found[-1]
            if self.has_control_thread:
                time.sleep(PAUSE_S)
            else:
                select.select([self._sock], [], [], 0.1)
                self.read()

    def take(self, kind: str) -> List[Dict[str, Any]]:
        """Take all messages of this kind out of those that have arrived."""
        with self._reading:
            found = [message for message, _ in self._arrived if message.get("t") == kind]
            others = [each for each in self._arrived if each[0].get("t") != kind]
            self._arrived = deque(others)
        return found

    def put_back(self, message: Dict[str, Any]) -> None:
        """Undo the receipt of a message without buffers."""
        with self._reading:
            self._arrived.appendleft((message, []))

    def discard(self, kind: str) -> None:
        """Forget messages of this kind that came too late."""
        self.take(kind)

    @property
    def has_messages(self) -> bool:
        """Whether `wait_for` left some for `receive`."""
        return bool(self._arrived)

    def read(self) -> None:
        """Take in what has come over the socket. EOFError when the host is gone."""
        with self.interrupts, self._reading:
            try:
                for frame in self._reader.receive(self._sock):
                    message = json.loads(bytes(frame.head))
                    self._arrived.append((message, frame.buffers(message.get("b", ()))))
            except BlockingIOError:
                pass
