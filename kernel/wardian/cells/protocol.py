"""The cell protocol: what the host and a runner say to each other over one stream socket.

A frame is ``!II`` (head length, buffers' total length), then the head (a JSON object), then the
buffers one after another. The head names the message in ``t`` and the buffers' sizes in ``b``.
This module uses the standard library only, because the runner imports it inside the container,
where there may be nothing else.

Host to runner (every request carries ``id``, a positive integer that the host counts up)::

    execute      code silent store_history user_expressions allow_stdin count cell_id
    complete     code cursor_pos
    inspect      code cursor_pos detail_level omit_sections
    is_complete  code
    history      as in Jupyter's history_request
    comm_open / comm_msg / comm_close    content (Jupyter's), metadata, buffers
    comm_info    target_name
    debug        content (a debug_request's)
    input_reply  value                   (no id: answers the pending input_request)
    shutdown

Runner to host::

    ready        language_info banner implementation features pid
    publish      id kind content metadata buffers: one iopub message, Jupyter's content as it is
    stream       id name text: output of a thread or task of an earlier cell
    input_request  id prompt password
    reply        id content: ends the request with that id, content as Jupyter's *_reply

What the running cell writes to stdout and stderr does not come this way but through two pipes
(the runner's file descriptors 1 and 2), so that the order between ``print`` and a subprocess is
the true one and a cell that prints 10 GB is slowed down by the pipe. The runner flushes them
before it sends a frame; the host empties them before it handles one: hence text always appears
before the display that followed it.

The runner is hostile: the host caps every length, checks every type, and never evaluates.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from typing import Any

HEADER = struct.Struct("!II")
MAX_HEAD_BYTES = 512 << 20
MAX_BUFFER_BYTES = 1 << 30
PUBLISHABLE = frozenset(
    {
        "display_data",
        "update_display_data",
        "execute_result",
        "clear_output",
        "error",
        "debug_event",
        "comm_open",
        "comm_msg",
        "comm_close",
    }
)


def pack(message: dict[str, Any], buffers: Sequence[bytes | memoryview] = ()) -> list[bytes]:
    """The pieces of one frame, to be written one after another."""
    if buffers:
        message = {**message, "b": [memoryview(b).nbytes for b in buffers]}
    head = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )
    total = sum(message.get("b", ()))
    return [HEADER.pack(len(head), total) + head, *(bytes(b) for b in buffers)]


def read_frame(read_exactly: Callable[[int], bytes]) -> tuple[dict[str, Any], list[bytes]]:
    """Read one frame with a function that returns exactly n bytes (or raises EOFError)."""
    head_len, buffers_len = HEADER.unpack(read_exactly(HEADER.size))
    if head_len > MAX_HEAD_BYTES or buffers_len > MAX_BUFFER_BYTES:
        raise ValueError(f"frame too long: {head_len} + {buffers_len} bytes")
    message = json.loads(read_exactly(head_len))
    sizes = message.get("b", [])
    if sum(sizes) != buffers_len or any(size < 0 for size in sizes):
        raise ValueError("buffer sizes do not add up")
    return message, [read_exactly(size) for size in sizes]
