"""What a cell's code and its children have of the host: no descriptor, no capability too many."""

from __future__ import annotations

import re

import pytest

from tests.kernel.page import Page
from wardian.errors import InvalidInput
from wardian.jupyter.settings import Settings
from wardian.linux import capabilities
from wardian.linux.capabilities import mask

STATUS = "grep -E '^(Cap(Inh|Amb|Bnd)|NoNewPrivs|Seccomp):' /proc/self/status"


def assert_confined(text: str) -> None:
    """CVE-2022-27650, 27651, 24769: nothing is inheritable; and the usual walls stand."""
    found = dict(re.findall(r"^(\w+):\s+(\w+)\r?$", text, re.MULTILINE))
    assert int(found["CapInh"], 16) == int(found["CapAmb"], 16) == 0
    assert int(found["CapBnd"], 16) == mask(capabilities.DEFAULT)
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")


def test_python_cells_are_confined(page: Page) -> None:
    assert_confined(page.run("print(open('/proc/self/status').read())").text())
    assert_confined(page.run(f"!{STATUS}").text())


def test_shell_cells_are_confined(shell_page: Page) -> None:
    assert_confined(shell_page.run("cat /proc/$$/status").text())
    assert_confined(shell_page.run(STATUS).text())


@pytest.mark.parametrize(
    "how", ["subprocess.run(ls, shell=True, close_fds=False)", "os.system(ls)"]
)
def test_programs_of_a_python_cell_have_standard_descriptors_only(page: Page, how: str) -> None:
    """CVE-2024-21626: also for who forgets to close them, and in the way of every library."""
    said = page.run(f"import os, subprocess\nls = 'ls /proc/self/fd'\n_ = {how}")
    assert said.text().split() == ["0", "1", "2", "3"]  # the last one is of ls itself


def test_programs_of_a_shell_cell_have_only_pipes_to_their_own_shell(shell_page: Page) -> None:
    """Beside the standard ones: those over which the shell says that a cell is over."""
    script = "for fd in /proc/self/fd/*; do echo ${fd##*/} $(readlink $fd); done"
    lines = shell_page.run(f"sh -c '{script}'").text().splitlines()
    found = dict(line.split() for line in lines if len(line.split()) == 2)
    assert {"0", "1", "2"} <= set(found)
    more = {fd: where for fd, where in found.items() if int(fd) > 2}
    assert all(where.startswith("pipe:") for where in more.values()), more


LOOK = """
import os
for name in os.listdir("/proc/self/fd"):
    fd = int(name)
    try:
        where = os.readlink(f"/proc/self/fd/{fd}")
        is_reachable = os.path.exists(where) or os.isatty(fd)
    except OSError:
        continue
    if os.path.isdir(f"/proc/self/fd/{fd}") or where.startswith("/") and not is_reachable:
        print(fd, where)
"""


def test_runner_holds_no_file_of_the_host(page: Page) -> None:
    """What it has open is a pipe, a socket, a terminal, or can be had by its name as well."""
    assert page.run(LOOK).text() == ""


def test_walls_are_taken_down_for_a_container_that_asks_for_it_and_only_by_the_magic(
    shell_page: Page,
) -> None:
    shell_page.run("%container new workshop --privileged")
    try:
        inside = "unshare --mount mount -t tmpfs none /srv && echo mounted"
        assert shell_page.run(f"%%on workshop\n{inside}").text() == "mounted\n"
    finally:
        shell_page.run("%container rm workshop")
    assert shell_page.run(inside).status == "error"
    with pytest.raises(InvalidInput, match="unknown setting"):
        Settings().with_words({"privileged": True})
