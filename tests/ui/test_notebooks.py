"""A notebook's own buttons, and the colours of its cells, in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.linux.conftest import wait_until
from tests.ui.conftest import PICTURES, OpenNotebook
from tests.ui.jupyter import JupyterServer
from tests.ui.notebook_page import NotebookPage
from tests.ui.themes import in_themes

BEGIN = (
    "x = 1; open('/srv/made', 'w').write('x'); "
    "import subprocess; child = subprocess.Popen(['sleep', '1000'])"
)
LOOK = (
    "import os\n"
    "names = {open(f'/proc/{n}/comm').read().strip() for n in os.listdir('/proc') if n.isdigit()}\n"
    "print('x' in globals(), os.path.exists('/srv/made'), 'sleep' in names)"
)


@pytest.fixture(autouse=True)
def wide(page: Page) -> None:
    """Wide enough for all buttons of a toolbar."""
    page.set_viewport_size({"width": 1400, "height": 1000})


def button(page: Page, name: str) -> Locator:
    return page.locator(f'.jp-NotebookPanel-toolbar [data-jp-item-name="{name}"]')


def press(page: Page, name: str) -> Locator:
    """Presses one of our buttons; returns the dialog that asks."""
    button(page, name).locator("jp-button, button").first.click()
    dialog = page.locator(".jp-Dialog")
    expect(dialog).to_be_visible()
    return dialog


def output(notebook: NotebookPage, number: int) -> Locator:
    return notebook.cell(number).locator(".jp-OutputArea-output")


def news(notebook: NotebookPage) -> Locator:
    return notebook.page.locator(".Toastify__toast")


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_buttons_are_there_only_where_the_kernel_is_ours(
    open_notebook: OpenNotebook, app: str
) -> None:
    notebook = open_notebook(["1"], app=app)
    for name in ("restart-interpreter", "reset-container"):
        expect(button(notebook.page, name)).to_be_visible()
    notebook = open_notebook(["1"], kernel="python3", app=app)
    expect(notebook.page.locator('[data-jp-item-name="restart"]')).to_be_visible()
    for name in ("restart-interpreter", "reset-container"):
        expect(button(notebook.page, name)).to_be_hidden()


def test_a_restart_of_the_interpreter_keeps_the_container(
    open_notebook: OpenNotebook, server: JupyterServer
) -> None:
    notebook = open_notebook([BEGIN, LOOK])
    notebook.run(0)
    dialog = press(notebook.page, "restart-interpreter")
    expect(dialog).to_contain_text("Its variables are lost")
    with notebook.page.expect_response(re.compile("/restart")):
        dialog.locator(".jp-mod-warn").click()
    wait_until(lambda: all(kernel["execution_state"] == "idle" for kernel in server.ask("kernels")))
    notebook.run(1)
    expect(output(notebook, 1)).to_have_text("False True True")


def test_a_reset_says_what_is_lost_and_loses_it(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook([BEGIN, LOOK])
    notebook.run(0)
    dialog = press(notebook.page, "reset-container")
    expect(dialog).to_contain_text("Reset the container main?")
    expect(dialog).to_contain_text("file written or removed: /srv/made")
    expect(dialog).to_contain_text("sleep")
    PICTURES.mkdir(parents=True, exist_ok=True)
    for theme in in_themes(notebook.page):
        notebook.page.screenshot(path=PICTURES / f"reset-{theme}.png")
    dialog.get_by_role("button", name="Cancel").click()
    notebook.run(1)
    expect(output(notebook, 1)).to_have_text("True True True")
    press(notebook.page, "reset-container").locator(".jp-mod-warn").click()
    expect(news(notebook)).to_have_text("The container main is new")
    notebook.run(1)
    expect(output(notebook, 1)).to_have_text("False False False")


def test_a_reset_does_not_wait_for_a_cell_that_runs(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook([BEGIN, "import time; time.sleep(1000)", LOOK])
    notebook.run(0)
    notebook.start(1)
    expect(notebook.cell(1).locator(".jp-InputArea-prompt")).to_have_text("[*]:")
    press(notebook.page, "reset-container").locator(".jp-mod-warn").click()
    expect(news(notebook)).to_have_text("The container main is new")
    notebook.run(2)
    expect(output(notebook, 2)).to_have_text("False False False")


def coloured(notebook: NotebookPage, number: int, word: str) -> Locator:
    """A word of a cell that its language takes for something."""
    return notebook.cell(number).locator(".cm-line span", has_text=re.compile(f"^{word}$"))


def colour(notebook: NotebookPage, number: int, word: str) -> str:
    """How a word of a cell is coloured, as the browser shows it."""
    found = coloured(notebook, number, word).first
    expect(found).to_be_visible()
    said: str = found.evaluate("element => getComputedStyle(element).color")
    return said


@pytest.mark.parametrize("kernel", ["wardian-python", "wardian-shell"])
def test_cells_are_coloured_by_their_magic_while_typing(
    open_notebook: OpenNotebook, kernel: str
) -> None:
    notebook = open_notebook(
        ["", "%%python\ndef f(): pass", "%%sh\nif true; then :; fi"], kernel=kernel
    )
    keyword = colour(notebook, 1, "def")
    assert colour(notebook, 2, "then") == keyword
    notebook.cell(0).locator(".cm-content").click()
    notebook.page.keyboard.type("%%dockerfile\nFROM base\nRUN echo hi")
    assert colour(notebook, 0, "FROM") == keyword
    assert colour(notebook, 0, "RUN") == keyword
    notebook.page.keyboard.press("Control+Home")
    notebook.page.keyboard.type("x")
    expect(coloured(notebook, 0, "RUN")).to_have_count(0)


def test_other_kernels_cells_are_left_alone(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(["%%dockerfile\nFROM base", "def f(): pass"], kernel="python3")
    keyword = colour(notebook, 1, "def")
    plain = notebook.cell(0).locator(".cm-line", has_text="FROM base")
    expect(plain).to_be_visible()
    for span in plain.locator("span").all():
        expect(span).not_to_have_css("color", keyword)
