"""What a Python cell can do, through the page's eyes."""

from __future__ import annotations

import base64

import pytest

from tests.kernel.page import Page


def test_state_lasts_from_cell_to_cell(page: Page) -> None:
    page.run("alpha = 41")
    assert page.run("alpha + 1").result == "42"


def test_print_reaches_the_page_before_the_result(page: Page) -> None:
    outcome = page.run("print('first'); 'second'")
    assert outcome.kinds == ["stream", "execute_result"]
    assert outcome.text() == "first\n"


def test_stdout_and_stderr_stay_apart(page: Page) -> None:
    outcome = page.run("import sys; print('out'); print('err', file=sys.stderr)")
    assert (outcome.text("stdout"), outcome.text("stderr")) == ("out\n", "err\n")
    words = "echo out >/dev/stdout; echo err >/dev/stderr"  # opened by their names
    outcome = page.run(f"import subprocess; done = subprocess.run({words!r}, shell=True)")
    assert (outcome.text("stdout"), outcome.text("stderr")) == ("out\n", "err\n")


def test_text_comes_while_the_cell_runs(page: Page) -> None:
    sent = page.send("print('now', flush=True); input_never = __import__('time').sleep(1)")
    assert page.iopub("stream", parent=sent)["content"]["text"] == "now\n"
    assert page.reply(sent)["content"]["status"] == "ok"


def test_output_of_a_subprocess_reaches_the_page_in_order(page: Page) -> None:
    outcome = page.run(
        "import subprocess\nprint('a')\nsubprocess.run(['echo', 'b'])\nprint('c', end='')"
    )
    assert outcome.text() == "a\nb\nc"


def test_displays_and_text_keep_their_order(page: Page) -> None:
    outcome = page.run(
        "from IPython.display import HTML\n"
        "print(1)\ndisplay(HTML('<b>2</b>'))\nprint(3)\ndisplay(HTML('<b>4</b>'))"
    )
    assert outcome.kinds == ["stream", "display_data", "stream", "display_data"]


def test_rich_representations_are_shown(page: Page) -> None:
    outcome = page.run(
        "class Rich:\n"
        "    def _repr_html_(self): return '<i>html</i>'\n"
        "    def _repr_mimebundle_(self, **kwargs): return {'application/x-mine': {'a': 1}}\n"
        "    def __repr__(self): return 'plain'\n"
        "Rich()"
    )
    (result,) = outcome.of("execute_result")
    assert result["data"] == {
        "application/x-mine": {"a": 1},
        "text/html": "<i>html</i>",
        "text/plain": "plain",
    }


def test_matplotlib_draws_inline(page: Page) -> None:
    outcome = page.run("import matplotlib.pyplot as plt\nplt.plot([1, 2]);")
    (figure,) = outcome.of("display_data")
    assert base64.b64decode(figure["data"]["image/png"]).startswith(b"\x89PNG")


def test_display_id_updates_what_was_shown(page: Page) -> None:
    outcome = page.run("handle = display('a', display_id='mine'); handle.update('b')")
    assert outcome.kinds == ["display_data", "update_display_data"]
    (update,) = outcome.of("update_display_data")
    assert update["transient"] == {"display_id": "mine"}
    assert update["data"]["text/plain"] == "'b'"


def test_clear_output_is_passed_on(page: Page) -> None:
    outcome = page.run(
        "from IPython.display import clear_output; print(1); clear_output(wait=True)"
    )
    assert outcome.of("clear_output") == [{"wait": True}]


def test_exception_is_an_error_with_a_traceback(page: Page) -> None:
    outcome = page.run("def broken():\n    return 1 / 0\nbroken()")
    assert outcome.error == ("ZeroDivisionError", "division by zero")
    assert outcome.status == "error"
    assert "broken" in "".join(outcome.content["traceback"])


def test_syntax_error_is_an_error(page: Page) -> None:
    assert page.run("import = 7").error[0] == "SyntaxError"


def test_input_asks_the_page(page: Page) -> None:
    assert page.run("print('got', input('? '))", answer="abc").text() == "got abc\n"


def test_getpass_asks_without_echo(page: Page) -> None:
    sent = page.send("import getpass; print(len(getpass.getpass('word: ')))", allow_stdin=True)
    request = page.client.get_stdin_msg(timeout=60)
    assert request["content"] == {"prompt": "word: ", "password": True}
    page.client.input("secret")
    assert page.wait(sent).text() == "6\n"


def test_input_without_a_page_that_answers_is_an_error(page: Page) -> None:
    assert page.run("input()").error[0] == "StdinNotImplementedError"


def test_line_and_cell_magics_of_ipython_work(page: Page) -> None:
    page.run("%%capture caught\nprint('kept')")
    assert page.run("caught.stdout").result == "'kept\\n'"
    assert page.run("%pwd").result == page.run("import os; os.getcwd()").result


def test_shell_escape_runs_and_is_captured(page: Page) -> None:
    assert page.run("!echo hello").text().split() == ["hello"]
    assert page.run("lines = !printf 'a\\nb'\nlines").result == "['a', 'b']"


def test_await_at_the_top_level_works(page: Page) -> None:
    outcome = page.run("import asyncio\nawait asyncio.sleep(0)\nprint('awaited')")
    assert outcome.text() == "awaited\n"


def test_completion_knows_variables(page: Page) -> None:
    page.run("alphabet = 1")
    reply = page.ask("complete_request", {"code": "alphab", "cursor_pos": 6})
    assert reply["matches"] == ["alphabet"]
    assert (reply["cursor_start"], reply["cursor_end"]) == (0, 6)


def test_inspection_shows_docstrings(page: Page) -> None:
    page.run("def described():\n    'Says what it is.'")
    reply = page.ask("inspect_request", {"code": "described", "cursor_pos": 4, "detail_level": 0})
    assert reply["found"]
    assert "Says what it is." in reply["data"]["text/plain"]


@pytest.mark.parametrize(
    ("code", "status"),
    [("1", "complete"), ("for i in x:", "incomplete"), ("x = (1,]", "invalid")],
)
def test_is_complete_tells_a_console_what_to_do(page: Page, code: str, status: str) -> None:
    assert page.ask("is_complete_request", {"code": code})["status"] == status


def test_history_has_the_last_cells(page: Page) -> None:
    page.run("'remember me'")
    reply = page.ask(
        "history_request", {"hist_access_type": "tail", "n": 1, "raw": True, "output": False}
    )
    assert reply["history"][-1][2] == "'remember me'"


def test_count_goes_up_by_one_a_cell_and_is_the_same_everywhere(page: Page) -> None:
    before = page.run("1").content["execution_count"]
    outcome = page.run("2")
    counts = {
        outcome.content["execution_count"],
        outcome.of("execute_input")[0]["execution_count"],
        outcome.of("execute_result")[0]["execution_count"],
    }
    assert counts == {before + 1}
    assert page.run("Out").result is not None
    assert page.run(f"Out[{before + 1}]").result == "2"


def test_cell_without_history_does_not_count(page: Page) -> None:
    before = page.run("1").content["execution_count"]
    page.run("2", store_history=False)
    assert page.run("3").content["execution_count"] == before + 1


def test_silent_cell_shows_no_result_and_does_not_count(page: Page) -> None:
    before = page.run("1").content["execution_count"]
    outcome = page.run("1 + 1", silent=True, store_history=False)
    assert outcome.kinds == []
    assert not outcome.of("execute_input")
    assert page.run("1").content["execution_count"] == before + 1


def test_user_expressions_are_evaluated_after_the_cell(page: Page) -> None:
    outcome = page.run("seen = 5", user_expressions={"good": "seen * 2", "bad": "nothing_here"})
    expressions = outcome.content["user_expressions"]
    assert expressions["good"]["data"]["text/plain"] == "10"
    assert expressions["bad"]["status"] == "error"


def test_pager_payload_is_returned(page: Page) -> None:
    (payload,) = page.run("print?").content["payload"]
    assert payload["source"] == "page"


def test_waiting_cells_are_aborted_after_an_error(page: Page) -> None:
    # The first must still run when the second arrives: only what waits is aborted.
    first = page.send("import time; time.sleep(0.5); 1/0")
    second = page.send("print('never')")
    assert page.wait(first).status == "error"
    assert page.wait(second).status == "aborted"
    assert page.run("1").status == "ok"


def test_waiting_cells_run_on_without_stop_on_error(page: Page) -> None:
    first, second = page.send("1/0", stop_on_error=False), page.send("print('still')")
    assert page.wait(first).status == "error"
    assert page.wait(second).text() == "still\n"


def test_output_of_a_thread_that_outlives_its_cell_is_shown_under_it(page: Page) -> None:
    sent = page.send(
        "import threading\nthreading.Timer(0.5, lambda: print('from the thread')).start()"
    )
    assert page.wait(sent).text() == ""
    late = page.iopub("stream")
    assert late["content"]["text"] == "from the thread\n"
    assert late["parent_header"]["msg_id"] == sent


def test_unicode_survives_in_every_direction(page: Page) -> None:
    text = "안녕 \N{SNOWMAN} é \U0001f433"
    outcome = page.run(f"name = {text!r}\nprint(name)\nname")
    assert outcome.text() == f"{text}\n"
    assert outcome.result == repr(text)


def test_a_hundred_thousand_lines_arrive_whole(page: Page) -> None:
    text = page.run("for i in range(100_000): print(i)").text()
    assert text.splitlines() == [str(number) for number in range(100_000)]


def test_big_display_arrives_whole(page: Page) -> None:
    outcome = page.run("display({'text/plain': 'x' * 20_000_000}, raw=True)")
    (shown,) = outcome.of("display_data")
    assert len(shown["data"]["text/plain"]) == 20_000_000


def test_exit_ends_the_interpreter_and_the_next_cell_has_a_new_one(page: Page) -> None:
    page.run("before = 1")
    (payload,) = page.run("exit").content["payload"]
    assert payload["source"] == "ask_exit"
    assert page.run("'before' in globals()").result in ("False", "True")
    assert page.run("1 + 1").result == "2"


def test_input_in_a_host_cell_asks_the_page(page: Page) -> None:
    assert page.run("%%host\nprint('got', input('? '))", answer="abc").text() == "got abc\n"
    assert page.run("%%host\ninput()").error[0] == "StdinNotImplementedError"


def test_host_cell_sends_whole_lines(page: Page) -> None:
    outcome = page.run("%%host\nfor i in range(3): print(i, end=' ')\nprint()")
    assert [one["text"] for one in outcome.of("stream")] == ["0 1 2 \n"]
