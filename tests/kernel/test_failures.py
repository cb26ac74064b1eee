"""When a limit is hit or something dies: one clear error, and the next cell works."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.kernel.page import Outcome, Page
from wardian.runtime.client import Client

LOST = "variables are lost; files and background processes are as they were"
ALL_LOST = "variables and processes are lost; files are as they were"
KILLED = f"was killed; {LOST}"
FILL = "held = bytearray(600 << 20)"


@pytest.fixture(scope="module")
def limited() -> Iterator[Page]:
    page = Page.open(
        "wardian-python",
        env={**os.environ, "WARDIAN_MEMORY": "300m", "WARDIAN_PIDS": "50"},
    )
    yield page
    page.close()


def _works(page: Page) -> None:
    assert page.run("print('works')").text() == "works\n"


def _traceback(outcome: Outcome) -> str:
    return "\n".join(outcome.content["traceback"])


def test_out_of_memory_ends_the_cell_with_one_error(limited: Page) -> None:
    limited.run("kept = 1; open('/root/kept', 'w').close()")
    outcome = limited.run(FILL)
    assert outcome.error == (
        "LimitHit",
        f"out of memory: the container reached its limit of 300 MiB and the interpreter {KILLED}",
    )
    assert "%limits --memory 600m" in _traceback(outcome)
    _works(limited)
    assert limited.run("import os; os.path.exists('/root/kept')").result == "True"
    assert limited.run("'kept' in globals()").result == "False"


def test_out_of_memory_in_a_child_is_said_and_the_interpreter_lives(limited: Page) -> None:
    limited.run("alive = 1")
    outcome = limited.run(
        "import subprocess, sys\n"
        "open('/proc/self/oom_score_adj', 'r').close()\n"
        'subprocess.run([sys.executable, \'-c\', \'open("/proc/self/oom_score_adj", "w")'
        f'.write("1000"); {FILL}\']).returncode'
    )
    assert outcome.result == "-9"
    assert "out of memory: the container reached its limit of 300 MiB" in outcome.text("stderr")
    assert limited.run("alive").result == "1"


def test_process_limit_is_the_cells_error(limited: Page) -> None:
    outcome = limited.run(
        "import subprocess\nchildren = []\n"
        "try:\n"
        "    while True: children.append(subprocess.Popen(['sleep', '100']))\n"
        "finally:\n"
        "    for child in children: child.kill(); child.wait()"
    )
    assert outcome.error == (
        "LimitHit",
        "process limit: the container may have at most 50 processes; nothing is lost",
    )
    assert "%limits --pids" in _traceback(outcome)
    assert "BlockingIOError" in _traceback(outcome)
    _works(limited)


def test_time_limit_stops_the_cell_and_keeps_variables(own_page: Page) -> None:
    own_page.run("%limits --timeout 1")
    own_page.run("kept = 5")
    outcome = own_page.run("while True: pass")
    assert outcome.error == (
        "LimitHit",
        "time limit: the cell ran longer than 1 s and was stopped; nothing is lost",
    )
    assert own_page.run("kept").result == "5"


def test_cell_that_ignores_interrupts_is_killed_at_its_time_limit(own_page: Page) -> None:
    outcome = own_page.run(
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass",
        metadata={"wardian": {"timeout": 1}},
    )
    assert outcome.error[0] == "LimitHit"
    assert "the interpreter was killed; variables are lost" in outcome.error[1]
    _works(own_page)


def test_killed_interpreter_is_told_from_a_crash(own_page: Page) -> None:
    own_page.run("open('/root/kept', 'w').close()")
    assert own_page.run("import os; os.kill(os.getpid(), 9)").error == (
        "InterpreterDied",
        f"the interpreter was killed (SIGKILL); {LOST}",
    )
    assert own_page.run("import ctypes; ctypes.string_at(0)").error == (
        "InterpreterDied",
        f"the interpreter crashed (SIGSEGV); {LOST}",
    )
    assert (
        own_page.run("import os; os._exit(3)")
        .error[1]
        .startswith("the interpreter ended with exit status 3; variables are lost")
    )
    assert own_page.run("import os; os.path.exists('/root/kept')").result == "True"


def test_output_before_the_end_is_kept(own_page: Page) -> None:
    outcome = own_page.run("print('last words', flush=True)\nimport os; os.kill(os.getpid(), 9)")
    assert outcome.text() == "last words\n"


def test_killed_container_is_one_error_and_starts_again(own_page: Page) -> None:
    own_page.run("open('/root/kept', 'w').close()")
    sent = own_page.send("print(1)\nimport time; time.sleep(60)")
    own_page.iopub("stream", parent=sent)
    with Client.connect() as client:
        host_pid = own_page.container(client).info.host_pid
        assert host_pid is not None
        os.kill(host_pid, signal.SIGKILL)
    assert own_page.wait(sent).error == (
        "ContainerDied",
        f"the container's PID 1 was killed, and every process with it; {ALL_LOST}",
    )
    assert own_page.run("import os; os.path.exists('/root/kept')").result == "True"


def test_container_that_died_between_cells_starts_again(own_page: Page) -> None:
    own_page.run("open('/root/kept', 'w').close()")
    with Client.connect() as client:
        container = own_page.container(client)
        container.kill()
        container.wait()
    outcome = own_page.run("import os; os.path.exists('/root/kept')")
    if outcome.status == "error":  # the cell was faster than the news
        assert outcome.error[0] == "ContainerDied"
        outcome = own_page.run("import os; os.path.exists('/root/kept')")
    assert outcome.result == "True"


def test_shell_that_exits_is_replaced_with_a_note(shell_page: Page) -> None:
    outcome = shell_page.run("lost=1; exit 3")
    assert "3" in outcome.text("stderr")
    assert shell_page.run('echo "[$lost]"').text() == "[]\n"


def test_exit_status_of_a_shell_cell_is_shown(shell_page: Page) -> None:
    outcome = shell_page.run("echo before; (exit 4)")
    assert outcome.error == ("ExitStatus", "4")
    assert outcome.text() == "before\n"
    assert "exit status 4" in _traceback(outcome)
    assert "in the pipe: 0 | 1" in _traceback(shell_page.run("true | false"))


def test_cost_of_a_cell_is_in_its_reply(own_page: Page) -> None:
    own_page.run("1")
    own_page.run("1")
    figures = own_page.run(
        "held = bytearray(64 << 20)\ndel held\n"
        "open('/root/big', 'wb').write(bytes(1 << 20))\n"
        "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass"
    ).figures
    assert figures["wall_s"] >= 0.2
    assert figures["cpu_s"] >= 0.2
    assert figures["memory_peak_bytes"] >= 64 << 20
    assert figures["written_bytes"] == 1 << 20
    assert figures["files_changed"] == 1
    assert "1 file changed" in figures["note"]
    small = own_page.run("1").figures
    assert small["memory_peak_bytes"] < 64 << 20
    assert small["files_changed"] == 0


def test_limits_in_a_cells_metadata_hold_for_that_cell(own_page: Page) -> None:
    outcome = own_page.run(FILL, metadata={"wardian": {"memory": "200m"}})
    assert outcome.error[0] == "LimitHit"
    assert own_page.run(FILL + "; len(held)").result == str(600 << 20)


def test_metadata_that_is_nonsense_is_one_error(own_page: Page) -> None:
    outcome = own_page.run("1", metadata={"wardian": {"memroy": "1g"}})
    assert outcome.error == ("InvalidInput", "unknown setting in the metadata: memroy")
    assert own_page.run("1", metadata={"wardian": "x"}).error[0] == "InvalidInput"
