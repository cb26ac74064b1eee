"""The side panel in a real browser: what there is, as it changes, and what it can have done."""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.error
import urllib.request

import pytest
from playwright.sync_api import FloatRect, Locator, Page, expect

from tests.linux.conftest import keeper_pid, wait_until
from tests.linux.program import IMAGE, Wardian, out
from tests.ui.conftest import PICTURES
from tests.ui.jupyter import JupyterServer, set_theme
from tests.ui.themes import LIGHT, in_themes

VIEW: FloatRect = {"x": 0, "y": 0, "width": 640, "height": 800}


def open_panel(page: Page, server: JupyterServer) -> Locator:
    set_theme(server.home, LIGHT)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(f"http://127.0.0.1:{server.port}/lab/workspaces/panel?token={server.token}&reset")
    tab = page.locator('.jp-SideBar [data-id="wardian-containers"]')
    tab.click()
    panel = page.locator(".wdp-panel")
    expect(panel).to_have_attribute("data-state", "live")
    return panel


def line(panel: Locator, name: str) -> Locator:
    return panel.locator(f'.wdp-item[data-name="{name}"]')


def act(panel: Locator, name: str, label: str) -> None:
    line(panel, name).hover()
    line(panel, name).get_by_role("button", name=label, exact=True).click()


def run_three(wardian: Wardian) -> None:
    """One that runs, one that is paused, one that has failed; and a volume."""
    out(wardian("run", "-d", "--name", "web", "-m", "64m", IMAGE, "sleep", "1000"))
    out(wardian("run", "-d", "--name", "idle", IMAGE, "sleep", "1000"))
    out(wardian("pause", "idle"))
    wardian("run", "--name", "broken", "-v", "data:/data", IMAGE, "sh", "-c", "exit 3")


def look_through(page: Page, panel: Locator, name: str) -> Locator:
    """Open the live view of a container's layers in a tab."""
    act(panel, name, "Look through its walls")
    page.locator(".lm-Menu-item", has_text="Layers").click()
    layers = page.locator(".wd-view.wd-layers")
    expect(layers).to_have_attribute("data-status", "live")
    return layers


def test_the_panel_lists_what_there_is(server: JupyterServer, page: Page, wardian: Wardian) -> None:
    run_three(wardian)
    panel = open_panel(page, server)
    expect(line(panel, "web")).to_have_attribute("data-status", "running")
    expect(line(panel, "web")).to_contain_text(re.compile("Up (less than a|1) minute"))
    expect(line(panel, "web").locator(".wdc-figures")).to_have_text(
        re.compile(r"^[\d.]+ [KM]iB / 64.0 MiB · [\d.]+ %$")
    )
    expect(line(panel, "idle")).to_contain_text("(paused)")
    expect(line(panel, "broken")).to_contain_text("Exited (3) less than a minute ago")
    for title in ("Images", "Networks", "Volumes"):
        panel.locator("summary", has_text=title).click()
    expect(line(panel, IMAGE)).to_contain_text("used by web, idle, broken")
    expect(line(panel, "data")).to_contain_text("used by broken")
    PICTURES.mkdir(parents=True, exist_ok=True)
    line(panel, "web").hover()
    for theme in in_themes(page):
        page.screenshot(path=PICTURES / f"panel-{theme}.png", clip=VIEW)


def test_the_panel_follows_what_happens_elsewhere(
    server: JupyterServer, page: Page, wardian: Wardian
) -> None:
    panel = open_panel(page, server)
    expect(panel).to_contain_text("None yet. Run a cell")
    out(wardian("run", "-d", "--name", "web", IMAGE, "sleep", "1000"))
    expect(line(panel, "web")).to_have_attribute("data-status", "running")
    out(wardian("rename", "web", "shop"))
    expect(line(panel, "shop")).to_be_visible(timeout=1000)
    out(wardian("rm", "-f", "shop"))
    expect(line(panel, "shop")).to_be_hidden(timeout=1000)


def test_the_panel_goes_on_with_another_keeper(
    server: JupyterServer, page: Page, wardian: Wardian
) -> None:
    out(wardian("run", "-d", "--name", "web", IMAGE, "sleep", "1000"))
    panel = open_panel(page, server)
    expect(line(panel, "web")).to_be_visible()
    keeper = keeper_pid(server.home / "state")
    assert keeper is not None
    os.kill(keeper, signal.SIGKILL)
    out(wardian("run", "-d", "--name", "second", IMAGE, "sleep", "1000"))
    expect(line(panel, "second")).to_have_attribute("data-status", "running")
    out(wardian("pause", "web"))
    expect(line(panel, "web")).to_have_attribute("data-status", "paused")


def test_the_panel_does_what_it_is_asked(
    server: JupyterServer, page: Page, wardian: Wardian
) -> None:
    out(wardian("run", "-d", "--name", "web", "-v", "data:/data", IMAGE, "sleep", "1000"))
    panel = open_panel(page, server)
    web = line(panel, "web")
    for label, status in (("Pause", "paused"), ("Unpause", "running"), ("Stop", "exited")):
        act(panel, "web", label)
        expect(web).to_have_attribute("data-status", status)
    act(panel, "web", "Start")
    expect(web).to_have_attribute("data-status", "running")

    panel.locator("summary", has_text="Volumes").click()
    act(panel, "data", "Remove")
    page.locator(".jp-Dialog .jp-mod-warn").click()
    expect(page.locator(".Toastify__toast")).to_contain_text("is in use")
    assert out(wardian("volume", "ls", "-q")) == "data\n"

    panel.locator("summary", has_text="Images").click()
    act(panel, IMAGE, "Remove")
    page.locator(".jp-Dialog .jp-mod-warn").click()
    expect(page.locator(".Toastify__toast", has_text="is used by")).to_be_visible()
    assert IMAGE in out(wardian("images"))

    act(panel, "web", "Remove")
    page.locator(".jp-Dialog button", has_text="Cancel").click()
    expect(web).to_be_visible()
    act(panel, "web", "Remove")
    page.locator(".jp-Dialog .jp-mod-warn").click()
    expect(web).to_be_hidden()
    assert out(wardian("ps", "-aq")) == ""


def test_logs_and_a_terminal_open_in_tabs(
    server: JupyterServer, page: Page, wardian: Wardian
) -> None:
    shell = "echo '<b>hello</b>'; echo oh >&2; while :; do sleep 0.2; echo more; done"
    out(wardian("run", "-d", "--name", "web", IMAGE, "sh", "-c", shell))
    panel = open_panel(page, server)
    act(panel, "web", "Show its logs")
    logs = page.locator(".wdp-logs")
    expect(logs).to_contain_text("<b>hello</b>")
    expect(logs.locator(".wdp-stderr")).to_have_text("oh\n")
    expect(logs).to_contain_text("more\nmore\nmore")
    act(panel, "web", "Open a terminal in it")
    terminal = page.locator(".jp-Terminal textarea")
    terminal.wait_for(state="attached")
    wait_until(lambda: len(out(wardian("top", "web", "-o", "pid,args")).split("sh")) > 2)
    terminal.press_sequentially("touch /tmp/by-hand\n")
    wait_until(lambda: "A /tmp/by-hand" in out(wardian("diff", "web")))


def test_a_view_opens_in_a_tab_without_a_kernel(
    server: JupyterServer, page: Page, wardian: Wardian
) -> None:
    out(wardian("run", "-d", "--name", "web", "-m", "64m", IMAGE, "sleep", "1000"))
    layers = look_through(page, open_panel(page, server), "web")
    out(wardian("exec", "web", "sh", "-c", "echo x > /tmp/seen"))
    seen = layers.locator('.wd-row[data-path="/tmp/seen"]')
    expect(seen).to_have_attribute("data-mark", "added")
    seen.click()
    expect(layers).to_contain_text("wins")
    for theme in in_themes(page):
        page.screenshot(path=PICTURES / f"panel-view-{theme}.png")
    out(wardian("stop", "-t", "0", "web"))
    expect(layers).to_have_attribute("data-status", "ended")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "containers/web/stop"),
        ("GET", "containers/web/logs"),
        ("DELETE", "images/wardian/base"),
        ("DELETE", "volumes/data"),
        ("GET", "live"),
        ("GET", "containers/web/views/layers"),
        ("GET", "containers/web/views/network"),
        ("GET", "images/wardian%2Fbase/view"),
    ],
)
def test_nobody_gets_in_without_the_token(server: JupyterServer, method: str, path: str) -> None:
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade"} if method == "GET" else {}
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/wardian/api/{path}", method=method, headers=upgrade
    )
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(request, timeout=10)  # noqa: S310  # our own server, on loopback
    with refusal.value:
        assert refusal.value.code == 403


def test_refusals_say_what_and_what_to_do(server: JupyterServer, wardian: Wardian) -> None:
    del wardian
    for method, path, code, what in (
        ("POST", "containers/nobody/stop", 404, "no such container: nobody"),
        ("POST", "containers/nobody/dance", 404, "no such deed: dance"),
        ("GET", "containers/nobody/logs?tail=-1", 400, "tail is 1 to 5000"),
    ):
        request = urllib.request.Request(
            f"http://127.0.0.1:{server.port}/wardian/api/{path}",
            method=method,
            headers={"Authorization": f"token {server.token}"},
        )
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(request, timeout=10)  # noqa: S310
        with refusal.value:
            answer = json.loads(refusal.value.read())
        assert (refusal.value.code, answer["message"]) == (code, what)
