"""What a kernel does while a cell runs: it can be interrupted, and it answers."""

from __future__ import annotations

import signal
import time

import pytest

from tests.kernel.page import Outcome, Page

FOREVER = 1000


def _started(page: Page, code: str) -> str:
    """Send a cell and wait until its first output says that it runs."""
    sent = page.send(code)
    page.iopub("stream", parent=sent)
    return sent


def _interrupted(page: Page, sent: str) -> Outcome:
    before = time.monotonic()
    assert page.control("interrupt_request") == {"status": "ok"}
    outcome = page.wait(sent)
    assert time.monotonic() - before < FOREVER / 4  # it did not run to its end
    return outcome


@pytest.mark.parametrize(
    "code",
    [
        f"print(1)\nimport time; time.sleep({FOREVER})",
        "print(1)\nwhile True: pass",
        f"!echo 1; sleep {FOREVER}",
        f"print(1)\nimport subprocess; subprocess.run(['sleep', '{FOREVER}'])",
        f"print(1)\nimport asyncio; await asyncio.sleep({FOREVER})",
        "print(1)\nimport threading; threading.Lock().acquire() and threading.Event().wait()",
    ],
    ids=["sleep", "loop", "shell-escape", "subprocess", "await", "lock"],
)
def test_interrupt_ends_the_cell_and_keeps_its_state(page: Page, code: str) -> None:
    page.run("kept = 'kept'")
    outcome = _interrupted(page, _started(page, code))
    if not code.startswith("!"):
        assert outcome.error[0] in ("KeyboardInterrupt", "CancelledError")
    assert page.run("kept").result == "'kept'"


def test_interrupt_by_signal_works_too(page: Page) -> None:
    sent = _started(page, f"print(1)\nimport time; time.sleep({FOREVER})")
    page.manager.signal_kernel(signal.SIGINT)
    assert page.wait(sent).error[0] == "KeyboardInterrupt"


def test_interrupt_that_the_main_thread_does_not_notice_comes_again(page: Page) -> None:
    """A signal that another thread gets ends no sleep of the main thread."""
    code = (
        "import signal, threading, time\n"
        "def get() -> None:\n"
        "    signal.pthread_kill(threading.get_ident(), signal.SIGINT)\n"
        "threading.Timer(0.2, get).start()\n"
        f"time.sleep({FOREVER})"
    )
    assert page.run(code).error[0] == "KeyboardInterrupt"


def test_interrupt_comes_once_to_a_handler_of_the_cells_own(page: Page) -> None:
    code = (
        "import signal, time\n"
        "seen = []\n"
        "signal.signal(signal.SIGINT, lambda *_: seen.append(1))\n"
        "print(1)\n"
        "while not seen: time.sleep(0.01)\n"
        "time.sleep(0.5)\n"
        "seen"
    )
    assert _interrupted(page, _started(page, code)).result == "[1]"


def test_interrupt_of_a_forked_child_is_not_the_cells(page: Page) -> None:
    code = (
        "import os, signal, time\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    signal.signal(signal.SIGINT, lambda *_: os._exit(7))\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    os._exit(0)\n"
        "status = os.waitpid(child, 0)[1]\n"
        "time.sleep(0.5)\n"
        "os.waitstatus_to_exitcode(status)"
    )
    assert page.run(code).result == "7"


def test_interrupt_while_input_waits_ends_the_cell(page: Page) -> None:
    sent = page.send("input('? ')", allow_stdin=True)
    page.client.get_stdin_msg(timeout=60)
    assert _interrupted(page, sent).error[0] == "KeyboardInterrupt"
    assert page.run("print('got', input())", answer="x").text() == "got x\n"


def test_interrupt_of_a_shell_cell_keeps_the_shell(shell_page: Page) -> None:
    shell_page.run("kept=kept")
    outcome = _interrupted(shell_page, _started(shell_page, f"echo 1; sleep {FOREVER}"))
    assert outcome.status == "error"
    assert shell_page.run("echo $kept").text() == "kept\n"


def test_interrupt_of_a_host_cell_keeps_the_kernel(page: Page) -> None:
    sent = _started(page, "%%host\nprint(1)\nwhile True: pass")
    assert _interrupted(page, sent).error[0] == "KeyboardInterrupt"
    assert page.run("1").status == "ok"


def test_kernel_info_and_comm_info_are_answered_while_a_cell_runs(page: Page) -> None:
    sent = _started(page, f"print(1)\nimport time; time.sleep({FOREVER})")
    assert page.ask("kernel_info_request", {})["status"] == "ok"
    assert page.ask("comm_info_request", {})["status"] == "ok"
    _interrupted(page, sent)


def test_page_is_told_busy_again_after_an_answer_in_between(page: Page) -> None:
    sent = _started(page, f"print(1)\nimport time; time.sleep({FOREVER})")
    asked = page.client.kernel_info()
    page.iopub("status", parent=asked)
    idle = page.iopub("status", parent=asked)
    assert idle["content"]["execution_state"] == "idle"
    again = page.iopub("status")
    assert again["parent_header"]["msg_id"] == sent
    assert again["content"]["execution_state"] == "busy"
    page.reply(asked)
    _interrupted(page, sent)


def test_usage_is_answered_while_a_cell_runs(page: Page) -> None:
    sent = _started(page, f"print(1)\nimport time; time.sleep({FOREVER})")
    usage = page.control("usage_request")
    assert usage["hostname"] == "main"
    assert usage["kernel_memory"] > 0
    assert usage["host_virtual_memory"]["total"] > usage["kernel_memory"]
    assert page.control("usage_request")["kernel_cpu"] >= 0
    _interrupted(page, sent)


def test_completion_that_waits_for_a_cell_is_answered_after_it(page: Page) -> None:
    page.run("alphabet = 1")
    sent = _started(page, "print(1)\nimport time; time.sleep(1)")
    asked = page.client.complete("alphab", 6)
    assert page.wait(sent).status == "ok"
    assert page.reply(asked)["content"]["matches"] == ["alphabet"]
