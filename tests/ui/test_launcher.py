"""The launcher's cards and the command palette, in a real browser."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.linux.conftest import wait_until
from tests.linux.program import Wardian, out
from tests.ui.conftest import PICTURES, OpenNotebook
from tests.ui.jupyter import JupyterServer, set_theme, write_settings
from tests.ui.themes import LIGHT, in_themes

COMMANDS = (
    "Containers of This Machine",
    "Shell in a New Container",
    "Restart the Interpreter, Keep the Container",
    "Reset the Container …",
)


def open_launcher(page: Page, server: JupyterServer) -> None:
    set_theme(server.home, LIGHT)
    page.goto(f"http://127.0.0.1:{server.port}/lab/workspaces/launcher?token={server.token}&reset")
    page.locator(".jp-Launcher:focus").wait_for()


def test_the_launcher_has_our_kernels_and_cards_with_pictures(
    server: JupyterServer, page: Page
) -> None:
    open_launcher(page, server)
    for name in ("Wardian: Python", "Wardian: shell"):
        cards = page.locator(".jp-LauncherCard", has_text=name)
        expect(cards).to_have_count(2)  # a notebook and a console
        for picture in cards.locator("img").all():
            expect(picture).to_have_js_property("complete", value=True)
            assert picture.evaluate("image => image.naturalWidth") > 0
    for name in COMMANDS[:2]:
        expect(page.locator(".jp-LauncherCard", has_text=name).locator("svg")).to_be_visible()
    PICTURES.mkdir(parents=True, exist_ok=True)
    for theme in in_themes(page):
        page.screenshot(path=PICTURES / f"launcher-{theme}.png")


def test_a_card_opens_a_shell_in_a_container_that_goes_with_it(
    server: JupyterServer, page: Page, wardian: Wardian
) -> None:
    before = out(wardian("ps", "-aq"))
    write_settings(server.home, "wardian", "settings", {"image": "wardian/busybox"})
    try:
        open_launcher(page, server)
        page.locator(".jp-LauncherCard", has_text="Shell in a New Container").click()
        terminal = page.locator(".jp-Terminal textarea")
        terminal.wait_for(state="attached")
        images = ("ps", "--format", "{{.Image}}")
        wait_until(lambda: out(wardian(*images)) == "wardian/busybox\n", timeout_s=30)
        terminal.press_sequentially("exit\n")
        wait_until(lambda: out(wardian("ps", "-aq")) == before)
    finally:
        (server.home / "settings/wardian/settings.jupyterlab-settings").unlink()


def test_every_command_is_in_the_palette(open_notebook: OpenNotebook) -> None:
    page = open_notebook(["1"]).page
    page.keyboard.press("Control+Shift+C")
    for command in COMMANDS:
        page.locator(".lm-CommandPalette-input").fill(command)
        item = page.locator(".lm-CommandPalette-item", has_text=command)
        expect(item).to_be_visible()
    expect(page.locator(".lm-CommandPalette-header", has_text="Wardian")).to_be_attached()
