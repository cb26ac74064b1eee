"""``make pictures``: the pictures of README and course, from a real JupyterLab.

Tests by form, so that they have the tests' server, browser and tidying up; nothing runs them
unless it names this file.
"""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import FloatRect, Page, expect

from tests.linux.program import IMAGE, Wardian, out
from tests.ui.conftest import PICTURES, OpenNotebook
from tests.ui.jupyter import JupyterServer
from tests.ui.test_panel import line, look_through, open_panel
from wardian.course.book import build
from wardian.course.shelf import LANGUAGES, every

LESSONS = Path(__file__).parents[2] / "build/pictures"

PETS = """\
from pathlib import Path
import subprocess

for name in ("cat", "dog", "bird"):
    Path(f"/srv/{name}.txt").write_text(f"I am a {name}\\n")
Path("/etc/profile").unlink()
sleeper = subprocess.Popen(["sleep", "1000"])"""
LOAD = """\
import time

block = bytearray(150 * 1024 * 1024)
for _ in range(20_000_000):
    pass
time.sleep(1)
del block"""
LIMITS = "%limits --memory 256m --cpus 0.5 --pids 64"
TOUR = [PETS, "%layers", "%ps", LIMITS, "%stats", LOAD, "bytearray(10**9)"]


def test_tour(open_notebook: OpenNotebook, page: Page) -> None:
    """A notebook whose last cell runs out of memory, and the views that saw it."""
    page.set_viewport_size({"width": 1160, "height": 2100})
    notebook = open_notebook(TOUR)
    page.keyboard.press("Control+b")  # the side panel gives way
    for number in range(len(TOUR)):
        notebook.run(number)
    expect(notebook.view("resources")).to_contain_text("OOM: python3")
    expect(notebook.view("processes")).to_contain_text("killed by SIGKILL")
    page.locator(".jp-Notebook").screenshot(path=PICTURES / "tour.png")


def test_panel(server: JupyterServer, page: Page, wardian: Wardian) -> None:
    """The side panel, and beside it a view of a container that no notebook has."""
    out(wardian("run", "-d", "--name", "web", "-m", "64m", IMAGE, "sleep", "1000"))
    out(wardian("run", "-d", "--name", "db", "-v", "data:/data", IMAGE, "sleep", "1000"))
    out(wardian("pause", "db"))
    panel = open_panel(page, server)
    page.locator(".jp-Launcher").wait_for()
    layers = look_through(page, panel, "web")
    out(wardian("exec", "web", "sh", "-c", "echo hello > /tmp/greeting; rm /etc/group"))
    row = layers.locator('.wd-row[data-path="/etc/group"]')
    expect(row).to_have_attribute("data-mark", "deleted")
    row.click()
    expect(layers.locator(".wd-wins")).to_contain_text("whiteout")
    expect(line(panel, "web").locator(".wdc-figures")).to_have_text(re.compile(r"64\.0 MiB · \d"))
    view: FloatRect = {"x": 0, "y": 0, "width": 1280, "height": 440}
    page.screenshot(path=PICTURES / "panel.png", clip=view)


def test_lessons(page: Page, tmp_path: Path) -> None:
    """Each lesson as its page in the book, to be looked at, in ``build/pictures``."""
    lessons = every(*LANGUAGES)
    build(tmp_path, lessons)
    page.set_viewport_size({"width": 1000, "height": 1400})
    for lesson in lessons:
        place = Path(lesson.language, lesson.name)
        page.goto((tmp_path / place).with_suffix(".html").as_uri())
        if lesson.recording is not None:
            expect(page.locator(".wd-replay").first).to_be_visible()
        page.screenshot(path=LESSONS / place.with_suffix(".png"), full_page=True)
