"""The three views move in a real browser while cells run in a real container."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.ui.conftest import PICTURES, OpenNotebook
from tests.ui.jupyter import JupyterServer
from tests.ui.notebook_page import NotebookPage

VIEWS = ("layers", "processes", "resources")
SHOW = ["%layers", "%ps", "%stats"]
WORK = [
    "open('/etc/motd', 'a').write('a line\\n'); open('/srv/new', 'w').write('x' * 5000)",
    "import subprocess; child = subprocess.Popen(['sleep', '1000'])",
    "held = bytearray(80 << 20)",
    "child.kill(); child.wait(); del held",
]


def show_views(notebook: NotebookPage) -> None:
    for number, view in enumerate(VIEWS):
        notebook.run(number)
        expect(notebook.view(view)).to_have_attribute("data-status", "live")


def picture(notebook: NotebookPage, name: str) -> None:
    for view in VIEWS:
        notebook.picture(view, PICTURES / f"{name}-{view}.png")


def memory_mib(notebook: NotebookPage) -> float:
    text = notebook.view("resources").locator(".wd-big").first.inner_text()
    figure, unit = re.match(r"([\d.]+) (\w+)", text).groups()  # type: ignore[union-attr]
    return float(figure) * {"KiB": 1 / 1024, "MiB": 1, "GiB": 1024}[unit]


@pytest.mark.parametrize("app", ["lab", "notebook"])
@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_views_show_what_cells_do(open_notebook: OpenNotebook, app: str, theme: str) -> None:
    notebook = open_notebook([*SHOW, *WORK], app=app, theme=theme)
    show_views(notebook)
    layers, processes = notebook.view("layers"), notebook.view("processes")

    notebook.run(3)
    new = layers.locator('.wd-row[data-path="/srv/new"]')
    expect(new).to_have_attribute("data-mark", "added")
    expect(new.locator(".wd-size")).to_have_text("4.9 KiB")

    notebook.run(4)
    sleep = processes.locator(".wd-line[data-key]", has_text=re.compile(r"^sleep"))
    expect(sleep).to_be_visible()
    expect(sleep.locator(".wd-pids")).to_have_text(re.compile(r"^\d+⇄\d+$"))

    before = memory_mib(notebook)
    notebook.run(5)
    expect(notebook.view("resources").locator(".wd-big").first).to_have_text(
        re.compile(r"^(\d{3}|[89]\d)(\.\d)? MiB")
    )
    assert memory_mib(notebook) > before + 60

    short = f"{app}-{'dark' if 'Dark' in theme else 'light'}"
    picture(notebook, short)
    notebook.run(6)
    expect(sleep.locator(".wd-state")).to_have_text("killed by SIGKILL")


def test_views_move_while_a_cell_runs(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(
        [*SHOW, "import time\nfor n in range(100):\n open(f'/srv/f{n}', 'w'); time.sleep(.1)"]
    )
    show_views(notebook)
    notebook.start(3)
    row = notebook.view("layers").locator('.wd-row[data-path="/srv/f3"]')
    expect(row).to_be_visible()
    expect(notebook.cell(3).locator(".jp-InputArea-prompt")).to_have_text("[*]:")
    row.click()
    detail = notebook.view("layers").locator(".wd-wins")
    expect(detail).to_contain_text("upper")
    expect(notebook.cell(3).locator(".jp-InputArea-prompt")).to_have_text("[*]:")


def test_names_from_the_container_are_never_markup(open_notebook: OpenNotebook) -> None:
    evil = "<img src=x onerror=alert(1)>"
    spawn = f"import subprocess; subprocess.Popen(['sh', '-c', 'sleep 1000; :', '{evil}'])"
    notebook = open_notebook([*SHOW, f"open('/srv/{evil}', 'w')", spawn])
    notebook.page.on("dialog", lambda dialog: notebook.errors.append(dialog.message))
    show_views(notebook)
    notebook.run(3)
    name = notebook.view("layers").locator(".wd-row .wd-name", has_text="onerror")
    expect(name).to_have_text(evil)
    notebook.run(4)
    args = notebook.view("processes").locator(".wd-args", has_text="onerror")
    expect(args.first).to_contain_text(evil)  # the shell is two for a moment, when it forks
    assert notebook.page.locator(".wd-view img").count() == 0


def test_whiteout_is_a_ghost_row(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook([*SHOW, "import os; os.remove('/etc/passwd')"])
    show_views(notebook)
    notebook.run(3)
    row = notebook.view("layers").locator('.wd-row[data-path="/etc/passwd"]')
    expect(row).to_have_attribute("data-mark", "deleted")
    expect(row.locator(".wd-ghost")).to_have_text("c 0, 0")
    row.click()
    expect(notebook.view("layers").locator(".wd-wins")).to_contain_text("whiteout")


def test_paused_view_stands_still_and_comes_back(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook([*SHOW, "open('/srv/a', 'w')"])
    show_views(notebook)
    layers = notebook.view("layers")
    layers.locator(".wd-toggle").click()
    expect(layers).to_have_attribute("data-status", "paused")
    notebook.run(3)
    layers.locator(".wd-toggle").click()
    expect(layers.locator('.wd-row[data-path="/srv/a"]')).to_be_visible()
    expect(layers).to_have_attribute("data-status", "live")


def test_last_state_stays_when_the_kernel_is_gone(
    open_notebook: OpenNotebook, server: JupyterServer
) -> None:
    notebook = open_notebook([*SHOW, "open('/srv/a', 'w')"])
    show_views(notebook)
    notebook.run(3)
    row = notebook.view("layers").locator('.wd-row[data-path="/srv/a"]')
    expect(row).to_be_visible()
    for kernel in server.ask("kernels"):
        server.ask(f"kernels/{kernel['id']}", "DELETE")
    expect(row).to_be_visible()


def test_views_work_under_the_shell_kernel(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook([*SHOW, "echo hi > /srv/b; sleep 1000 &"], kernel="wardian-shell")
    show_views(notebook)
    notebook.run(3)
    row = notebook.view("layers").locator('.wd-row[data-path="/srv/b"]')
    expect(row).to_be_visible()
    sleep = notebook.view("processes").locator(".wd-line[data-key]", has_text=re.compile("^sleep"))
    expect(sleep).to_be_visible()


def test_status_bar_says_what_the_container_uses(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(["1 + 1"])
    notebook.run(0)
    expect(notebook.page.locator(".wd-status-item")).to_have_text(
        re.compile(r".+ · [\d.]+ MiB / .+ · .+ %$")
    )
    PICTURES.mkdir(parents=True, exist_ok=True)
    notebook.page.locator("#jp-main-statusbar").screenshot(path=Path(PICTURES, "status.png"))
