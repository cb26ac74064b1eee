"""The recorded views of a page of the book: the player of the views' front end, without a kernel.

Nothing is fetched: a page that is opened from a file may not even load a module. So the bundle, an
ES module, becomes a plain script beside the pages, and a lesson's recording stands in its page.
"""

from __future__ import annotations

import base64
import re
from html import escape
from pathlib import Path

from wardian.errors import SetupError

# Files of the front end and of the server's extension, which this folder does not import.
_PACKAGE = Path(__file__).parents[1]
STATIC = _PACKAGE / "widgets/static"
_KOREAN = _PACKAGE / "jupyter/server/locale/ko_KR/LC_MESSAGES/wardian.json"
SHOWN_BY = {"%layers": "layers", "%ps": "processes", "%stats": "resources", "%net": "network"}
SCRIPT, STYLE = "player.js", "views.css"
_EXPORT = re.compile(r"\bexport\s*\{\s*([\w$]+) as default\s*\};?")
_START = """
(() => {
  const read = (id) => document.getElementById(id)?.textContent ?? "";
  const file = Uint8Array.from(atob(read("wardian-recording")), (one) => one.charCodeAt(0));
  for (const host of document.querySelectorAll("[data-wardian-view]")) {
    const { wardianView, wardianAfter } = host.dataset;
    const views = [wardianView], cell = Number(wardianAfter);
    const state = { recording: new DataView(file.buffer), views, cell };
    const hearers = [];
    const model = {
      get: (name) => state[name],
      on: (_kind, hear) => hearers.push(hear),
      off: () => undefined,
      send: () => {
        const words = new TextEncoder().encode(read("wardian-words"));
        setTimeout(() => hearers.forEach((hear) => hear({}, [new DataView(words.buffer)])));
      },
    };
    const el = document.createElement("div");
    host.replaceChildren(el);
    wardianRecording.render({ model, el });
  }
})();
"""


def script() -> str:
    """The player, as a script that fills a page's views. Raises SetupError where none was built."""
    path = STATIC / "recording.js"
    if not path.is_file():
        raise SetupError("the views' front end has not been built", hint="run `make install-dev`")
    module, count = _EXPORT.subn(r"globalThis.wardianRecording = \1;", path.read_text("utf-8"))
    assert count == 1
    return f"(() => {{\n{module}\n}})();\n{_START}"


def view_of(source: str) -> str:
    """Which recorded view a cell shows; empty for another cell."""
    lines = source.split("\n")
    return SHOWN_BY.get(lines[-1].strip(), "")


def host(view: str, after: int, still: str) -> str:
    """Where a view will move; without scripts it is what was saved with the lesson.

    ``after`` is the number of the cell that has just run when it is seen at first.
    """
    return f'<div data-wardian-view="{escape(view)}" data-wardian-after="{after}">{still}</div>'


def tail(recording: Path, language: str) -> str:
    """What stands at the end of a page with views: the recording, the words, the player."""
    data = base64.b64encode(recording.read_bytes()).decode()
    parts = [f'<script type="text/plain" id="wardian-recording">{data}</script>']
    if language == "ko":
        words = f'{{"kind": "words", "catalogue": {_KOREAN.read_text("utf-8")}}}'
        words = words.replace("</", "<\\/")
        parts.append(f'<script type="application/json" id="wardian-words">{words}</script>')
    parts.append(f'<link rel="stylesheet" href="../{STYLE}"><script src="../{SCRIPT}"></script>')
    return "\n".join(parts)
