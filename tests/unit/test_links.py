"""Links of documents and lessons lead somewhere: files, headings, and addresses that can be right.

Other hosts are not asked: a test that needs them fails for reasons of theirs.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("[bn]*/README.md"))]
LESSONS = sorted((ROOT / "notebooks").glob("*/*.ipynb"))
HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}")
MARKDOWN = MarkdownIt("commonmark").enable("table")

every_page = pytest.mark.parametrize(
    "path", [*DOCUMENTS, *LESSONS], ids=lambda path: str(path.relative_to(ROOT))
)


@cache
def tokens(path: Path) -> tuple[Token, ...]:
    """All tokens of a document, or of a lesson's prose, those within lines too."""
    texts = [path.read_text()]
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, 4).cells
        texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    blocks = [block for text in texts for block in MARKDOWN.parse(text)]
    return tuple(token for block in blocks for token in (block, *(block.children or ())))


def targets(path: Path) -> Iterator[str]:
    for token in tokens(path):
        if token.type in ("link_open", "image"):
            yield str(token.attrs["href" if token.type == "link_open" else "src"])


def anchors(path: Path) -> set[str]:
    """The names of its headings, by GitHub's rule, or in a lesson by JupyterLab's."""
    found = tokens(path)
    headings = [
        "".join(part.content for part in after.children or ())
        for token, after in itertools.pairwise(found)
        if token.type == "heading_open"
    ]
    if path.suffix == ".ipynb":
        return {heading.replace(" ", "-") for heading in headings}
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def fault(path: Path, target: str) -> str:
    """What is wrong with a link; empty if nothing is."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        is_right = parts.scheme == "https" and HOST.fullmatch(parts.netloc)
        return "" if is_right and " " not in unquote(target) else "no address of the web"
    there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not there.exists():
        return "no such file"
    if not there.is_relative_to(ROOT):
        return "outside of the repository"
    if parts.fragment and unquote(parts.fragment) not in anchors(there):
        return "no such heading"
    return ""


@every_page
def test_links_lead_somewhere(path: Path) -> None:
    faults = {target: fault(path, target) for target in targets(path)}
    assert not {target: what for target, what in faults.items() if what}


@pytest.mark.parametrize(
    ("target", "what"),
    [
        ("notebooks/en/00-tour.ipynb", ""),
        ("#what-it-needs", ""),
        ("https://example.com/a?b=c#d", ""),
        ("notebooks/en/99.ipynb", "no such file"),
        ("ARCHITECTURE.md#goals-unranked", "no such heading"),
        ("../elsewhere", "no such file"),
        ("..", "outside of the repository"),
        ("http://example.com", "no address of the web"),
        ("https://example", "no address of the web"),
        ("https:///path", "no address of the web"),
    ],
)
def test_link_that_leads_nowhere_is_told_from_one_that_does(target: str, what: str) -> None:
    assert fault(ROOT / "README.md", target) == what


def test_each_lesson_and_each_document_has_been_read() -> None:
    assert {"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"} <= {path.name for path in DOCUMENTS}
    assert ROOT / "notebooks/README.md" in DOCUMENTS
    assert sum(len(list(targets(path))) for path in LESSONS) > 100
