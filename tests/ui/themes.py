"""JupyterLab's themes, changed in an open page: what was done there need not be done again."""

from __future__ import annotations

from collections.abc import Iterator

from playwright.sync_api import Page

LIGHT, DARK, HIGH_CONTRAST = (
    f"JupyterLab {name}" for name in ("Light", "Dark", "Dark High Contrast")
)
CHANGE = "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})"
IS_SHOWN = "theme => document.body.dataset.jpThemeName === theme"


def in_themes(page: Page, *themes: str) -> Iterator[str]:
    """The page in one theme after another, light and dark if none are named; a short name each."""
    for theme in themes or (LIGHT, DARK):
        page.evaluate(CHANGE, theme)
        page.wait_for_function(IS_SHOWN, arg=theme)
        yield theme.rsplit(maxsplit=1)[-1].lower()
