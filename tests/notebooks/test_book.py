"""`make book`: the course as pages that need no kernel."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import expect, sync_playwright

from tests.ui.saved import check_drawing, save
from wardian.course.book import build
from wardian.course.shelf import LANGUAGES, find

CHROMIUM = Path("/usr/bin/chromium")
SOME = ("09-limits", "15-by-hand")  # a picture; links to another lesson and to sources


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two lessons of each language: all of them take a quarter of a minute."""
    target = tmp_path_factory.mktemp("book")
    build(target, [find(name, language) for language in LANGUAGES for name in SOME])
    return target


def page(book: Path, name: str) -> BeautifulSoup:
    return BeautifulSoup((book / name).read_text(), "html.parser")


def test_links_and_pictures_of_the_site_are_there(book: Path) -> None:
    seen = set()
    for path in book.rglob("*.html"):
        html = page(book, str(path.relative_to(book)))
        for found in html.select("a[href], img[src]"):
            target = urlsplit(str(found.get("href") or found.get("src")))
            place = (path.parent / target.path).resolve()
            if (
                target.scheme
                or not target.path
                or (place.stem[:2].isdecimal() and not place.exists())
            ):
                assert "ipynb" not in target.path
                continue  # the web, a heading, or a lesson that was left out
            assert place.is_file(), (path, target)
            assert place.is_relative_to(book)
            seen.add(place.name)
    assert {"cgroup.svg", "index.html", *(f"{name}.html" for name in SOME)} <= seen


@pytest.mark.parametrize(
    ("language", "title", "following"),
    [
        ("en", "Limits: memory, processes, CPU, time", "Next"),
        ("ko", "제한: 메모리, 프로세스, CPU, 시간", "다음"),
    ],
)
def test_page_has_the_lesson_in_its_language(
    book: Path, language: str, title: str, following: str
) -> None:
    html = page(book, f"{language}/09-limits.html")
    assert html.html is not None and html.html["lang"] == language
    assert html.title is not None and html.title.get_text() == title
    text = html.get_text()
    assert "exit code: -9" in text
    assert following in text
    assert "50 % of one core" in text  # what the view %stats says without its kernel


def test_contents_have_times(book: Path) -> None:
    rows = [row.get_text(" ", strip=True) for row in page(book, "en/index.html").select("tr")]
    assert "09 Limits: memory, processes, CPU, time 15 02" in rows


def test_recorded_view_moves_in_a_page_opened_from_a_file(book: Path) -> None:
    """Without a server, a kernel or the internet, in the page's language."""
    if not CHROMIUM.exists():
        pytest.skip("no /usr/bin/chromium; apt-get install chromium")
    asked: list[str] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        shown = browser.new_page()
        shown.on("request", lambda request: asked.append(request.url))
        for language, title, label in (("en", "Recording", "Save"), ("ko", "기록", "저장")):
            shown.goto((book / language / "09-limits.html").as_uri())
            replay = shown.locator(".wd-replay")
            assert title in replay.locator("header h3").inner_text()
            slider = replay.locator(".wd-slider")
            before = replay.locator(".wd-resources").inner_text()
            slider.fill("1")
            assert replay.locator(".wd-resources").inner_text() != before
            check_drawing(save(replay, "SVG", label).read_text(), title)
        # What was seen when the view's cell had run: at the end the lesson has tidied up.
        shown.goto((book / "en/15-by-hand.html").as_uri())
        expect(shown.locator(".wd-replay .wd-processes")).to_contain_text("box.py")
        browser.close()
    assert {urlsplit(url).scheme for url in asked} <= {"file", "data", "blob"}
