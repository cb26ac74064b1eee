"""From a cell with magics of ours to what runs: in pieces, one after another."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from wardian.jupyter.failure import OK_REPLY
from wardian.jupyter.magics import CELL_MAGICS, LINE_MAGICS
from wardian.jupyter.magics.base import Call, Magic, Reply
from wardian.jupyter.magics.record import show_recorded
from wardian.jupyter.magics.registry import magic

if TYPE_CHECKING:
    from wardian.jupyter.kernel import WardianKernel
    from wardian.jupyter.request import Request

_LINE = re.compile(rf"^(\?)?(%%?)({'|'.join(LINE_MAGICS + CELL_MAGICS)})\b(.*)$")


class Mention(msgspec.Struct, frozen=True):
    """A line that calls one of our magics."""

    magic: Magic
    arguments: str
    is_cell: bool
    wants_help: bool

    @classmethod
    def in_line(cls, line: str) -> Mention | None:
        """The call in a line of code, if it is one."""
        if (found := _LINE.match(line.rstrip())) is None:
            return None
        question, percents, name, rest = found.groups()
        arguments = rest.strip()
        wants_help = bool(question) or arguments in ("?", "??", "-h", "--help")
        one = magic(name)
        if one.is_cell and percents == "%" and not wants_help:
            return None
        return cls(one, arguments, percents == "%%", wants_help)


def split(code: str) -> list[str | Mention]:
    """Plain code and magics in their order; after a cell magic comes its body."""
    lines = code.splitlines(keepends=True)
    pieces: list[str | Mention] = []
    plain: list[str] = []
    for number, line in enumerate(lines):
        mention = Mention.in_line(line)
        if mention is None:
            plain.append(line)
            continue
        is_first = all(not part.strip() or part.lstrip().startswith("#") for part in plain)
        if mention.is_cell and not mention.wants_help:
            if is_first and not any(isinstance(piece, Mention) for piece in pieces):
                return [mention, "".join(lines[number + 1 :])]
            plain.append(line)
            continue
        if not is_first:
            pieces.append("".join(plain))
        plain = []
        pieces.append(mention)
    if any(line.strip() for line in plain):
        pieces.append("".join(plain))
    return pieces


async def run_cell(
    kernel: WardianKernel, request: Request, code: str, content: dict[str, Any]
) -> Reply:
    """Run a cell that mentions a magic."""
    call = Call(
        kernel=kernel,
        request=request,
        content=content,
        workspace=kernel.workspaces.current,
        language=kernel.language,
    )
    return await run_code(call, code)


async def run_code(call: Call, code: str) -> Reply:
    """Run code that may hold magics; stops at the first piece that fails."""
    pieces = await _joined(call, split(code))
    if pieces and isinstance(pieces[0], Mention) and pieces[0].is_cell:
        body = pieces[1] if len(pieces) > 1 else ""
        assert isinstance(body, str)
        return await _run_magic(replace(call, body=body), pieces[0])
    reply: Reply = dict(OK_REPLY)
    for number, piece in enumerate(pieces):
        if isinstance(piece, Mention):
            reply = await _run_magic(call, piece)
        else:
            if not call.is_fixed:
                call = replace(call, workspace=call.kernel.workspaces.current)
            is_last = number == len(pieces) - 1
            reply = await call.run_code(piece, stores_history=None if is_last else False)
        if reply["status"] != "ok":
            break
    return reply


async def _joined(call: Call, pieces: list[str | Mention]) -> list[str | Mention]:
    """A line that looks like a magic but stands inside a string or a bracket is plain code."""
    if not any(isinstance(piece, str) for piece in pieces[:-1]) or (
        isinstance(pieces[0], Mention) and pieces[0].is_cell
    ):
        return pieces
    joined: list[str | Mention] = []
    for piece in pieces:
        if (
            joined
            and isinstance(before := joined[-1], str)
            and not await _is_complete(call, before)
        ):
            text = piece if isinstance(piece, str) else _text(piece)
            joined[-1] = before + text
        else:
            joined.append(piece)
    return joined


async def _is_complete(call: Call, code: str) -> bool:
    runner = await call.workspace.runner(call.language)
    answer = await runner.request("is_complete", {"code": code.rstrip("\n") + "\n"})
    return bool(answer.get("status") != "incomplete" or answer.get("indent"))


def _text(mention: Mention) -> str:
    percents = "%%" if mention.is_cell else "%"
    return f"{percents}{mention.magic.name} {mention.arguments}".rstrip() + "\n"


async def _run_magic(call: Call, mention: Mention) -> Reply:
    if mention.wants_help:
        payload = {"source": "page", "data": {"text/plain": mention.magic.help}, "start": 0}
        return {**OK_REPLY, "payload": [payload]}
    main = call.kernel.workspaces.main
    if mention.magic.needs_container and await main.place_if_bare() is not None:
        refused = main.no_container(mention.magic.word)
        if mention.arguments or not await show_recorded(call, mention.magic.view, refused):
            raise refused
        return dict(OK_REPLY)
    options = mention.magic.parser().parse(mention.arguments)
    return await mention.magic.run(call, options) or dict(OK_REPLY)
