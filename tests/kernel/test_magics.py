"""The host side's magics: what they say is the same on every run, and they complete and help."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.kernel.page import Page
from wardian.jupyter.magics.base import Parser
from wardian.jupyter.magics.registry import all_magics

STATUS = """\
main
  image    wardian/base
  status   running
  memory   unlimited
  cpus     unlimited
  pids     unlimited
  timeout  unlimited
"""


def _fresh(page: Page) -> None:
    """The container as it is when a notebook begins."""
    assert page.run("%container reset").status == "ok"


def test_status_names_image_and_limits(page: Page) -> None:
    assert page.run("%container").text() == STATUS


def test_containers_are_listed_with_the_current_one_marked(page: Page) -> None:
    page.run("%container new web --memory 64m")
    try:
        assert page.run("%container list").text() == (
            "   NAME  IMAGE         STATUS   MEMORY     CPUS       PIDS\n"
            "*  main  wardian/base  running  unlimited  unlimited  unlimited\n"
            "   web   wardian/base  running  64 MiB     unlimited  unlimited\n"
        )
    finally:
        assert page.run("%container rm web").text() == "web: removed\n"


def test_cells_run_in_the_container_that_is_used(page: Page) -> None:
    page.run("%container new second")
    try:
        assert page.run("%container use second").text() == "cells run in second now\n"
        assert page.run("import os; os.uname().nodename").result == "'second'"
        page.run("%container use main")
        assert page.run("import os; os.uname().nodename").result == "'main'"
    finally:
        page.run("%container rm second")


def test_on_runs_one_cell_elsewhere(page: Page) -> None:
    page.run("%container new side")
    try:
        page.run("where = 'main'")
        assert page.run("%%on side\nwhere = 'side'; import os; os.uname().nodename").result == (
            "'side'"
        )
        assert page.run("where").result == "'main'"
        assert page.run("%%on side\nwhere").result == "'side'"
        assert page.run("%%on side\n%%sh\nhostname").text() == "side\n"
        assert page.run("%%sh --on side\nhostname").text() == "side\n"
    finally:
        page.run("%container rm side")


def test_containers_of_a_notebook_do_not_see_each_others_files(page: Page) -> None:
    page.run("%container new apart")
    try:
        page.run("open('/tmp/mine', 'w').close()")
        assert page.run("%%on apart\nimport os; os.path.exists('/tmp/mine')").result == "False"
    finally:
        page.run("%container rm apart")
        page.run("import os; os.remove('/tmp/mine')")


def test_unknown_container_is_one_error_with_a_hint(page: Page) -> None:
    outcome = page.run("%%on nobody\n1")
    assert outcome.error == ("NotFound", "this notebook has no container 'nobody'")
    assert "%container new nobody" in "".join(outcome.content["traceback"])


def test_shell_and_python_share_the_container(page: Page) -> None:
    page.run("%%sh\necho from-shell > /tmp/shared; greeting=hello")
    assert page.run("open('/tmp/shared').read()").result == "'from-shell\\n'"
    assert page.run("%%sh\necho $greeting").text() == "hello\n"


def test_python_cell_in_the_shell_kernel_keeps_its_state(shell_page: Page) -> None:
    shell_page.run("%%python\nkept = 6")
    assert shell_page.run("%%python\nkept * 7").result == "42"
    assert shell_page.run("echo still a shell").text() == "still a shell\n"


def test_host_cell_runs_outside_of_the_container(page: Page) -> None:
    inside = page.run("import os; os.readlink('/proc/self/ns/pid')").result
    outside = page.run("%%host\nimport os; os.readlink('/proc/self/ns/pid')").result
    assert outside == repr(__import__("os").readlink("/proc/self/ns/pid"))
    assert inside != outside


def test_host_cell_prints_displays_and_fails_like_any_other(page: Page) -> None:
    outcome = page.run("%%host\nprint('out')\ndisplay({'text/plain': 'shown'}, raw=True)\n1/0")
    assert outcome.text() == "out\n"
    assert outcome.of("display_data")[0]["data"] == {"text/plain": "shown"}
    assert outcome.error == ("ZeroDivisionError", "division by zero")


def test_both_shows_the_two_sides_in_one_output(page: Page) -> None:
    (shown,) = page.run("%%both\ntest -e /.wardian && echo inside || echo outside").of(
        "display_data"
    )
    assert shown["data"]["text/plain"] == "── host ──\noutside\n\n── main ──\ninside"
    assert "<pre>inside</pre>" in shown["data"]["text/html"]


def test_net_is_the_same_on_every_run_and_has_a_table_for_pages_without_widgets(page: Page) -> None:
    text = page.run("%net --text").text()
    assert text == page.run("%net --text").text()
    assert "networks\nNAME  BRIDGE  SUBNETS" in text
    assert any(
        line.split() == ["main", "lo", "127.0.0.1/8", "::1/128"] for line in text.splitlines()
    )
    (shown,) = page.run("%net").of("display_data")
    assert "<caption>links</caption>" in shown["data"]["text/html"]
    refused = page.run("%net --way main nobody:80")
    assert "neither a container with a network nor an address" in refused.error[1]


def test_debug_looks_into_the_container_from_beside_it(page: Page) -> None:
    page.run("open('/plant', 'w').write('fern')")
    script = "%%debug\ncat /target/plant; echo; ls /plant; ps -e -o comm= | head -1"
    shown = page.wait(page.send(script), timeout_s=120)  # its image is made first
    assert shown.text() == "fern\nwardian-init\n"
    assert "No such file" in shown.text("stderr")  # its own files are others
    failed = page.run("%%debug\nexit 3")
    assert failed.status == "error"
    assert "ended with 3" in failed.error[1]


def test_both_says_an_exit_status(page: Page) -> None:
    (shown,) = page.run("%%both\nexit 3").of("display_data")
    assert shown["data"]["text/plain"] == (
        "── host ──\n[exit status 3]\n\n── main ──\n[exit status 3]"
    )


def test_limits_are_in_force_at_once(page: Page) -> None:
    try:
        assert page.run("%limits --memory 256m --cpus 0.5 --pids 64 --timeout 30").text() == (
            "memory   256 MiB\ncpus     0.5\npids     64\ntimeout  30 s\n"
        )
        usage = page.control("usage_request")
        assert usage["host_virtual_memory"]["total"] == 256 << 20
        assert usage["cpu_count"] == 0.5
    finally:
        page.run("%limits --memory 0 --cpus 0 --pids 0 --timeout 0")
    assert "memory   unlimited" in page.run("%limits").text()


def test_impossible_limit_is_refused_in_one_line(page: Page) -> None:
    assert page.run("%limits --memory 1k").error == (
        "InvalidInput",
        "memory limit too small: 1024",
    )
    assert page.run("%limits --memory much").error == ("InvalidInput", "not a size: 'much'")


def test_diff_tells_what_was_added_changed_and_deleted(page: Page) -> None:
    _fresh(page)
    assert page.run("%diff").text() == "nothing has changed\n"
    page.run("1 + 1")  # a cell that writes nothing, though it has its traceback's file name
    assert page.run("%diff").text() == "nothing has changed\n"
    page.run("%%sh\nmkdir /data; echo x > /data/new; echo y >> /etc/passwd; rm /etc/group")
    assert page.run("%diff /etc").text() == "C /etc\nD /etc/group\nC /etc/passwd\n"
    assert page.run("%diff /data").text() == "A /data\nA /data/new\n"


def test_ps_shows_the_tree_without_pids(page: Page) -> None:
    _fresh(page)
    page.run("import subprocess; sleeper = subprocess.Popen(['sleep', '100'])")
    try:
        assert page.run("%ps --text").text() == ("COMMAND\nwardian-init\n  python3\n    sleep\n")
        with_pids = page.run("%ps --pids").text().splitlines()
        assert with_pids[0].startswith("HOST ⇄ CONTAINER  COMMAND")
        assert all("⇄" in line for line in with_pids)
    finally:
        page.run("sleeper.kill(); sleeper.wait()")


def test_stats_tells_limits_and_on_demand_figures(page: Page) -> None:
    assert page.run("%stats --text").text() == (
        "memory  unlimited\ncpus    unlimited\npids    unlimited\n"
    )
    figures = page.run("%stats --now").text()
    assert figures.splitlines()[0].split() == ["NOW", "PEAK", "LIMIT"]
    assert "unknown" not in figures.splitlines()[1]


def test_inspect_is_json_without_anything_that_varies(page: Page) -> None:
    facts: dict[str, Any] = json.loads(page.run("%inspect").text())
    assert facts["name"] == facts["hostname"] == "main"
    assert facts["image"] == "wardian/base"
    assert facts["user_namespace"] == "auto"
    assert page.run("%inspect").text() == page.run("%inspect").text()
    assert "id" in json.loads(page.run("%inspect --all").text())


def test_logs_of_a_container_without_a_main_process_are_empty(page: Page) -> None:
    assert page.run("%logs").text() == "the container's main process has printed nothing\n"


@pytest.mark.parametrize("magic", ["%layers", "%ps", "%stats"])
def test_view_is_shown_with_a_text_that_is_always_the_same(page: Page, magic: str) -> None:
    first, second = page.run(magic).of("display_data")[0], page.run(magic).of("display_data")[0]
    assert "application/vnd.jupyter.widget-view+json" in first["data"]
    assert first["data"]["text/plain"] == second["data"]["text/plain"]
    assert "main" in first["data"]["text/plain"]


def test_layers_as_text_are_named_as_the_kernel_names_them(page: Page) -> None:
    assert page.run("%layers --text").text().splitlines()[:2] == ["merged", "upper"]


def test_restart_ends_processes_and_keeps_files(page: Page) -> None:
    page.run("x = 1; open('/root/kept', 'w').close()")
    page.run("%%sh\nsleep 1000 &")
    assert page.run("%container restart").status == "ok"
    assert page.run("import os; os.path.exists('/root/kept')").result == "True"
    assert page.run("'x' in globals()").result == "False"
    assert "sleep" not in page.run("%ps --text").text()


def test_reset_loses_files(page: Page) -> None:
    page.run("open('/root/lost', 'w').close()")
    assert page.run("%container reset").text() == "main: new from wardian/base\n"
    assert page.run("import os; os.path.exists('/root/lost')").result == "False"


def test_reset_can_choose_another_image(page: Page) -> None:
    try:
        page.run("%container reset --image wardian/busybox")
        assert page.run("%%sh\nreadlink /bin/sh").text().strip().endswith("busybox")
        assert page.run("1 + 1").result == "2"
    finally:
        page.run("%container reset --image wardian/base")


def test_line_magics_can_stand_before_and_after_code(page: Page) -> None:
    outcome = page.run("%limits\nx = 5\nprint(x)\n%container list")
    assert outcome.text().splitlines()[4] == "5"
    assert outcome.text().splitlines()[-1].startswith("*  main")


def test_magic_inside_a_string_is_only_text(page: Page) -> None:
    assert page.run("text = '''\n%limits\n'''\ntext").result == "'\\n%limits\\n'"


def test_comment_may_stand_above_a_cell_magic(page: Page) -> None:
    assert page.run("# NBVAL_CHECK_OUTPUT\n%%sh\necho hi").text() == "hi\n"


def test_failed_magic_stops_the_cell(page: Page) -> None:
    outcome = page.run("%container use nobody\nprint('never')")
    assert outcome.error[0] == "NotFound"
    assert outcome.text() == ""


@pytest.mark.parametrize("magic", all_magics(), ids=lambda magic: magic.name)
def test_every_magic_has_help_of_80_columns(page: Page, magic: Any) -> None:
    (payload,) = page.run(f"{magic.word}?").content["payload"]
    text = payload["data"]["text/plain"]
    assert text.startswith(f"Usage: {magic.word}")
    assert magic.summary.split(".")[0] in text.replace("\n", " ")
    assert max(map(len, text.splitlines())) <= 80
    reply = page.ask("inspect_request", {"code": magic.word, "cursor_pos": 2, "detail_level": 0})
    assert reply["data"]["text/plain"] == text


@pytest.mark.parametrize(
    ("typed", "matches"),
    [
        ("%con", ["%container"]),
        ("%%bo", ["%%both"]),
        ("%container re", ["reset", "restart"]),
        ("%container use ", ["main"]),
        ("%container new web --im", ["--image"]),
        ("%limits --m", ["--memory"]),
        ("%%sh --", ["--on"]),
        ("x = 1\n%lim", ["%limits"]),
    ],
)
def test_tab_completes_magics(page: Page, typed: str, matches: list[str]) -> None:
    page.run("1")
    reply = page.ask("complete_request", {"code": typed, "cursor_pos": len(typed)})
    assert reply["matches"][: len(matches)] == matches


def test_tab_still_knows_the_magics_of_ipython(page: Page) -> None:
    reply = page.ask("complete_request", {"code": "%timei", "cursor_pos": 6})
    assert "%timeit" in reply["matches"]


@pytest.mark.parametrize("line", ["--nonsense", "-x 1", "'open", "--memory"])
def test_bad_options_never_end_the_process(line: str) -> None:
    parser = Parser(prog="%thing")
    parser.add_argument("--memory")
    with pytest.raises(Exception, match="%thing") as caught:
        parser.parse(line)
    assert type(caught.value).__name__ == "InvalidInput"
