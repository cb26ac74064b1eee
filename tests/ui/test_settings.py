"""What is chosen in JupyterLab's settings reaches containers, panel and views."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.linux.conftest import wait_until
from tests.ui.conftest import PICTURES, OpenNotebook
from tests.ui.jupyter import JupyterServer, set_theme, write_settings
from tests.ui.themes import LIGHT


@pytest.fixture(autouse=True)
def usual(server: JupyterServer) -> Iterator[None]:
    """No choice before and after a test."""
    yield
    (server.home / "settings/wardian/settings.jupyterlab-settings").unlink(missing_ok=True)
    (server.home / "state/defaults.json").unlink(missing_ok=True)


def open_settings(page: Page, server: JupyterServer, limit: str = "Memory limit") -> None:
    set_theme(server.home, LIGHT)
    page.goto(f"http://127.0.0.1:{server.port}/lab/workspaces/settings?token={server.token}&reset")
    page.locator("#jp-main-dock-panel").wait_for()
    page.keyboard.press("Control+,")
    page.locator(".jp-PluginList-entry", has_text="Wardian").click()
    expect(page.locator(".jp-SettingsForm")).to_contain_text(limit)


def test_limits_chosen_in_the_editor_are_a_new_notebooks(
    server: JupyterServer, page: Page, open_notebook: OpenNotebook
) -> None:
    open_settings(page, server)
    for name, value in (("memory", "96m"), ("pids", "55")):
        page.locator(f'.jp-SettingsForm input[id$="_{name}"]').fill(value)
    page.screenshot(path=PICTURES / "settings.png")
    file = server.home / "state/defaults.json"
    chosen = {"image": "wardian/base", "memory": "96m", "pids": 55}
    wait_until(lambda: file.exists() and json.loads(file.read_text()) == chosen)
    notebook = open_notebook(["%limits", "%container new other --memory 32m\n%limits"])
    notebook.run(0)
    output = notebook.cell(0).locator(".jp-OutputArea-output")
    expect(output).to_contain_text(re.compile(r"memory\s+96.*pids\s+55", re.DOTALL))


def test_a_choice_that_no_container_can_have_is_refused(server: JupyterServer, page: Page) -> None:
    write_settings(server.home, "wardian", "settings", {"memory": "1k"})
    page.goto(f"http://127.0.0.1:{server.port}/lab?token={server.token}&reset")
    expect(page.locator(".Toastify__toast").first).to_contain_text("memory")
    assert not (server.home / "state/defaults.json").exists()


def test_the_refresh_rate_is_the_views(
    server: JupyterServer, page: Page, open_notebook: OpenNotebook
) -> None:
    write_settings(server.home, "wardian", "settings", {"refresh": 600})
    asked: list[str] = []
    page.on("websocket", lambda socket: asked.append(socket.url))
    notebook = open_notebook(["%stats", "held = bytearray(80 << 20)"])
    wait_until((server.home / "state/defaults.json").exists)
    server.ask(f"kernels/{server.ask('kernels')[-1]['id']}/restart", "POST")
    wait_until(lambda: server.ask("kernels")[-1]["execution_state"] == "idle")
    notebook.run(0)
    figure = notebook.view("resources").locator(".wd-big").first
    expect(figure).to_have_text(re.compile("MiB"))
    notebook.run(1)
    page.locator('.jp-SideBar [data-id="wardian-containers"]').click()
    expect(page.locator(".wdp-panel")).to_have_attribute("data-state", "live")
    assert float(figure.inner_text().split()[0]) < 80  # the cell's memory is not seen yet
    assert any("/wardian/api/live?" in url and "period=600" in url for url in asked)
