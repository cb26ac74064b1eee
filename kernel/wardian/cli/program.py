"""The root of the command tree: a command's module is imported when it is called, not before."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple

import click

from wardian.cli import switches
from wardian.errors import CommandFailed, NotFound, WardianError

USAGE_EXIT_CODE = 125  # as docker's
INTERRUPTED_EXIT_CODE = 130
Say = Callable[[str, Any], None]
Gone = Callable[[str], None]


class Entry(NamedTuple):
    """One command in the help: where it is defined (``module:name``) and what it does.

    A module is one of this folder, or one above it by its whole name.
    """

    target: str
    summary: str


Sections = Mapping[str, Mapping[str, Entry]]

SECTIONS: Sections = {
    "Containers": {
        "run": Entry("run:run", "Create and start a container, and follow it."),
        "create": Entry("run:create", "Create a container without starting it."),
        "start": Entry("life:start", "Start containers that have ended or were only created."),
        "exec": Entry("execute:execute", "Run a program in a running container."),
        "debug": Entry("debug:debug", "Look into a container with this machine's programs."),
        "attach": Entry("attach:attach", "See what a running container prints, and type to it."),
        "ps": Entry("listing:ps", "List containers."),
        "stop": Entry("life:stop", "End containers: a signal, then SIGKILL after a while."),
        "kill": Entry("life:kill", "Send a signal to containers' main processes."),
        "restart": Entry("life:restart", "Stop containers and start them again."),
        "pause": Entry("life:pause", "Freeze every process of containers."),
        "unpause": Entry("life:unpause", "Let frozen containers go on."),
        "wait": Entry("life:wait", "Wait until containers end and print their exit codes."),
        "update": Entry("life:update", "Change the limits of containers, at once."),
        "cp": Entry("copy:cp", "Copy files out of a container or into it."),
        "export": Entry("export:export", "Write a container's files to an archive."),
        "rename": Entry("life:rename", "Give a container another name."),
        "rm": Entry("life:rm", "Remove containers and their writable layers."),
        "container": Entry("container:container", "All of these, and prune."),
    },
    "Looking inside": {
        "logs": Entry("logs:logs", "Print what a container's main process has printed."),
        "inspect": Entry("inspection:inspect", "Show all that is known, as JSON."),
        "diff": Entry("inspection:diff", "List what a container changed in its files."),
        "stats": Entry("stats:stats", "Watch memory, CPU and processes against their limits."),
        "events": Entry("events:events", "Print what happens to containers, as it happens."),
        "top": Entry("top:top", "List a container's processes, host pid and container pid."),
    },
    "Images": {
        "images": Entry("images:images", "List images."),
        "build": Entry("build:build", "Build an image from a Dockerfile."),
        "commit": Entry("commit:commit", "Make an image of a container."),
        "pull": Entry("transfer:pull", "Get an image from its registry."),
        "push": Entry("transfer:push", "Give an image to its registry."),
        "manifest": Entry("manifest:manifest", "Look at what a registry has."),
        "login": Entry("login:login", "Log in to a registry."),
        "logout": Entry("login:logout", "Forget the login to a registry."),
        "load": Entry("image:load", "Add the images of an archive."),
        "save": Entry("image:save", "Write images to an archive."),
        "import": Entry("image:import_", "Make an image of the archive of a root tree."),
        "tag": Entry("image:tag", "Give an image another name."),
        "history": Entry("image:history", "Show how an image was made, layer by layer."),
        "rmi": Entry("images:rmi", "Remove images."),
        "image": Entry("image:image", "All of these, and inspect and prune."),
    },
    "Networks": {
        "network": Entry("network:network", "Make networks, connect containers to them."),
        "port": Entry("network:port", "List the ports that a container has published."),
    },
    "Volumes": {
        "volume": Entry("volume:volume", "Make volumes, back them up, restore them."),
    },
    "Applications": {
        "compose": Entry("wardian.compose.command:compose", "Bring up several from a file."),
    },
    "Learning": {
        "course": Entry("course:course", "Lessons: open one, check your exercises, begin anew."),
    },
    "This machine": {
        "doctor": Entry("doctor:doctor", "Try what this machine allows, and say what lifts it."),
        "system": Entry("system:system", "Disk use, cleaning up, the keeper."),
        "kernelspec": Entry("kernelspec:kernelspec", "Install the Jupyter kernels."),
        "version": Entry("system:version", "Print versions."),
        "completion": Entry("completion:completion", "Print the completion script of a shell."),
    },
}


def _import_msgspec() -> None:
    """As it comes where there is no typing_extensions, whose names it does without: 3 ms less."""
    hidden: dict[str, Any] = {"typing_extensions": None}
    if "msgspec" not in sys.modules and hidden.keys().isdisjoint(sys.modules):
        sys.modules.update(hidden)
        import msgspec  # noqa: F401  # for those who are imported next

        del sys.modules["typing_extensions"]


class Refusal(click.ClickException):
    """A WardianError on its way out, with the exit code that the command gives it."""

    def __init__(self, error: WardianError, exit_code: int) -> None:
        super().__init__(error.what)
        self.hint = error.hint
        self.code = exit_code


class Command(click.Command):
    """A command whose WardianErrors leave as one line and a hint.

    ``failure_code`` is the exit code where the error does not bring its own.
    """

    failure_code = 1

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take ``--rm=false``, too."""
        words = switches.plain(args, self.get_params(ctx), mixed=ctx.allow_interspersed_args)
        with self._refusals():
            return super().parse_args(ctx, words)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors of the tree become a Refusal."""
        with self._refusals():
            return super().invoke(ctx)

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except CommandFailed as error:
            raise Refusal(error, error.exit_code) from error
        except WardianError as error:
            raise Refusal(error, self.failure_code) from error


class RuntimeCommand(Command):
    """A command that starts a program: the runtime's own failures are 125, as docker's."""

    failure_code = 125


class LazyGroup(click.Group):
    """A group that knows its commands by name and summary, and imports one when it is called."""

    sections: ClassVar[Sections] = {}

    @property
    def entries(self) -> dict[str, Entry]:
        """Every command by its name, in the order of the help."""
        return {name: entry for part in self.sections.values() for name, entry in part.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's interface
        """The names, in the order of the help."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command; None if there is none of this name."""
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        module, _, name = entry.target.partition(":")
        where = module if module.startswith("wardian.") else f"wardian.cli.{module}"
        _import_msgspec()
        command = getattr(importlib.import_module(where), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; for a name that does not exist, say which come close."""
        if args[0] not in self.entries and not args[0].startswith("-"):
            raise click.exceptions.NoSuchCommand(args[0], possibilities=self.entries, ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the commands by section, none of them imported."""
        width = max(map(len, self.entries))
        for title, part in self.sections.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(name.ljust(width), entry.summary) for name, entry in part.items()]
                )


class Program(LazyGroup):
    """The ``wardian`` command itself."""

    sections: ClassVar[Sections] = SECTIONS


@click.command(
    cls=Program,
    context_settings={"help_option_names": ["--help"], "max_content_width": 100},
    epilog="`wardian COMMAND --help` says more of a command.",
)
@click.option(
    "--root",
    metavar="DIRECTORY",
    type=click.Path(file_okay=False),
    help="Where containers and images are kept (instead of $WARDIAN_ROOT or the usual place).",
)
@click.option(
    "--storage-driver",
    metavar="NAME",
    help="How a new state directory keeps containers' files: overlay, fuse-overlayfs or native.",
)
@click.version_option(package_name="wardian", message="wardian %(version)s")
def program(root: str | None, storage_driver: str | None) -> None:
    """Containers with walls of glass: run them, look inside, take nothing on trust."""
    if root is not None:
        os.environ["WARDIAN_ROOT"] = os.path.abspath(root)
    if storage_driver is not None:
        os.environ["WARDIAN_STORAGE_DRIVER"] = storage_driver


def run(arguments: Sequence[str]) -> int:
    """Run one command line; its exit code. Errors are one line (and a hint) on stderr."""
    try:
        code = program.main(list(arguments), prog_name="wardian", standalone_mode=False)
        sys.stdout.flush()
    except Refusal as refusal:
        complain(refusal.message, refusal.hint)
        return refusal.code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
        return 0
    except click.UsageError as error:
        complain(_sentence(_message(error)), _usage_hint(error))
        return USAGE_EXIT_CODE
    except click.ClickException as error:
        complain(_sentence(error.format_message()))
        return error.exit_code
    except click.Abort:
        return INTERRUPTED_EXIT_CODE
    except OSError as error:
        return _explain(error)
    return code if isinstance(code, int) else 0


def complain(what: str, hint: str = "") -> None:
    """Say on stderr what went wrong, and what to do about it."""
    click.echo(f"wardian: {what}", err=True)
    if hint:
        click.echo(f"hint: {hint}", err=True)


def say_name(name: str, _result: object) -> None:
    """What docker prints of what it has done something to."""
    click.echo(name)


def each_name(
    names: Sequence[str],
    act: Callable[[str], Any],
    *,
    say: Say = say_name,
    is_gone: Gone | None = None,
) -> int:
    """Do something to each; one that refuses doesn't keep the others from it.

    ``say`` prints what came of it. With ``is_gone`` one that is not there is no failure, and that
    is told of it. The exit code is 0, or that of the last refusal.
    """
    code = 0
    for name in names:
        try:
            result = act(name)
        except WardianError as error:
            if is_gone is not None and isinstance(error, NotFound):
                is_gone(error.what)
                continue
            complain(error.what, error.hint)
            code = error.exit_code if isinstance(error, CommandFailed) else 1
        else:
            say(name, result)
    return code


def _explain(error: OSError) -> int:
    if error.errno == errno.EPIPE:  # the reader of our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    where = f": {error.filename}" if error.filename else ""
    complain(f"{error.strerror or error}{where}")
    return 1


def _sentence(message: str) -> str:
    """Click's message in our form: one line, no capital, no full stop."""
    line = " ".join(message.split()).removesuffix(".")
    return line[:1].lower() + line[1:]


def _message(error: click.UsageError) -> str:
    """What is wrong, without click's own suggestion (the hint has it)."""
    return error.message if getattr(error, "possibilities", None) else error.format_message()


def _usage_hint(error: click.UsageError) -> str:
    path = error.ctx.command_path if error.ctx else "wardian"
    if possibilities := getattr(error, "possibilities", None):
        return f"did you mean {' or '.join(possibilities)}? `{path} --help` lists all"
    return f"`{path} --help` shows how it is used"
