"""A client of debugpy's adapter: the Debug Adapter Protocol over a TCP connection."""

from __future__ import annotations

import json
import socket
from collections import deque
from typing import Any, Deque, Dict, List, Tuple

Message = Dict[str, Any]
SEPARATOR = b"\r\n\r\n"
OUR_FIRST_NUMBER = 1 << 24  # far from those of the page, whose numbers we pass on


class AdapterClient:
    """Requests with their answers, and events as they come. For one thread."""

    def __init__(self, address: Tuple[str, int]) -> None:
        self._sock = socket.create_connection(address, timeout=30)
        self._buffer = b""
        self._number = OUR_FIRST_NUMBER
        self.events: Deque[Message] = deque()
        self._responses: Dict[int, Message] = {}

    def fileno(self) -> int:
        """The connection's descriptor, for select."""
        return self._sock.fileno()

    def close(self) -> None:
        """Hang up."""
        self._sock.close()

    def send(self, request: Message) -> int:
        """Send a request; the number that its response will name."""
        body = json.dumps(request).encode("utf-8", "replace")
        self._sock.sendall(b"Content-Length: %d%s%s" % (len(body), SEPARATOR, body))
        return int(request["seq"])

    def ask(self, request: Message) -> Message:
        """The response to a request of the page's."""
        return self.response(self.send(request))

    def ask_ourselves(self, command: str, arguments: Message) -> Message:
        """The response to a request of our own."""
        self._number += 1
        request = {"type": "request", "seq": self._number, "command": command}
        return self.ask({**request, "arguments": arguments})

    def response(self, number: int) -> Message:
        """Wait for the response with this number; events are kept."""
        while number not in self._responses:
            self.read()
        return self._responses.pop(number)

    def wait_for_event(self, name: str, *, request: int) -> bool:
        """Wait for an event, which stays in `events`; False if the request is answered first."""
        while not any(event["event"] == name for event in self.events):
            if request in self._responses:
                return False
            self.read()
        return True

    def read(self) -> None:
        """Take what has come. EOFError when the adapter is gone."""
        data = self._sock.recv(1 << 16)
        if not data:
            raise EOFError("the debug adapter has ended")
        self._buffer += data
        for message in self._complete():
            if message["type"] == "event":
                self.events.append(message)
            else:
                self._responses[int(message["request_seq"])] = message

    def _complete(self) -> List[Message]:
        found: List[Message] = []
        while True:
            head, separator, rest = self._buffer.partition(SEPARATOR)
            if not separator:
                return found
            size = int(head.rpartition(b":")[2])
            if len(rest) < size:
                return found
            found.append(json.loads(rest[:size]))
            self._buffer = rest[size:]
