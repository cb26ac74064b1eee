"""A notebook in a browser, driven as a person would."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Error, Locator, Page, expect

_NUMBERED = re.compile(r"\[\d+\]:")


@dataclass
class NotebookPage:
    """An open notebook. ``errors`` collects what went wrong in the page's own scripts."""

    page: Page
    errors: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, page: Page, url: str) -> NotebookPage:
        """Open a notebook and wait until its cells are there."""
        notebook = cls(page)
        page.on("pageerror", notebook._on_error)
        page.on("console", notebook._on_console)
        page.goto(url)
        expect(page.locator(".jp-Notebook .jp-CodeCell").first).to_be_visible()
        return notebook

    def run(self, number: int) -> None:
        """Run a cell and wait until it is done."""
        cell = self.cell(number)
        cell.locator(".jp-InputArea-editor").click()
        self.page.keyboard.press("Control+Enter")
        expect(cell.locator(".jp-InputArea-prompt")).to_have_text(_NUMBERED)

    def start(self, number: int) -> None:
        """Start a cell and don't wait for it."""
        self.cell(number).locator(".jp-InputArea-editor").click()
        self.page.keyboard.press("Control+Enter")

    def cell(self, number: int) -> Locator:
        """A code cell, counted from 0."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(number)

    def view(self, name: str) -> Locator:
        """One of our views: layers, processes, resources, network, image."""
        return self.page.locator(f".wd-view.wd-{name}")

    def picture(self, view: str, path: Path) -> None:
        """Take a picture of a view for people to look at."""
        self.view(view).scroll_into_view_if_needed()
        path.parent.mkdir(parents=True, exist_ok=True)
        self.view(view).screenshot(path=path)

    def _on_error(self, error: Error) -> None:
        """Keep what our own scripts did: anywidget loads them as blobs."""
        if "blob:" in (error.stack or "") or "wardian" in (error.stack or ""):
            self.errors.append(str(error))

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and "wd-" in message.text:
            self.errors.append(message.text)
