"""A view that is saved as a picture by its button, and what is asked of every such file."""

from __future__ import annotations

import io
from pathlib import Path
from xml.etree import ElementTree as ET

from PIL import Image, ImageChops
from playwright.sync_api import Locator

SVG = "{http://www.w3.org/2000/svg}"
SHARPNESS = 2
TOOLS = ".wd-controls, .wd-show-commands, .wd-saver, .wd-spoken, .wd-copy"
MOST_DIFFERENT = 12.0  # of 255, on average: text is drawn with other edges


def save(view: Locator, kind: str, label: str = "Save") -> Path:
    """Save it as a person would; where it is now."""
    view.get_by_role("button", name=label, exact=True).click()
    with view.page.expect_download() as download:
        view.locator(".wd-kinds button", has_text=kind).click()
    assert download.value.suggested_filename.endswith(f".{kind.lower()}")
    return Path(download.value.path())


def check_pictures(view: Locator, *shown: str, label: str = "Save") -> None:
    """Both files say what the view does, and nothing in them acts; the PNG looks like it."""
    view.page.mouse.move(0, 0)
    check_drawing(save(view, "SVG", label).read_text(), *shown)
    box = view.bounding_box()
    assert box is not None
    with Image.open(save(view, "PNG", label)) as file:
        saved = file.convert("RGB")
    assert saved.size == tuple(round(SHARPNESS * box[side]) for side in ("width", "height"))
    seen = view.screenshot(style=f":is({TOOLS}) {{ visibility: hidden !important }}")
    assert _difference(saved, seen) < MOST_DIFFERENT


def check_drawing(text: str, *shown: str) -> None:
    """It is whole, it has these texts as texts, and nothing in it acts or comes from elsewhere."""
    root = ET.fromstring(text)  # noqa: S314  # what we have made, without entities
    assert root.tag == f"{SVG}svg"
    said = " ".join(" ".join(root.itertext()).split())
    for one in shown:
        assert one in said
    for element in root.iter():
        assert element.tag.rpartition("}")[2] not in ("script", "iframe", "object", "a", "link")
        for name, value in element.attrib.items():
            assert not name.lower().startswith("on")
            if name.endswith(("href", "src")):
                assert value.startswith(("#", "data:image/png", "data:,"))
    assert "url(http" not in text


def _difference(saved: Image.Image, seen: bytes) -> float:
    """How far the dots are from those on the page, on average; a blank one is far away."""
    assert len(saved.getcolors(1 << 24) or ()) > 20
    with Image.open(io.BytesIO(seen)) as file:
        page = file.convert("RGB").resize(saved.size)
    histogram = ImageChops.difference(saved, page).convert("L").histogram()
    return sum(level * count for level, count in enumerate(histogram)) / sum(histogram)
