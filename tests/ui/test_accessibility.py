"""What is ours in JupyterLab can be used by keys, and axe finds no serious fault in it."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.linux.program import IMAGE, Wardian, out
from tests.ui.axe import faults
from tests.ui.conftest import PICTURES, OpenNotebook
from tests.ui.jupyter import JupyterServer
from tests.ui.notebook_page import NotebookPage
from tests.ui.saved import check_drawing, save
from tests.ui.test_notebooks import press
from tests.ui.test_panel import VIEW, line, open_panel, run_three
from tests.ui.themes import DARK, HIGH_CONTRAST, LIGHT, in_themes

THEMES = (LIGHT, DARK, HIGH_CONTRAST)


def focused(page: Page) -> Locator:
    return page.locator(":focus")


def test_axe_finds_nothing_in_the_panel(
    server: JupyterServer, page: Page, wardian: Wardian
) -> None:
    run_three(wardian)
    panel = open_panel(page, server)
    for title in ("Images", "Networks", "Volumes"):
        panel.locator("summary", has_text=title).click()
    for theme in in_themes(page, *THEMES):
        assert faults(page, ".wdp-panel", '[data-id="wardian-containers"]') == []
        line(panel, "web").focus()
        assert faults(page, ".wdp-panel") == []
        page.screenshot(path=PICTURES / f"panel-focus-{theme}.png", clip=VIEW)
        page.keyboard.press("Enter")
        expect(focused(page)).to_have_attribute("aria-label", "Look through its walls")
        page.keyboard.press("Enter")
        assert faults(page, ".lm-Menu") == []
        page.keyboard.press("Escape")
    for label in ("Show its logs", "Look through its walls"):
        line(panel, "web").get_by_role("button", name=label).click()
    page.locator(".lm-Menu-item", has_text="Layers").click()
    expect(page.locator(".wdp-view .wd-layers")).to_have_attribute("data-status", "live")
    for _ in in_themes(page, *THEMES):
        assert faults(page, ".wdp-view", ".wdp-logs") == []


def test_axe_finds_nothing_in_a_notebook(open_notebook: OpenNotebook) -> None:
    work = (
        "open('/srv/new', 'w').write('x'); import os; os.remove('/etc/passwd')\n"
        "import subprocess; child = subprocess.Popen(['sleep', '1000'])"
    )
    begin = ["%container reset", "%record start axe --replace", work]
    end = ["%record stop", "%record show axe"]
    notebook = open_notebook([*begin, "%layers", "%ps", "%stats", *end])
    for number in range(8):
        notebook.run(number)
    page = notebook.page
    for view in ("layers", "processes", "resources"):
        expect(notebook.view(view)).to_have_attribute("data-status", "live")
    notebook.view("layers").locator('.wd-row[data-path="/srv/new"]').click()
    expect(notebook.view("layers").locator(".wd-wins")).to_be_visible()
    for view in ("resources", "layers"):
        open_commands(notebook, view)
    expect(page.locator(".wd-status-item")).not_to_be_empty()
    buttons = [
        f'[data-jp-item-name="{name}"]' for name in ("restart-interpreter", "reset-container")
    ]
    step_through(notebook)
    for theme in in_themes(page, *THEMES):
        assert faults(page, ".wd-view", ".wd-status-item", *buttons) == []
        notebook.picture("replay", PICTURES / f"replay-{theme}.png")
        page.screenshot(path=PICTURES / f"notebook-{theme}.png")
    check_drawing(save(notebook.view("replay"), "SVG").read_text(), "srv/", "sleep")
    close_commands(notebook, "layers")
    press(page, "reset-container")
    for _ in in_themes(page, *THEMES):
        assert faults(page, ".jp-Dialog-content") == []


def open_commands(notebook: NotebookPage, view: str) -> None:
    """A view's drawer opens by keys, and has the keys then."""
    notebook.view(view).get_by_role("button", name="Show commands").press("Enter")
    expect(notebook.view(view).locator(".wd-drawer:focus")).to_contain_text("as root")


def close_commands(notebook: NotebookPage, view: str) -> None:
    """By Escape it closes, and its button has the keys again."""
    drawer = notebook.view(view).locator(".wd-drawer")
    drawer.get_by_role("button", name="Close").press("Escape")
    expect(drawer).to_be_hidden()
    expect(focused(notebook.page)).to_have_text("Show commands")


def step_through(notebook: NotebookPage) -> None:
    """A recording is replayed by keys: to its beginning, by a cell to where it began, and on."""
    replay = notebook.view("replay")
    sleep = replay.locator(".wd-processes .wd-line[data-key]", has_text=re.compile(r"^sleep"))
    expect(sleep).to_be_visible()
    expect(replay.locator(".wd-chart > svg")).to_have_count(4)  # drawn though nothing moves yet
    replay.locator(".wd-slider").press("Home")
    expect(sleep).to_be_hidden()
    replay.locator(".wd-cell", has_text="[3]").press("Enter")
    expect(replay.locator(".wd-slider")).to_have_attribute("aria-valuetext", re.compile("cell 3"))
    new = replay.locator('.wd-layers .wd-row[data-path="/srv/new"]')
    expect(sleep).to_be_hidden()
    expect(new).to_be_hidden()
    while not (sleep.is_visible() and new.is_visible()):
        replay.get_by_label("One frame forward").press("Enter")


def test_the_panel_is_used_by_keys_alone(
    server: JupyterServer, page: Page, wardian: Wardian
) -> None:
    for name in ("web", "db"):
        out(wardian("run", "-d", "--name", name, IMAGE, "sleep", "1000"))
    panel = open_panel(page, server)
    expect(line(panel, "web")).to_be_visible()
    page.locator(".jp-Launcher:focus").wait_for()  # it takes the keys when it is there
    page.locator(".jp-LauncherCard", has_text="Containers of This Machine").press("Enter")
    expect(focused(page)).to_have_text(re.compile(r"^Containers\d+$"))
    page.keyboard.press("ArrowDown")
    expect(focused(page)).to_have_attribute("data-name", "db")
    page.keyboard.press("Enter")
    expect(focused(page)).to_have_attribute("aria-label", "Look through its walls")
    page.keyboard.press("Enter")
    expect(page.locator(".lm-Menu-item", has_text="Layers")).to_be_visible()
    page.keyboard.press("Escape")
    expect(focused(page)).to_have_attribute("aria-label", "Look through its walls")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(focused(page)).to_have_attribute("aria-label", "Pause")
    page.keyboard.press("Enter")
    expect(line(panel, "db")).to_have_attribute("data-status", "paused")
    expect(focused(page)).to_have_attribute("data-name", "db")
    page.keyboard.press("Delete")
    expect(page.locator(".jp-Dialog")).to_contain_text("Remove db?")
    page.keyboard.press("Escape")
    expect(page.locator(".jp-Dialog")).to_be_hidden()
    expect(focused(page)).to_have_attribute("data-name", "db")
    page.keyboard.press("Delete")
    page.locator(".jp-Dialog").wait_for()
    page.keyboard.press("Enter")
    expect(line(panel, "db")).to_be_hidden()
    expect(focused(page)).to_have_attribute("data-name", "web")
    page.keyboard.press("Shift+Tab")
    expect(panel.locator(":focus")).to_have_count(0)
