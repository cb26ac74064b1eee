"""What axe finds on a page."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page, expect

from tests.ui.jupyter import REPOSITORY

AXE = REPOSITORY / "extension/node_modules/axe-core/axe.min.js"
GRAVE = ("serious", "critical")


def faults(page: Page, *selectors: str) -> list[str]:
    """What axe finds there that is serious or worse; each selector is there."""
    for selector in selectors:
        expect(page.locator(selector).first).to_be_attached()
    if not page.evaluate("'axe' in window"):
        page.add_script_tag(path=AXE)
    result: dict[str, Any] = page.evaluate(
        "selectors => axe.run({include: selectors.map(s => [s])})", list(selectors)
    )
    assert result["passes"]
    return [
        f"{fault['id']}: {node['html'][:200]} {node['failureSummary']}"
        for fault in result["violations"]
        for node in fault["nodes"]
        if fault["impact"] in GRAVE
    ]
