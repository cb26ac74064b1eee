"""Python cells in a real runner process, without a container."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.kernel.recording_sink import Bench, bench, until
from wardian.cells.runner import Language, RunnerExited

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def python(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(Language.PYTHON, tmp_path) as ready:
        yield ready


# --- text and displays ---------------------------------------------------------------------


async def test_print_goes_to_stdout_and_stderr(python: Bench) -> None:
    reply = await python.run("import sys; print('leaf'); print('root', file=sys.stderr)")
    assert reply["status"] == "ok"
    assert (python.sink.text("stdout"), python.sink.text("stderr")) == ("leaf\n", "root\n")


async def test_value_of_last_expression_is_the_result_with_the_hosts_count(python: Bench) -> None:
    await python.run("pass")
    reply = await python.run("6 * 7")
    (result,) = python.sink.contents("execute_result")
    assert result["data"] == {"text/plain": "42"}
    assert result["execution_count"] == reply["execution_count"] == 2


async def test_text_and_displays_keep_the_order_in_which_the_cell_made_them(python: Bench) -> None:
    await python.run(
        "for i in range(50):\n"
        "    print(i)\n"
        "    display(i)\n"
        "import subprocess; subprocess.run(['echo', 'child']); display('end'); print('after')"
    )
    seen = [
        each.content.strip() if each.kind == "stdout" else each.content["data"]["text/plain"]
        for each in python.sink.outputs
    ]
    assert seen[:100] == [str(i // 2) for i in range(100)]
    assert seen[100:] == ["child", "'end'", "after"]


async def test_output_of_c_code_and_children_is_seen(python: Bench) -> None:
    await python.run(
        "import ctypes, os\n"
        "os.write(1, b'from os\\n')\n"
        "libc = ctypes.CDLL(None); libc.puts(b'from C'); libc.fflush(None)\n"
        "_ = os.system('echo from a child')"
    )
    assert python.sink.text() == "from os\nfrom C\nfrom a child\n"


async def test_redirecting_descriptor_1_keeps_marks_out_of_the_file(
    python: Bench, tmp_path: Path
) -> None:
    target = tmp_path / "out"
    await python.run(
        f"import os\nfd = os.open({str(target)!r}, os.O_WRONLY | os.O_CREAT)\n"
        "saved = os.dup(1); os.dup2(fd, 1)\nos.write(1, b'kept')\ndisplay(1)\nos.dup2(saved, 1)"
    )
    assert target.read_bytes() == b"kept"


async def test_bytes_written_to_stdout_buffer_keep_their_place(python: Bench) -> None:
    await python.run(
        "import sys; print('a'); n = sys.stdout.buffer.write('ü\\n'.encode()); print('b')"
    )
    assert python.sink.text() == "a\nü\nb\n"


async def test_a_character_cut_in_two_by_writes_is_put_together(python: Bench) -> None:
    await python.run("import os; os.write(1, b'\\xc3'); os.write(1, b'\\xbc'); print()")
    assert "ü" in python.sink.text()


async def test_lone_surrogates_and_nan_do_not_break_the_protocol(python: Bench) -> None:
    await python.run(
        "print('\\ud800x'); display({'application/x': float('nan'), 'text/plain': '\\ud800'},"
        " raw=True)"
    )
    assert python.sink.text() == "?x\n"
    (shown,) = python.sink.contents("display_data")
    assert shown["data"] == {"application/x": None, "text/plain": "?"}


async def test_display_id_updates_and_clear_output(python: Bench) -> None:
    await python.run(
        "handle = display('a', display_id='here'); handle.update('b')\n"
        "from IPython.display import clear_output; clear_output(wait=True)"
    )
    assert python.sink.kinds == ["display_data", "update_display_data", "clear_output"]
    first, second, cleared = (each.content for each in python.sink.outputs)
    assert first["transient"] == second["transient"] == {"display_id": "here"}
    assert cleared == {"wait": True}


async def test_matplotlib_figure_is_shown_at_the_end_of_its_cell(python: Bench) -> None:
    pytest.importorskip("matplotlib")
    await python.run("import matplotlib.pyplot as plt; plt.plot([1, 2]); print('drawn')")
    (shown,) = python.sink.contents("display_data")
    assert base64.b64decode(shown["data"]["image/png"]).startswith(b"\x89PNG")
    assert python.sink.kinds[-1] == "display_data"


async def test_large_display_arrives_whole(python: Bench) -> None:
    await python.run("display({'text/plain': 'é' * 5_000_000}, raw=True)")
    (shown,) = python.sink.contents("display_data")
    assert shown["data"]["text/plain"] == "é" * 5_000_000


async def test_ten_thousand_lines_arrive_in_few_messages_and_whole(python: Bench) -> None:
    messages = 0
    original = python.sink.stream

    def count(cell: int, name: str, text: str) -> None:
        nonlocal messages
        messages += 1
        original(cell, name, text)

    python.sink.stream = count  # type: ignore[method-assign]
    await python.run("for i in range(10_000): print(i)")
    assert python.sink.text() == "".join(f"{i}\n" for i in range(10_000))
    assert messages < 100


async def test_large_display_keeps_its_place_among_what_is_printed(python: Bench) -> None:
    await python.run(
        "print('before'); display({'text/plain': 'x' * 10_000_000}, raw=True); print('after')"
    )
    kinds = [(each.kind, len(str(each.content))) for each in python.sink.outputs]
    assert [kind for kind, _ in kinds] == ["stdout", "display_data", "stdout"]
    assert kinds[1][1] > 10_000_000


async def test_large_display_is_the_text_that_it_was(python: Bench) -> None:
    await python.run(
        "text = 'a\"\\\\é😀\\n' * 400_000\n"
        "display({'text/plain': text, 'application/json': {'k': [1, None]}}, raw=True,"
        " metadata={'m': 'x' * 100_000})"
    )
    (shown,) = python.sink.contents("display_data")
    assert shown["data"] == {
        "text/plain": 'a"\\é😀\n' * 400_000,
        "application/json": {"k": [1, None]},
    }
    assert shown["metadata"] == {"m": "x" * 100_000}


async def test_environment_of_cells_is_what_was_asked_for(python: Bench) -> None:
    await python.run("import os; print([name for name in os.environ if 'TUNABLES' in name])")
    assert python.sink.text() == "[]\n"


async def test_what_was_printed_is_not_kept_in_memory(python: Bench) -> None:
    def resident_kb() -> int:
        path = Path(f"/proc/{python.runner.process.host_pid}/status")
        (line,) = [each for each in path.read_text().splitlines() if each.startswith("VmRSS")]
        return int(line.split()[1])

    code = "import sys\nfor _ in range(400): n = sys.stdout.write('x' * 100_000)"
    await python.run(code)
    before_kb = resident_kb()
    await python.run(code)
    assert resident_kb() - before_kb < 10_000  # of 40,000 printed


async def test_held_output_waits_and_nothing_is_lost(python: Bench) -> None:
    python.sink.outputs.clear()
    python.runner.hold_output()
    task = python.begin("import os; print('x' * 1_000_000); os.write(2, b'done')")
    await asyncio.sleep(0)
    assert python.sink.outputs == []
    python.runner.release_output()
    await task
    assert python.sink.text() == "x" * 1_000_000 + "\n"


# --- errors --------------------------------------------------------------------------------


async def test_error_has_ipythons_traceback_and_is_published(python: Bench) -> None:
    reply = await python.run("1/0")
    assert (reply["status"], reply["ename"]) == ("error", "ZeroDivisionError")
    (error,) = python.sink.contents("error")
    assert error["traceback"] == reply["traceback"]
    assert "In[1]" in "".join(error["traceback"]).replace("\x1b[32m", "")


async def test_syntax_error_and_sys_exit_are_errors_and_the_runner_lives(python: Bench) -> None:
    assert (await python.run("f(:"))["ename"] == "SyntaxError"
    assert (await python.run("import sys; sys.exit(3)"))["ename"] == "SystemExit"
    assert (await python.run("2"))["status"] == "ok"


async def test_exit_asks_to_exit_and_the_process_ends_well(python: Bench) -> None:
    reply = await python.run("exit()")
    assert reply["payload"] == [{"source": "ask_exit", "keepkernel": False}]
    reason = await asyncio.wait_for(asyncio.shield(python.runner.exited), 60)
    assert reason.exit_code == 0


async def test_process_that_vanishes_ends_the_cell_with_its_status(python: Bench) -> None:
    with pytest.raises(RunnerExited) as caught:
        await python.run("import os; print('last words'); os._exit(3)")
    assert caught.value.reason.exit_code == 3
    assert python.sink.text() == "last words\n"


async def test_killed_runner_ends_all_requests(python: Bench) -> None:
    cell = python.begin("print('ready'); import time; time.sleep(100)")
    question = asyncio.ensure_future(python.ask("is_complete", code="1"))
    await until(lambda: "ready" in python.sink.text())
    os.kill(python.runner.process.host_pid, signal.SIGKILL)
    for task in (cell, question):
        with pytest.raises(RunnerExited) as caught:
            await asyncio.wait_for(task, 60)
        assert caught.value.reason.exit_code == 137


# --- interrupts ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "print('ready'); import time; time.sleep(100)",
        "print('ready')\nwhile True: pass",
        "print('ready')\nimport asyncio; await asyncio.sleep(100)",
        "print('ready')\nimport subprocess; subprocess.run(['sleep', '100'])",
        "print('ready')\nwhile True: print('x' * 1000)",
        "print('ready')\nwhile True: display(1)",
    ],
)
async def test_interrupt_ends_the_cell_and_the_next_one_works(python: Bench, code: str) -> None:
    reply = await python.interrupted(code)
    assert (reply["status"], reply["ename"] in ("KeyboardInterrupt", "CancelledError")) == (
        "error",
        True,
    )
    assert (await python.run("print('fine')"))["status"] == "ok"
    assert python.sink.text() == "fine\n"


async def test_interrupt_ends_a_shell_command_and_its_children(python: Bench) -> None:
    reply = await python.interrupted("!echo ready; sleep 100 | cat\nprint('went on')")
    assert reply["status"] == "ok"
    assert python.sink.text().endswith("went on\n")


async def test_interrupt_between_cells_is_harmless(python: Bench) -> None:
    for _ in range(20):
        python.runner.interrupt()
        assert (await python.run("x = 1"))["status"] in ("ok", "error")
    assert (await python.run("print('fine')"))["status"] == "ok"


async def test_interrupt_ends_input(python: Bench) -> None:
    python.sink.outputs.clear()
    task = python.begin("input('? ')", allow_stdin=True)
    await until(lambda: bool(python.sink.prompts))
    python.runner.interrupt()
    assert (await task)["ename"] == "KeyboardInterrupt"


# --- what surrounds a cell -------------------------------------------------------------------


async def test_input_and_getpass_ask_the_user(python: Bench) -> None:
    python.sink.answers = ["fern", "secret"]
    await python.run(
        "import getpass; print(input('plant? '), getpass.getpass('word? '))", allow_stdin=True
    )
    assert python.sink.prompts == [("plant? ", False), ("word? ", True)]
    assert python.sink.text() == "fern secret\n"


async def test_input_without_a_user_is_an_error(python: Bench) -> None:
    assert (await python.run("input()"))["ename"] == "StdinNotImplementedError"
    python.sink.answers = [EOFError]
    assert (await python.run("input()", allow_stdin=True))["ename"] == "EOFError"


async def test_silent_cell_shows_no_result_and_expressions_are_evaluated(python: Bench) -> None:
    reply = await python.run("x = 5; x", silent=True, user_expressions={"y": "x + 1", "z": "nope"})
    assert python.sink.outputs == []
    assert reply["user_expressions"]["y"]["data"] == {"text/plain": "6"}
    assert reply["user_expressions"]["z"]["status"] == "error"


async def test_payloads_of_the_pager_and_of_next_input(python: Bench) -> None:
    reply = await python.run("len?")
    assert reply["payload"][0]["source"] == "page"
    reply = await python.run("get_ipython().set_next_input('next')")
    assert reply["payload"] == [{"source": "set_next_input", "text": "next", "replace": False}]


async def test_magics_and_shell_commands_work(python: Bench) -> None:
    await python.run(
        "%who\n!echo $HOME-like; exit 4\nprint(_exit_code)\nlines = !echo captured\nlines"
    )
    assert python.sink.text().splitlines()[-1] == "4"
    (result,) = python.sink.contents("execute_result")
    assert result["data"]["text/plain"] == "['captured']"


async def test_top_level_await_leaves_other_tasks_running_between_cells(python: Bench) -> None:
    await python.run(
        "import asyncio\nseen = []\n"
        "async def beat():\n"
        "    while len(seen) < 3:\n        seen.append(1); await asyncio.sleep(0)\n"
        "task = asyncio.ensure_future(beat())"
    )
    await python.run("await task; print(len(seen))")
    assert python.sink.text() == "3\n"


async def test_late_output_of_a_task_belongs_to_its_cell(python: Bench) -> None:
    await python.run(
        "import asyncio\ngo = asyncio.Event()\n"
        "async def late():\n    await go.wait(); print('late'); display('late')\n"
        "task = asyncio.ensure_future(late())"
    )
    await python.run("print('mine'); go.set(); await task; print('mine')")
    cells = {
        (each.cell, text)
        for each in python.sink.outputs
        for text in ("late", "mine")
        if text in str(each.content)
    }
    assert cells == {(1, "late"), (2, "mine")}


async def test_thread_prints_after_its_cell(python: Bench) -> None:
    await python.run(
        "import threading\ngo = threading.Event()\n"
        "thread = threading.Thread(target=lambda: (go.wait(), print('from a thread')))\n"
        "thread.start()"
    )
    await python.run("go.set(); thread.join()")
    assert python.sink.text() == "from a thread\n"


async def test_forked_and_spawned_children_print_and_do_not_touch_the_socket(python: Bench) -> None:
    await python.run(
        "import os, sys\nsys.stdout.write('before ')\npid = os.fork()\n"
        "if not pid:\n    print('child'); display('dropped'); os._exit(0)\n"
        "os.waitpid(pid, 0); print('parent')"
    )
    assert python.sink.text() == "before child\nparent\n"
    assert "display_data" not in python.sink.kinds
    await python.run(
        "import multiprocessing as mp\n"
        "with mp.get_context('fork').Pool(2) as pool: print(sorted(pool.map(abs, [-1, 2])))"
    )
    assert python.sink.text() == "[1, 2]\n"


async def test_nothing_is_written_into_the_home_directory(tmp_path: Path) -> None:
    async with bench(Language.PYTHON, tmp_path, HOME=str(tmp_path)) as python:
        await python.run("%history\nprint(1)")
    assert os.listdir(tmp_path) == []


async def test_user_modules_beside_the_notebook_are_found(python: Bench, tmp_path: Path) -> None:
    (tmp_path / "herb.py").write_text("name = 'sage'\n")
    await python.run("import herb; print(herb.name)")
    assert python.sink.text() == "sage\n"


async def test_our_own_modules_are_not_importable_by_their_names(python: Bench) -> None:
    assert (await python.run("import frames"))["ename"] == "ModuleNotFoundError"
    assert (await python.run("import link"))["ename"] == "ModuleNotFoundError"


# --- questions -------------------------------------------------------------------------------


async def test_completion_has_types_and_the_cells_names(python: Bench) -> None:
    await python.run("alpha_beta = 'text'")
    reply = await python.ask("complete", code="alpha_b", cursor_pos=7)
    assert reply["matches"] == ["alpha_beta"]
    assert (reply["cursor_start"], reply["cursor_end"]) == (0, 7)
    assert reply["metadata"]["_jupyter_types_experimental"][0]["text"] == "alpha_beta"


async def test_inspection_finds_and_does_not_find(python: Bench) -> None:
    assert "Signature" in (await python.ask("inspect", code="print", cursor_pos=3, detail_level=0))[
        "data"
    ]["text/plain"].replace("\x1b[31m", "")
    assert (await python.ask("inspect", code="nope", cursor_pos=2))["found"] is False


async def test_is_complete_tells_three_states(python: Bench) -> None:
    assert (await python.ask("is_complete", code="1 + 1"))["status"] == "complete"
    assert await python.ask("is_complete", code="for i in x:") == {
        "status": "incomplete",
        "indent": "    ",
    }
    assert (await python.ask("is_complete", code="f(:)"))["status"] == "invalid"


async def test_history_has_what_was_run_and_stored(python: Bench) -> None:
    await python.run("first = 1")
    await python.run("second = 2", store_history=False)
    await python.run("third = 3")
    reply = await python.ask("history", hist_access_type="tail", n=2, raw=True, output=False)
    assert [each[2] for each in reply["history"]] == ["first = 1", "third = 3"]
    reply = await python.ask("history", hist_access_type="search", pattern="thi*", raw=True)
    assert [each[2] for each in reply["history"]] == ["third = 3"]


async def test_questions_are_answered_while_an_async_cell_waits(python: Bench) -> None:
    task = python.begin("import asyncio; print('ready'); await asyncio.sleep(100)")
    await until(lambda: "ready" in python.sink.text())
    assert (await python.ask("is_complete", code="1"))["status"] == "complete"
    python.runner.interrupt()
    await task


# --- comms -----------------------------------------------------------------------------------

SLIDER = "import ipywidgets as w; s = w.IntSlider(3); display(s)"


def slider_id(python: Bench) -> str:
    return next(
        str(each["comm_id"])
        for each in python.sink.contents("comm_open")
        if "IntSliderModel" in str(each["data"])
    )


async def test_widget_opens_a_comm_and_hears_the_page(python: Bench) -> None:
    await python.run(SLIDER)
    comm_id = slider_id(python)
    assert python.runner.owns_comm(comm_id)
    change = {"method": "update", "state": {"value": 77}, "buffer_paths": []}
    python.runner.send_comm(
        "comm_msg",
        {"comm_id": comm_id, "data": change},
        {},
        [],
        cell=1000,
        header={"msg_id": "click"},
    )
    await python.run("print(s.value)")
    assert python.sink.text() == "77\n"
    comms = (await python.ask("comm_info"))["comms"]
    assert comms[comm_id] == {"target_name": "jupyter.widget"}


async def test_callback_of_a_widget_prints_for_the_message_that_caused_it(python: Bench) -> None:
    await python.run(SLIDER + "\ns.observe(lambda c: print('now', c.new), 'value')")
    change = {"method": "update", "state": {"value": 5}, "buffer_paths": []}
    content = {"comm_id": slider_id(python), "data": change}
    python.runner.send_comm("comm_msg", content, {}, [], cell=1000, header={"msg_id": "click"})
    await until(lambda: "now 5" in python.sink.text())
    (printed,) = [each for each in python.sink.outputs if each.kind == "stdout"]
    assert printed.cell == 1000


async def test_output_widget_captures_by_the_cells_message_id(python: Bench) -> None:
    await python.run("import ipywidgets as w; o = w.Output()")
    await python.run("with o: print('inside')\nprint('outside')")
    changes = [
        each["data"]["state"]["msg_id"]
        for each in python.sink.contents("comm_msg")
        if "msg_id" in each["data"].get("state", {})
    ]
    assert changes == ["message-2", ""]
    kinds = [each.kind for each in python.sink.outputs if each.kind in ("comm_msg", "stdout")]
    assert kinds == ["comm_msg", "stdout", "comm_msg", "stdout"]


async def test_comm_with_buffers_goes_both_ways(python: Bench) -> None:
    await python.run(
        "import comm\nheard = []\nc = comm.create_comm(target_name='t', buffers=[b'out'])\n"
        "c.on_msg(lambda m: heard.append(bytes(m['buffers'][0])))"
    )
    (opened,) = [each for each in python.sink.outputs if each.kind == "comm_open"]
    assert opened.buffers == [b"out"]
    content = {"comm_id": opened.content["comm_id"], "data": {}}
    python.runner.send_comm("comm_msg", content, {}, [b"in"], cell=9, header={})
    await python.run("print(heard)")
    assert python.sink.text() == "[b'in']\n"


async def test_comm_id_of_somebody_else_is_not_opened(python: Bench) -> None:
    python.sink.forbidden_comms = {"taken"}
    await python.run("import comm; c = comm.create_comm(comm_id='taken'); c.send({'x': 1})")
    assert python.sink.kinds == []
