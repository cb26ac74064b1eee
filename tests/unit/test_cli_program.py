from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from wardian.cli import program
from wardian.cli.program import LazyGroup, run
from wardian.errors import CommandFailed, WardianError


def every_command(
    group: LazyGroup = program.program, path: str = ""
) -> Iterator[tuple[str, click.Command, str]]:
    """Each command below a group with its path and its summary in the group's help."""
    context = click.Context(group)
    for name, entry in group.entries.items():
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}".strip(), command, entry.summary
        if isinstance(command, LazyGroup):
            yield from every_command(command, f"{path} {name}".strip())


COMMANDS = {path: (command, summary) for path, command, summary in every_command()}


# A command's own name may be that which it has at the top, or another command's.
OTHER_NAMES = ("container ls", "image ls", "image rm", "system keeper stop")


def test_every_command_has_help_and_is_called_by_its_name() -> None:
    for path, (command, summary) in COMMANDS.items():
        assert command.help, path
        assert summary.endswith("."), path
        if not isinstance(command, LazyGroup) and path not in OTHER_NAMES:
            assert command.name == path.split()[-1], path


@pytest.mark.parametrize("path", COMMANDS)
def test_help_is_printed(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*path.split(), "--help"]) == 0
    assert f"Usage: wardian {path}" in capsys.readouterr().out


def test_help_imports_no_command() -> None:
    code = (
        "import sys\n"
        "from wardian.cli.program import run\n"
        "run(['--help'])\n"
        "heavy = {'msgspec', 'rich', 'wardian.runtime.client', 'wardian.cli.run', 'subprocess'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("run --bad x", "wardian: no such option '--bad'"),
        ("run", "wardian: missing argument 'IMAGE'"),
        ("exec box", "wardian: missing argument 'COMMAND...'"),
        ("ps extra", "wardian: got unexpected extra argument (extra)"),
        ("stop -t soon box", "wardian: invalid value for '-t'"),
        ("runn", "wardian: no such command 'runn'"),
        ("system keper", "wardian: no such command 'keper'"),
        ("completion tcsh", "wardian: invalid value for '{bash|zsh|fish}'"),
    ],
)
def test_wrong_usage_is_one_line_a_hint_and_125(
    line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line.split()) == 125
    out, err = capsys.readouterr()
    what, hint = err.splitlines()
    assert out == ""
    assert what.startswith(said)
    assert hint.startswith("hint: ")


def test_hint_names_what_comes_close(capsys: pytest.CaptureFixture[str]) -> None:
    run(["stat"])
    assert "did you mean stats" in capsys.readouterr().err


def test_no_arguments_print_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "Containers:" in capsys.readouterr().out


def failing(error: Exception, kind: type[program.Command]) -> click.Command:
    """A command that raises."""

    @click.command("fails", cls=kind)
    def fails() -> None:
        raise error

    return fails


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (WardianError("broken", hint="mend it"), program.Command, 1),
        (WardianError("broken", hint="mend it"), program.RuntimeCommand, 125),
        (CommandFailed("broken", exit_code=127, hint="mend it"), program.Command, 127),
        (CommandFailed("broken", exit_code=126, hint="mend it"), program.RuntimeCommand, 126),
    ],
)
def test_error_is_one_line_a_hint_and_its_code(
    error: Exception,
    kind: type[program.Command],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(program, "program", failing(error, kind))
    assert run([]) == code
    assert capsys.readouterr().err == "wardian: broken\nhint: mend it\n"


def test_interrupt_ends_quietly_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "program", failing(KeyboardInterrupt(), program.Command))  # type: ignore[arg-type]  # it is raised, that is all
    assert run([]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_error_of_the_operating_system_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "/state/x")
    monkeypatch.setattr(program, "program", failing(error, program.Command))
    assert run([]) == 1
    assert capsys.readouterr().err == "wardian: No space left on device: /state/x\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_printed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    assert "_WARDIAN_COMPLETE" in capsys.readouterr().out
