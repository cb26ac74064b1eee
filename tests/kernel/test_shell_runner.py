"""Shell cells in real shells, without a container: bash, dash and busybox."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.kernel.recording_sink import Bench, bench, programs_below, until
from wardian.cells import shell as shell_module
from wardian.cells.runner import Language, RunnerExited

pytestmark = pytest.mark.asyncio

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
SHELLS = {
    "bash": ("bash", *shell_module.BASH_OPTIONS),
    "dash": ("dash", "-i"),
    "busybox": ("busybox", "ash", "-i"),
}


@pytest_asyncio.fixture(params=SHELLS)
async def sh(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    """Any of the shells."""
    program = SHELLS[request.param]
    if shutil.which(program[0]) is None:
        pytest.skip(f"no {program[0]}; apt-get install {request.param}")
    monkeypatch.setattr(shell_module, "LAST_RESORT", (program, program))
    async with bench(Language.SHELL, tmp_path) as ready:
        yield ready


@pytest_asyncio.fixture
async def bash(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(Language.SHELL, tmp_path) as ready:
        yield ready


# --- state and streams -----------------------------------------------------------------------


async def test_stdout_and_stderr_are_apart(sh: Bench) -> None:
    await sh.run("echo leaf; echo root >&2")
    assert (sh.sink.text("stdout"), sh.sink.text("stderr")) == ("leaf\n", "root\n")


async def test_directory_variables_functions_and_aliases_last(sh: Bench, tmp_path: Path) -> None:
    await sh.run("mkdir bed; cd bed; x='a b'; grow() { echo \"grow $1\"; }; alias hi='echo hello'")
    await sh.run('echo "$x"; grow tall; hi; pwd')
    assert sh.sink.text() == f"a b\ngrow tall\nhello\n{tmp_path}/bed\n"


async def test_declare_in_a_cell_is_not_local(bash: Bench) -> None:
    await bash.run("declare -A ages=([oak]=300); declare -i n=2+3")
    await bash.run('echo "${ages[oak]} $n"')
    assert bash.sink.text() == "300 5\n"


async def test_status_of_the_last_command_is_told_and_lasts(sh: Bench) -> None:
    reply = await sh.run("(exit 3)")
    assert (reply["status"], reply["exit_status"], reply["evalue"]) == ("error", 3, "3")
    reply = await sh.run("echo $?")
    assert sh.sink.text() == "3\n"
    assert (reply["status"], reply["exit_status"]) == ("ok", 0)


async def test_pipe_status_and_last_argument_are_kept(bash: Bench) -> None:
    assert (await bash.run("false | true | (exit 3)"))["pipe_status"] == [1, 0, 3]
    await bash.run("echo one two")
    await bash.run('echo "$_"')
    assert bash.sink.text() == "two\n"


async def test_heredocs_work_and_an_unfinished_one_does_not_swallow_ours(sh: Bench) -> None:
    await sh.run("x=5\ncat <<EOT\nvalue $x\nEOT\ncat <<'EOT'\nraw $x\nEOT")
    assert sh.sink.text() == "value 5\nraw $x\n"
    await sh.run("cat <<EOT\nunfinished")
    assert "wardian" not in sh.sink.text()
    await sh.run("echo fine")
    assert sh.sink.text() == "fine\n"


async def test_syntax_errors_are_the_shells_own_words(sh: Bench) -> None:
    reply = await sh.run("for i in 1 2; do\necho )")
    assert reply["exit_status"] == 2
    assert "yntax error" in sh.sink.text("stderr")
    await sh.run("echo 'unfinished")
    assert sh.sink.text("stderr")
    assert (await sh.run("echo fine"))["status"] == "ok"


@pytest.mark.parametrize("code", ["set -u; echo $nope", "${nope:?must be set}"])
async def test_errors_that_abandon_a_line_abandon_the_cell_only(sh: Bench, code: str) -> None:
    reply = await sh.run(f"kept=1; {code}; echo not reached")
    assert reply["status"] == "error"
    assert "nope" in sh.sink.text("stderr")
    await sh.run('set +u; echo "$kept"')
    assert sh.sink.text() == "1\n"


async def test_set_x_shows_the_users_commands_alone(sh: Bench) -> None:
    await sh.run("set -x\necho a")
    assert [line.lstrip("+ ") for line in sh.sink.text("stderr").splitlines()] == ["echo a"]
    await sh.run("echo b; case $- in *x*) set +x;; esac")
    assert "wardian" not in sh.sink.text("stderr")
    assert "echo b" in sh.sink.text("stderr")
    await sh.run("echo c")
    assert sh.sink.text("stderr") == ""


async def test_redirections_by_exec_last(sh: Bench, tmp_path: Path) -> None:
    await sh.run(f"exec 3>{tmp_path}/three; exec >{tmp_path}/out")
    await sh.run("echo to-file; echo to-three >&3")
    assert (tmp_path / "out").read_text() == "to-file\n"
    assert (tmp_path / "three").read_text() == "to-three\n"


async def test_background_jobs_and_traps_last(sh: Bench) -> None:
    await sh.run("trap 'echo trapped' USR1; sleep 1000 & job=$!")
    await sh.run("kill -0 $job && echo alive; kill -USR1 $$; kill $job")
    assert sh.sink.text() == "alive\ntrapped\n"


async def test_cell_that_ends_in_a_backslash_or_comment_or_nothing(sh: Bench) -> None:
    for code in ("echo a \\", "echo a # comment", "", "   \n", "# only", "echo a;"):
        assert (await sh.run(code))["status"] == "ok", code
    await sh.run("false")
    assert (await sh.run("# only\n\n  # this"))["status"] == "ok"
    await sh.run("echo fine")
    assert sh.sink.text() == "fine\n"


async def test_quotes_and_unicode_and_long_cells_arrive_as_they_are(sh: Bench) -> None:
    words = "'\"`$(echo no)`\\ ü 漢字 !! * \t"
    await sh.run(f"cat <<'EOT'\n{words}\nEOT")
    assert sh.sink.text() == words + "\n"
    await sh.run("x=" + "y" * 300_000 + "; echo ${#x}")
    assert sh.sink.text() == "300000\n"


async def test_children_find_only_their_own_descriptors_readable(bash: Bench) -> None:
    await bash.run("cat /proc/self/fd/60 2>/dev/null; echo $?")
    assert bash.sink.text().strip() in ("0", "1")


# --- the end of shells -----------------------------------------------------------------------


@pytest.mark.parametrize(("code", "status"), [("exit 3", 3), ("exec sh -c 'exit 4'", 4)])
async def test_ended_shell_is_replaced_with_a_note(
    sh: Bench, code: str, status: int, tmp_path: Path
) -> None:
    (tmp_path / "bed").mkdir()
    await sh.run("cd bed; x=1")
    reply = await sh.run(code)
    assert reply["exit_status"] == status
    assert f"the shell ended with status {status}; a fresh one starts" in sh.sink.text("stderr")
    await sh.run('echo "[$x]"; pwd')
    assert sh.sink.text() == f"[]\n{tmp_path}/bed\n"


async def test_set_e_ends_the_shell_at_the_first_failure(sh: Bench) -> None:
    await sh.run("set -e\nfalse\necho not reached")
    assert sh.sink.text() == ""
    assert "a fresh one starts" in sh.sink.text("stderr")
    assert (await sh.run("false; echo fine"))["status"] == "ok"


async def test_exit_trap_runs(bash: Bench) -> None:
    await bash.run("trap 'echo bye' EXIT; exit 0")
    assert bash.sink.text() == "bye\n"


async def test_shell_that_was_killed_ends_the_cell(sh: Bench) -> None:
    with pytest.raises(RunnerExited) as caught:
        await sh.run("echo last words; kill -9 $$")
    assert caught.value.reason.exit_code == 128 + signal.SIGKILL
    assert sh.sink.text() == "last words\n"
    assert (await asyncio.wait_for(asyncio.shield(sh.runner.exited), 5)).exit_code == 137


async def test_directory_that_is_gone_is_said_to_be(bash: Bench) -> None:
    await bash.run("mkdir gone; cd gone; rmdir ../gone; true")
    await bash.run("exit 0")
    assert "the working directory is gone" in bash.sink.text("stderr")
    assert (await bash.run("true"))["status"] == "ok"


# --- interrupts ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "echo ready; sleep 100; echo went on",
        "echo ready; sleep 100 | cat; echo went on",
        "echo ready; while :; do :; done; echo went on",
        "echo ready; for i in 1 2 3; do sleep 100; done",
        "f() { while true; do sleep 0.01; done; }; echo ready; f; echo went on",
        "echo ready; (sleep 100); echo went on",
        "echo ready; x=$(sleep 100); echo went on",
        "sleep 1000 & echo ready; wait; echo went on",
    ],
)
async def test_interrupt_ends_the_foreground_and_not_the_shell(sh: Bench, code: str) -> None:
    await sh.run("kept=yes")
    reply = await sh.interrupted(code)
    assert reply["exit_status"] == 130
    assert sh.sink.text() == "ready\n"
    await sh.run("echo $kept")
    assert sh.sink.text() == "yes\n"


async def test_interrupt_spares_background_jobs(sh: Bench) -> None:
    await sh.run("sleep 1000 & job=$!")
    await until(lambda: "sleep" in programs_below(sh.runner.process.host_pid))
    await sh.interrupted("echo ready; sleep 100")
    await sh.run("kill $job && echo was alive")
    assert sh.sink.text() == "was alive\n"


async def test_interrupt_with_job_control_spares_background_jobs(bash: Bench) -> None:
    await bash.run("set -m; sleep 1000 & job=$!")
    await until(lambda: "sleep" in programs_below(bash.runner.process.host_pid))
    reply = await bash.interrupted("echo ready; sleep 100")
    assert reply["exit_status"] == 130
    await bash.run("kill $job && echo was alive; set +m")
    assert bash.sink.text() == "was alive\n"


async def test_trap_on_interrupt_runs_and_the_cell_goes_on_as_in_a_terminal(sh: Bench) -> None:
    await sh.interrupted("trap 'echo caught' INT; echo ready; sleep 100; echo on; trap - INT")
    assert sh.sink.text() == "ready\ncaught\non\n"


async def test_interrupt_between_cells_is_harmless(sh: Bench) -> None:
    for _ in range(5):
        sh.runner.interrupt()
    await sh.run("echo fine")
    assert (await sh.run("echo fine"))["status"] == "ok"
    assert "fine" in sh.sink.text()


# --- input -----------------------------------------------------------------------------------


async def test_read_asks_the_user_with_its_prompt(sh: Bench) -> None:
    sh.sink.answers = ["fern"]
    await sh.run("read -p 'Plant? ' plant; echo got $plant", allow_stdin=True)
    assert sh.sink.prompts[0][0] == "Plant? "
    assert sh.sink.text() == "got fern\n"


async def test_hidden_read_is_a_password(bash: Bench) -> None:
    bash.sink.answers = ["secret"]
    await bash.run("read -rsp 'Word: ' word; echo ${#word}", allow_stdin=True)
    assert bash.sink.prompts == [("Word: ", True)]
    assert bash.sink.text() == "6\n"


async def test_any_program_that_waits_for_input_asks_the_user(sh: Bench) -> None:
    sh.sink.answers = ["one", "two", EOFError]
    await sh.run("cat; echo end", allow_stdin=True)
    assert sh.sink.text() == "one\ntwo\nend\n"


async def test_plain_read_asks_too(sh: Bench) -> None:
    sh.sink.answers = ["moss"]
    await sh.run("read plant; echo $plant", allow_stdin=True)
    assert sh.sink.text() == "moss\n"


async def test_without_a_user_input_is_at_its_end(sh: Bench) -> None:
    await sh.run("cat; read x || echo end")
    assert sh.sink.text() == "end\n"
    assert sh.sink.prompts == []


async def test_reading_from_files_and_pipes_asks_nobody(sh: Bench, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("a\nb\n")
    await sh.run(
        "while read -r line; do echo <$line>; done < list; echo c | { read x; echo $x; }".replace(
            "<$line>", '"<$line>"'
        ),
        allow_stdin=True,
    )
    assert sh.sink.text() == "<a>\n<b>\nc\n"
    assert sh.sink.prompts == []


async def test_interrupt_ends_a_cell_that_waits_for_input(sh: Bench) -> None:
    task = sh.begin("cat; echo went on", allow_stdin=True)
    await until(lambda: bool(sh.sink.prompts))
    sh.runner.interrupt()
    assert (await asyncio.wait_for(task, 60))["exit_status"] == 130


# --- pictures --------------------------------------------------------------------------------


async def test_picture_on_stdout_is_shown_in_its_place(sh: Bench, tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(PIXEL)
    (tmp_path / "p.gif").write_bytes(GIF)
    await sh.run("echo before; cat p.png; echo between; cat p.gif; echo after")
    assert sh.sink.kinds == ["stdout", "display_data", "stdout", "display_data", "stdout"]
    png, gif = sh.sink.contents("display_data")
    assert base64.b64decode(png["data"]["image/png"]) == PIXEL
    assert base64.b64decode(gif["data"]["image/gif"]) == GIF


async def test_display_shows_files_by_name(sh: Bench, tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(PIXEL)
    (tmp_path / "page.html").write_text("<b>bold</b>")
    await sh.run("display p.png page.html; echo after")
    png, page = sh.sink.contents("display_data")
    assert base64.b64decode(png["data"]["image/png"]) == PIXEL
    assert page["data"]["text/html"] == "<b>bold</b>"
    assert sh.sink.text() == "after\n"


async def test_svg_counts_as_picture_when_it_is_all_that_is_printed(
    sh: Bench, tmp_path: Path
) -> None:
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><circle r="1"/></svg>\n'
    (tmp_path / "p.svg").write_text(svg)
    await sh.run("cat p.svg")
    assert sh.sink.contents("display_data")[0]["data"]["image/svg+xml"] == svg
    await sh.run("echo '<html>'; cat p.svg")
    assert sh.sink.kinds == ["stdout"]


async def test_what_only_begins_like_a_picture_is_text(sh: Bench, tmp_path: Path) -> None:
    (tmp_path / "torn").write_bytes(PIXEL[:40])
    await sh.run("echo GIF89a is a format; cat torn; echo; echo '<?xml version=\"1.0\"?><a/>'")
    assert sh.sink.kinds == ["stdout"]
    assert "GIF89a is a format\n" in sh.sink.text()
    assert sh.sink.text().endswith('<?xml version="1.0"?><a/>\n')


# --- questions -------------------------------------------------------------------------------


async def test_completion_knows_the_shells_own_names(sh: Bench, tmp_path: Path) -> None:
    (tmp_path / "garden").mkdir()
    (tmp_path / "gar den").touch()
    await sh.run("greenhouse=1")
    assert "$greenhouse" in (await sh.ask("complete", code="echo $green", cursor_pos=11))["matches"]
    files = (await sh.ask("complete", code="cat gar", cursor_pos=7))["matches"]
    assert files == ["gar\\ den", "garden/"]
    assert "dirname" in (await sh.ask("complete", code="dirn", cursor_pos=4))["matches"]


async def test_completion_finds_new_functions_and_leaves_status_alone(bash: Bench) -> None:
    await bash.run("greenhouse_open() { :; }; (exit 7)")
    assert (await bash.ask("complete", code="greenh", cursor_pos=6))["matches"] == [
        "greenhouse_open"
    ]
    await bash.run('echo "$? $_"')
    assert bash.sink.text().startswith("7 ")


async def test_is_complete_tells_three_states(sh: Bench) -> None:
    for code in ("for i in 1; do", "echo 'a", "cat <<E\nx", "echo \\", "f() {"):
        assert (await sh.ask("is_complete", code=code))["status"] == "incomplete", code
    assert (await sh.ask("is_complete", code="echo hi"))["status"] == "complete"
    assert (await sh.ask("is_complete", code="echo )"))["status"] == "invalid"


async def test_is_complete_runs_nothing(sh: Bench, tmp_path: Path) -> None:
    await sh.ask("is_complete", code="touch made; }; touch made2; {")
    await sh.ask("is_complete", code="touch made")
    assert os.listdir(tmp_path) == []


async def test_inspection_says_what_a_name_is(sh: Bench) -> None:
    reply = await sh.ask("inspect", code="cd /", cursor_pos=1, detail_level=0)
    assert reply["found"]
    assert "cd" in reply["data"]["text/plain"]
    assert not (await sh.ask("inspect", code="nosuchname", cursor_pos=3))["found"]


async def test_history_has_the_cells(sh: Bench) -> None:
    await sh.run("echo one")
    await sh.run("echo two", store_history=False)
    reply = await sh.ask("history", hist_access_type="tail", n=5)
    assert [each[2] for each in reply["history"]] == ["echo one"]
