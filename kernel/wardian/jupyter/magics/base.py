"""What a magic is: a name, options in docker's style, and what it does with them."""

from __future__ import annotations

import abc
import argparse
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import msgspec
from msgspec.structs import replace

from wardian.cells.runner import Language
from wardian.errors import InvalidInput
from wardian.jupyter.failure import OK_REPLY

if TYPE_CHECKING:
    from wardian.jupyter.kernel import WardianKernel
    from wardian.jupyter.request import Request
    from wardian.jupyter.workspace import Workspace

Reply = dict[str, Any]


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """Where and for whom a magic runs: ``language`` and ``workspace`` are those of plain code.

    ``body`` is what stands below a cell magic's line. ``is_fixed``: the workspace was named, so
    that a ``%container use`` in the same cell does not move the code after it.
    """

    kernel: WardianKernel
    request: Request
    content: dict[str, Any]
    workspace: Workspace
    language: Language
    body: str = ""
    is_fixed: bool = False

    def elsewhere(
        self, *, workspace: Workspace | None = None, language: Language | None = None
    ) -> Call:
        """The same call, with plain code running elsewhere."""
        return replace(
            self,
            workspace=workspace or self.workspace,
            is_fixed=self.is_fixed or workspace is not None,
            language=language or self.language,
        )

    def print(self, text: str, *, stream: str = "stdout") -> None:
        """Show text under the cell."""
        content = {"name": stream, "text": text if text.endswith("\n") else f"{text}\n"}
        self.kernel.publish("stream", content, self.request.parent)

    def display(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        *,
        display_id: str = "",
        again: bool = False,
    ) -> None:
        """Show a mime bundle under the cell; ``again`` puts it in the place of an earlier one."""
        transient = {"display_id": display_id} if display_id else {}
        content = {"data": data, "metadata": metadata or {}, "transient": transient}
        kind = "update_display_data" if again else "display_data"
        self.kernel.publish(kind, content, self.request.parent)

    async def run_code(self, code: str, *, stores_history: bool | None = None) -> Reply:
        """Run plain code where this call says."""
        return await self.kernel.execution.run_in(
            self.workspace,
            self.language,
            code,
            self.request,
            content=self.content,
            stores_history=stores_history,
        )


class Parser(argparse.ArgumentParser):
    """argparse that raises InvalidInput where it would exit the process.

    ``verbs`` are the parsers of its subcommands.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.verbs: dict[str, Parser] = {}

    def add_verbs(self, texts: Mapping[str, str], *, needs_one: bool = False) -> None:
        """Give it subcommands, each with its help; the chosen one is ``verb``."""
        made = self.add_subparsers(dest="verb", metavar="VERB", parser_class=Parser)
        made.required = needs_one
        for verb, text in texts.items():
            self.verbs[verb] = made.add_parser(
                verb, help=text, add_help=False, prog=f"{self.prog} {verb}"
            )

    def error(self, message: str) -> NoReturn:
        raise InvalidInput(f"{self.prog}: {message}", hint=f"{self.prog.split()[0]}? shows help")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:  # noqa: ARG002
        raise InvalidInput(message or self.prog)

    def parse(self, arguments: str) -> argparse.Namespace:
        """Parse a line as a shell would split it."""
        try:
            words = shlex.split(arguments)
        except ValueError as error:
            raise InvalidInput(f"{self.prog}: {error}", hint="close the quotation") from error
        return self.parse_args(words)


class Magic(abc.ABC):
    """One magic. ``name`` is without ``%``; a cell magic gets the cell's other lines.

    One that ``needs_container`` is refused where cells run as plain processes; what shows a
    ``view`` shows the one of the lesson's recording there, if it has one.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    example: ClassVar[str] = ""
    is_cell: ClassVar[bool] = False
    needs_container: ClassVar[bool] = False
    view: ClassVar[str] = ""

    @property
    def word(self) -> str:
        """As it is typed."""
        return f"%%{self.name}" if self.is_cell else f"%{self.name}"

    def parser(self) -> Parser:
        """The options, and the help text made from them."""
        parser = Parser(
            prog=self.word,
            description=self.summary,
            epilog=self.example and f"Example:\n{self.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            add_help=False,
            allow_abbrev=False,
        )
        self.configure(parser)
        return parser

    @property
    def help(self) -> str:
        """What ``?`` shows, 80 columns wide."""
        parser = self.parser()
        parser.formatter_class = lambda prog: argparse.RawDescriptionHelpFormatter(
            prog, width=80, max_help_position=28
        )
        return parser.format_help().replace("usage: ", "Usage: ", 1)

    @abc.abstractmethod
    def configure(self, parser: Parser) -> None:
        """Declare options and arguments."""

    @abc.abstractmethod
    async def run(self, call: Call, options: argparse.Namespace) -> Reply | None:
        """Do it. None means that all went well. Raises WardianError."""

    async def arguments(self, call: Call, words: list[str]) -> list[str]:  # noqa: ARG002
        """Completions for a word that is not an option, after ``words``."""
        return []


OK = dict(OK_REPLY)


def add_limit_options(parser: Parser) -> None:
    """The options that say what a container may use, as docker spells them."""
    parser.add_argument("-m", "--memory", metavar="SIZE", help="memory limit, like 256m; 0: none")
    parser.add_argument("--cpus", metavar="NUMBER", help="CPU limit in cores, like 1.5; 0: none")
    parser.add_argument(
        "--pids", "--pids-limit", dest="pids", metavar="NUMBER", help="process limit; 0: none"
    )


def chosen_limits(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that such options give."""
    words = ("memory", "cpus", "pids", "timeout", "image", "python", "volumes")
    return {word: value for word in words if (value := getattr(options, word, None)) is not None}
