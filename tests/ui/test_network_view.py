"""The network view in a real browser: containers, wires, a published port, a packet's way."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.linux.conftest import wait_until
from tests.linux.program import IMAGE, Wardian, out
from tests.linux.test_networks import own_address
from tests.ui.conftest import PICTURES, OpenNotebook
from tests.ui.jupyter import JupyterServer
from tests.ui.notebook_page import NotebookPage
from tests.ui.saved import check_pictures
from tests.ui.test_panel import act, open_panel
from tests.ui.themes import in_themes

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="bridge networks need root; run as root"),
    pytest.mark.xdist_group("networks"),  # who looks at the host's links wants no other's there
]
SERVE = "mkdir -p /srv; echo fern > /srv/index.html; exec httpd -f -p 80 -h /srv"
GET = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc web 80"


@dataclass(frozen=True)
class Street:
    """A server whose port is published, one who asks it, and a stranger in another network."""

    wardian: Wardian
    port: int

    def ask(self) -> str:
        return out(self.wardian("exec", "asker", "sh", "-c", GET))


@pytest.fixture
def street(server: JupyterServer, wardian: Wardian) -> Iterator[Street]:
    out(wardian("network", "create", "lab"))
    out(wardian("network", "create", "--internal", "yard"))
    out(wardian("run", "-d", "--name", "web", "--network", "lab", "-p", "80", IMAGE, *sh(SERVE)))
    for name, network in (("asker", "lab"), ("stranger", "yard")):
        out(wardian("run", "-d", "--name", name, "--network", network, IMAGE, *sh("sleep 1000")))
    port = int(out(wardian("port", "web")).rsplit(":", 1)[1])
    made = Street(wardian, port)
    wait_until(lambda: "fern" in made.ask())
    yield made
    for name in ("web", "asker", "stranger"):
        out(wardian("rm", "-f", name))
    for network in ("lab", "yard"):
        out(wardian("network", "rm", network))


def sh(script: str) -> tuple[str, str, str]:
    return "sh", "-c", script


def show(notebook: NotebookPage, cell: int = 0) -> Locator:
    notebook.run(cell)
    view = notebook.view("network")
    expect(view).to_have_attribute("data-status", "live")
    return view


def plug(view: Locator, key: str) -> Locator:
    return view.locator(f'[data-plug="{key}"]')


def test_a_published_port_is_a_wire_and_its_rule_counts(
    open_notebook: OpenNotebook, street: Street
) -> None:
    view = show(notebook := open_notebook(["%net"]))
    titles = view.locator(".wd-edge-wire title")
    expect(titles).to_have_count(3)
    expect(titles.first).to_have_text(re.compile(r"^veth-\w+@if\d+ ↔ eth0@if\d+$"))
    published = view.locator(".wd-port")
    expect(published).to_contain_text(f"*:{street.port} → web 80/tcp")
    expect(view.locator(".wd-edge-port")).to_have_count(1)
    expect(published).to_contain_text("0 packets")
    by_host = GET.replace("web 80", f"{own_address()} {street.port}")
    out(street.wardian("exec", "asker", *sh(by_host)))
    expect(published).to_contain_text(re.compile(r"[1-9]\d* packet"))
    published.click()
    rule = f"tcp dport {street.port} counter dnat ip to"
    expect(view.locator(".wd-detail")).to_contain_text(rule)
    expect(view.locator(".wd-verdict-line")).to_contain_text("arrives")
    pictures(notebook, view)


def pictures(notebook: NotebookPage, view: Locator) -> None:
    for theme in in_themes(notebook.page):
        notebook.picture("network", PICTURES / f"network-{theme}.png")
    notebook.page.set_viewport_size({"width": 2400, "height": 1600})
    notebook.picture("network", PICTURES / "network-dark-wide.png")
    narrow(view)
    notebook.picture("network", PICTURES / "network-dark-400px.png")


def narrow(view: Locator) -> None:
    """As in a side panel or on a phone."""
    view.page.mouse.move(0, 0)
    view.evaluate("view => { view.style.width = '400px' }")
    expect(view.locator(".wd-edge-wire").first).to_have_attribute("d", re.compile("^M[^C]*$"))


def test_a_packet_s_way_is_drawn_step_by_step_and_called_computed(
    open_notebook: OpenNotebook, street: Street
) -> None:
    view = show(open_notebook(["%net"]))
    view.locator('[data-end="asker"]').click()
    view.locator('[data-end="web"]').click()
    verdict = view.locator(".wd-verdict-line")
    expect(verdict).to_contain_text("arrives")
    expect(view.locator(".wd-way")).to_contain_text("computed, not traced")
    expect(view.locator(".wd-hop").first).to_contain_text("asker")
    expect(view.locator(".wd-hop").last).to_contain_text("web")
    expect(view.locator(".wd-edge-wire.wd-on-way")).to_have_count(2)
    expect(plug(view, "asker/eth0")).to_have_attribute("data-steps", "1")
    view.get_by_role("button", name="Pause").click()
    check_pictures(view, "asker", "computed, not traced", "arrives")
    view.get_by_role("button", name="Back to live").click()
    # With the keyboard, to whom no way leads.
    view.get_by_label("from", exact=True).select_option("stranger")
    to = view.get_by_label("to", exact=True)
    to.fill("web")
    to.press("Enter")
    expect(verdict).to_contain_text("does not arrive")
    expect(verdict).to_contain_text("stranger has no route")
    # Once it has a network with web it has a way.
    out(street.wardian("network", "connect", "lab", "stranger"))
    expect(verdict).to_contain_text("✓ arrives")


def test_a_view_follows_who_comes_and_goes_and_what_is_connected(
    open_notebook: OpenNotebook, street: Street
) -> None:
    view = show(open_notebook(["%net"]))
    own = view.locator('.wd-card[data-space="main"]')
    expect(own).to_contain_text("this container")
    expect(own).to_contain_text("Loopback only")
    out(street.wardian("run", "-d", "--name", "late", "--network", "lab", IMAGE, *sh("sleep 99")))
    expect(plug(view, "late/eth0")).to_be_visible()
    hold = "(sleep 1000) | nc web 80"
    out(street.wardian("exec", "-d", "late", *sh(hold)))
    edge = view.locator(".wd-edge-connection title")
    expect(edge).to_have_text("late → web: tcp 80 (1)")
    out(street.wardian("rm", "-f", "late"))
    expect(view.locator('.wd-card[data-space="late"]')).to_have_count(0)
    expect(edge).to_have_count(0)


def test_the_networks_stay_to_be_seen_when_the_kernel_is_gone(
    open_notebook: OpenNotebook, server: JupyterServer, street: Street
) -> None:
    view = show(open_notebook(["%net"]))
    for kernel in server.ask("kernels"):
        server.ask(f"kernels/{kernel['id']}", "DELETE")
    out(street.wardian("rm", "-f", "asker"))
    expect(plug(view, "asker/eth0")).to_be_visible()
    expect(view.locator(".wd-edge-wire")).to_have_count(3)
    out(street.wardian("run", "-d", "--name", "asker", IMAGE, "sleep", "1000"))


def test_the_network_of_a_container_opens_from_the_panel(
    server: JupyterServer, page: Page, street: Street
) -> None:
    del street
    panel = open_panel(page, server)
    act(panel, "web", "Look through its walls")
    page.locator(".lm-Menu-item", has_text="Network").click()
    view = page.locator(".wd-view.wd-network")
    expect(view).to_have_attribute("data-status", "live")
    expect(plug(view, "asker/eth0")).to_be_visible()
    view.locator('[data-end="asker"]').click()
    view.locator('[data-end="web"]').click()
    expect(view.locator(".wd-verdict-line")).to_contain_text("arrives")
    page.screenshot(path=PICTURES / "network-tab.png")
