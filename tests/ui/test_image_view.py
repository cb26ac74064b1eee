"""The image view in a real browser: documents, steps with their layers, files; no kernel needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.linux.program import IMAGE, Wardian, out
from tests.ui.conftest import PICTURES, OpenNotebook
from tests.ui.jupyter import JupyterServer
from tests.ui.notebook_page import NotebookPage
from tests.ui.saved import check_pictures
from tests.ui.test_panel import line, open_panel
from tests.ui.themes import in_themes

EVIL = "<img src=x onerror=alert(1)>"
DOCKERFILE = f"""\
FROM {IMAGE}
RUN mkdir -p /srv/shop && seq 1 20000 > /srv/shop/goods && echo fern > /srv/shop/name
ENV SHOP=fern
COPY page.html /srv/shop/
RUN echo ivy > /srv/shop/name && rm /srv/shop/goods && touch '/srv/{EVIL}'
CMD ["httpd", "-f", "-h", "/srv/shop"]
"""


@pytest.fixture
def shop(wardian: Wardian, tmp_path: Path) -> Iterator[str]:
    """An image of four layers, of which another one has the lower two."""
    out(wardian("run", "--rm", IMAGE, "true"))
    (tmp_path / "page.html").write_text("<p>ferns</p>")
    for name, lines in (("stall", 2), ("shop", 6)):
        part = "".join(DOCKERFILE.splitlines(keepends=True)[:lines])
        (tmp_path / "Dockerfile").write_text(part)
        out(wardian("build", "-q", "-t", name, str(tmp_path)))
    yield "shop"
    out(wardian("rmi", "shop", "stall"))


def show(notebook: NotebookPage) -> Locator:
    notebook.run(0)
    view = notebook.view("image")
    expect(view).to_be_visible()
    return view


def layer(view: Locator, number: int) -> Locator:
    return view.locator(f'.wd-image-step[data-layer="{number}"]')


def test_a_layer_shows_its_files(open_notebook: OpenNotebook, shop: str) -> None:
    notebook = open_notebook([f"%image {shop}", f"%image stall {shop}"])
    notebook.page.on("dialog", lambda dialog: notebook.errors.append(dialog.message))
    view = show(notebook)
    expect(view.locator(".wd-status")).to_contain_text("never changes")
    expect(view.locator(".wd-document strong")).to_have_text(["index.json", "manifest", "config"])
    expect(view.locator(".wd-document").nth(2)).to_contain_text("SHOP=fern")
    expect(layer(view, 1).locator(".wd-said")).to_contain_text("RUN mkdir -p /srv/shop")
    expect(layer(view, 1)).to_contain_text("also in stall")
    expect(layer(view, 1)).to_contain_text("hidden by layers above")
    expect(layer(view, 3)).not_to_contain_text("also in")
    expect(view.locator(".wd-no-layer")).to_have_count(2)
    layer(view, 3).click()
    files = view.locator(".wd-files .wd-row")
    marks = {"/srv/shop/goods": "deleted", "/srv/shop/name": "modified", f"/srv/{EVIL}": "added"}
    for path, mark in marks.items():
        row = files.and_(view.locator(f'[data-path="{path}"]'))
        expect(row).to_have_attribute("data-mark", mark)
    view.locator(".wd-filter").fill("name")
    expect(files).to_have_count(3)  # with the two directories that lead there
    view.locator(".wd-filter").fill("")
    assert view.locator("img").count() == 0
    for theme in in_themes(notebook.page):
        check_pictures(view, "SHOP=fern", EVIL, "index.json")
        notebook.picture("image", PICTURES / f"image-{theme}.png")
    notebook.run(1)
    both = notebook.cell(1).locator(".wd-comparison")
    expect(both.locator(".wd-sides strong")).to_have_text([re.compile("stall"), re.compile("shop")])
    for path, mark in (("/srv/shop/name", "modified"), ("/srv/shop/goods", "deleted")):
        expect(both.locator(f'[data-path="{path}"]')).to_have_attribute("data-mark", mark)
    expect(both).to_contain_text("config.Cmd")
    assert both.locator("img").count() == 0
    for theme in in_themes(notebook.page):
        notebook.cell(1).locator(".wd-view").screenshot(path=PICTURES / f"comparison-{theme}.png")
    notebook.page.set_viewport_size({"width": 2400, "height": 1600})
    view = notebook.view("image").first
    view.screenshot(path=PICTURES / "image-dark-wide.png")
    view.evaluate("view => { view.style.width = '400px' }")
    view.screenshot(path=PICTURES / "image-dark-400px.png")


def test_an_image_stays_to_be_seen_when_the_kernel_is_gone(
    open_notebook: OpenNotebook, server: JupyterServer, shop: str
) -> None:
    view = show(open_notebook([f"%image {shop}"]))
    for kernel in server.ask("kernels"):
        server.ask(f"kernels/{kernel['id']}", "DELETE")
    expect(layer(view, 1)).to_be_visible()
    layer(view, 1).click()
    expect(view.locator(".wd-files")).to_contain_text("goods")  # among the largest


def test_an_image_opens_from_the_panel_without_a_kernel(
    server: JupyterServer, page: Page, shop: str
) -> None:
    panel = open_panel(page, server)
    panel.locator("summary", has_text="Images").click()
    line(panel, f"{shop}:latest").or_(line(panel, shop)).hover()
    line(panel, f"{shop}:latest").or_(line(panel, shop)).get_by_role(
        "button", name="Explore its layers"
    ).click()
    view = page.locator(".wd-view.wd-image")
    expect(layer(view, 2)).to_be_visible()
    layer(view, 2).click()
    expect(view.locator(".wd-files")).to_contain_text(re.compile("page.html"))
    page.screenshot(path=PICTURES / "image-tab.png")
