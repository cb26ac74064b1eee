"""Notebooks that show the same under stock ipykernel and in a container.

Each notebook is run by both kernels, message by message, with what the page would store compared
exactly. `NORMALISED` lists what may differ, and why.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.kernel.page import Outcome, Page

NOTEBOOKS = sorted((Path(__file__).parent / "notebooks").glob("*.ipynb"))

# What two runs of the *same* kernel differ in, and where the same library lies elsewhere.
NORMALISED = [
    # Addresses of objects.
    (re.compile(r"0x[0-9a-f]{6,16}"), "0xADDRESS"),
    # Ids of widget models and of comms, drawn at random.
    (re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])"), "ID"),
    # Ids of the page's messages, which Output widgets carry.
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{24}_\d+_\d+\b"), "MESSAGE"),
    # The standard library and site-packages: the toolbox has them at another place.
    (re.compile(r"~?(?:/[\w.\-]+)+/lib/python3\.\d+/"), "LIB/"),
    (re.compile(r"/\.wardian/site/\d+/"), "LIB/site-packages/"),
    # The moment when a figure was drawn, which is in its SVG.
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+"), "MOMENT"),
    # Times that %%time measures.
    (re.compile(r"\b[\d.]+(?:e[+-]\d+)? (?:ns|us|μs|µs|ms|s)\b"), "TIME"),
    # Process ids and the like in the names of temporary folders and of cells' files.
    (re.compile(r"/tmp/(?:parity|ipykernel_)\w+(?:/\d+\.py)?"), "TMP"),
]

KERNEL = re.compile(r"File .*/(?:ipykernel|\.wardian/guest)/")


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Page, Page]]:
    stock = Page.open("python3", cwd=str(tmp_path))  # notebooks write files where they are
    ours = Page.open("wardian-python")
    yield stock, ours
    stock.close()
    ours.close()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_shows_the_same_under_both_kernels(path: Path, both: tuple[Page, Page]) -> None:
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        answer = cell.metadata.get("answer")
        stock, ours = (
            _stored(page.run(cell.source, answer=answer, stop_on_error=False)) for page in both
        )
        assert ours == stock, f"{path.stem}, {cell.id}:\n{cell.source}"


def test_there_are_notebooks_enough() -> None:
    assert len(NOTEBOOKS) >= 25


def _stored(outcome: Outcome) -> list[Any]:
    """What a page keeps of a cell: its outputs, its comm messages, its reply.

    The order between stdout and stderr is nobody's promise (stock ipykernel buffers them apart),
    so stderr is compared by itself.
    """
    shown: list[Any] = []
    for message in outcome.messages:
        kind, content = message["msg_type"], message["content"]
        if kind == "status" or (kind == "stream" and content["name"] == "stderr"):
            continue
        if kind == "stream":
            if shown and shown[-1][0] == "stdout":
                shown[-1][1] += content["text"]
            else:
                shown.append(["stdout", content["text"]])
        else:
            shown.append([kind, content, len(message["buffers"])])
    reply = {name: value for name, value in outcome.content.items() if name != "engine_info"}
    for content in (reply, *outcome.of("error")):
        if "traceback" in content:  # the frames of the kernels' own code are not the user's
            content["traceback"] = [
                part for part in content["traceback"] if not KERNEL.search(part)
            ]
    return [_normalised(one) for one in (*shown, ["stderr", outcome.text("stderr")], reply)]


def _normalised(value: Any) -> Any:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    for pattern, replacement in NORMALISED:
        text = pattern.sub(replacement, text)
    return json.loads(text)
