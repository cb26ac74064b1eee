"""The cell protocol: what the host and a Python runner say to each other over one stream socket.

A frame is ``!II`` (head length, buffers' total length), then the head (a JSON object), then the
buffers one after another. The head names the message in ``t`` and the buffers' sizes in ``b``.
``guest/frames.py`` has the bytes, this module the meaning, checked: a runner is hostile, so the
host caps every length, decodes into typed structs, and never evaluates.

``id`` numbers a request; the host counts them up. ``cell`` names what output belongs to: a number
that the kernel chose for an execute request or a comm message, whose Jupyter header is ``header``.

Host to runner::

    hello        nonce options                     (first, once)
    execute      id cell header code silent store_history user_expressions allow_stdin count cell_id
    complete     id code cursor_pos
    inspect      id code cursor_pos detail_level omit_sections
    is_complete  id code
    history      id + the fields of Jupyter's history_request
    comm_info    id target_name
    debug        id request                        (a debug_request's content)
    comm_open / comm_msg / comm_close    cell header content metadata buffers
    input_reply  value                             (answers the pending input_request)
    shutdown

Runner to host::

    ready          info                            (once: language_info, banner, features …)
    publish        cell kind content metadata buffers: one iopub message, Jupyter's content as it is
                                                   (a large one is the first of the buffers instead)
    stream         cell name text: output of a task or thread of an earlier cell
    input_request  cell prompt password
    reply          id content: ends the request with that id, content as Jupyter's *_reply

What the running cell writes to stdout and stderr comes through two pipes (the runner's file
descriptors 1 and 2), so that the order between ``print`` and a subprocess is the true one, and a
cell that prints 10 GB is slowed down by the pipe. After each ``publish`` the runner writes a mark
with the number of publications so far into both pipes; the host shows what stands before the mark
first, then the publication, then the rest. So displays and text keep the order in which the cell
made them, and nobody waits for anybody.
"""

from __future__ import annotations

import codecs
from typing import Any, Literal

import msgspec

from wardian.errors import ProtocolError

MAX_HEAD_BYTES = 256 << 20
MAX_BUFFERS_BYTES = 512 << 20
MAX_BUFFERS = 4096
PIECE_BYTES = 1 << 16
MAX_PROMPT_CHARS = 1 << 16

PublishKind = Literal[
    "display_data",
    "update_display_data",
    "execute_result",
    "clear_output",
    "error",
    "debug_event",
    "comm_open",
    "comm_msg",
    "comm_close",
]
Object = dict[str, msgspec.Raw]


class Ready(msgspec.Struct, tag_field="t", tag="ready"):
    """The runner can take requests."""

    info: dict[str, Any]


class Publish(msgspec.Struct, tag_field="t", tag="publish"):
    """One iopub message. ``content`` is kept as the bytes that came, see `check_content`.

    Without one, the first buffer is the content.
    """

    cell: int
    kind: PublishKind
    content: msgspec.Raw = msgspec.Raw(b"")
    metadata: dict[str, Any] = {}
    b: tuple[int, ...] = ()


class Stream(msgspec.Struct, tag_field="t", tag="stream"):
    """Text of an earlier cell's task or thread."""

    cell: int
    name: Literal["stdout", "stderr"]
    text: str


class InputRequest(msgspec.Struct, tag_field="t", tag="input_request"):
    """The cell waits for a line from the user."""

    cell: int
    prompt: str
    password: bool = False


class Reply(msgspec.Struct, tag_field="t", tag="reply"):
    """The end of a request."""

    id: int
    content: dict[str, Any]


FromRunner = Ready | Publish | Stream | InputRequest | Reply


class DisplayContent(msgspec.Struct):
    """display_data and update_display_data."""

    data: Object
    metadata: Object = {}
    transient: Object = {}


class ResultContent(msgspec.Struct):
    """execute_result."""

    data: Object
    execution_count: int
    metadata: Object = {}


class ErrorContent(msgspec.Struct):
    """error."""

    ename: str
    evalue: str
    traceback: list[str]


class ClearContent(msgspec.Struct):
    """clear_output."""

    wait: bool = False


class CommContent(msgspec.Struct):
    """comm_open, comm_msg, comm_close."""

    comm_id: str
    data: msgspec.Raw = msgspec.Raw(b"{}")
    target_name: str = ""


_decoder = msgspec.json.Decoder(FromRunner)
_display = msgspec.json.Decoder(DisplayContent)
_comm = msgspec.json.Decoder(CommContent)
_contents: dict[str, msgspec.json.Decoder[Any]] = {
    "display_data": _display,
    "update_display_data": _display,
    "execute_result": msgspec.json.Decoder(ResultContent),
    "error": msgspec.json.Decoder(ErrorContent),
    "clear_output": msgspec.json.Decoder(ClearContent),
    "comm_open": _comm,
    "comm_msg": _comm,
    "comm_close": _comm,
    "debug_event": msgspec.json.Decoder(Object),
}


def encode(message: dict[str, Any]) -> bytes:
    """The head of a frame to the runner."""
    return msgspec.json.encode(message)


def decode(head: bytes | bytearray | memoryview) -> FromRunner:
    """A message of the runner; ProtocolError if it is none."""
    try:
        message: FromRunner = _decoder.decode(head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"the runner sent what is not a message: {error}") from error
    return message


def check_content(kind: str, content: memoryview) -> CommContent | None:
    """Check an iopub content without building it; returns comm contents, which the host tracks.

    ProtocolError when a field is missing or of another type, or the text is not UTF-8: raw fields
    are skipped by the decoder, so that their strings were not looked at.
    """
    try:
        checked = _contents[kind].decode(content)
        _check_text(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"the runner sent a {kind} that is none: {error}") from error
    return checked if isinstance(checked, CommContent) else None


def _check_text(text: memoryview) -> None:
    """Raises UnicodeDecodeError. Piece by piece: a copy of the whole could be large."""
    decode_more = codecs.getincrementaldecoder("utf-8")().decode
    for start in range(0, len(text), PIECE_BYTES):
        decode_more(text[start : start + PIECE_BYTES])
    decode_more(b"", final=True)
