"""``%%dockerfile`` and ``%image`` in the real kernel."""

from __future__ import annotations

import re
from pathlib import Path

from tests.kernel.page import Page

CELL = """\
%%dockerfile -t lecture {context}
FROM wardian/base
COPY . /app
ENV MAKEFILES=/app/Makefile
RUN make /app
CMD python /app/app.py
"""


def test_the_lectures_dockerfile_is_built_and_shown(page: Page, tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("/app: FORCE\n\techo made > /app/made\nFORCE:\n")
    (tmp_path / "app.py").write_text("print(open('/app/made').read(), end='')\n")
    cell = CELL.format(context=tmp_path)
    text = page.run(cell).text()
    assert "[2/5] COPY . /app" in text
    assert "A /app/app.py" in text
    assert "A /app/made" in text
    again = page.run(cell).text()
    assert again.count("    cached") == 5
    (tmp_path / "app.py").write_text("print('other')\n")
    assert "not cached: its files are others (changed: app.py)" in page.run(cell).text()
    anew = cell.replace("%%dockerfile", "%%dockerfile --no-cache")
    told = page.run(anew).text()
    assert told == page.run(anew).text()
    assert "not cached: --no-cache · layer of 5B" in told
    detailed = page.run(cell.replace("%%dockerfile", "%%dockerfile --details")).text()
    assert re.search(r"    cached · \d+\.\d\d s · [0-9a-f]{12}", detailed)
    shown = page.run("%image --text lecture").text()
    assert "RUN /bin/sh -c make /app" in shown
    assert "A /app/made" in shown
    page.run("%container new lecture --image lecture")
    try:
        found = page.run("%%on lecture\n%%sh\npython /app/app.py").text()
        assert found == "other\n"
    finally:
        page.run("%container rm lecture")


def test_container_becomes_an_image_whose_own_layers_are_shown(page: Page) -> None:
    page.run("%container new grown")
    try:
        page.run("%%sh --on grown\necho fern > /plant")
        made = page.run("%container commit grown grown:snapshot").text()
        assert made == "grown:snapshot: made from grown as it is now\n"
    finally:
        page.run("%container rm grown")
    assert page.run("%image grown:snapshot --above wardian/base").text() == (
        "grown:snapshot · 1 layer above wardian/base\n"
        "(a container)\n"
        "    layer of 5B · 1 change\n"
        "      A /plant\n"
    )
    detailed = page.run("%image grown:snapshot --above wardian/base --details").text()
    assert re.search(r"layer of 5B · 1 change · [0-9a-f]{12}\n", detailed)
    other = page.run("%image wardian/base --above grown:snapshot")
    assert other.error == ("InvalidInput", "wardian/base was not made on grown:snapshot")


def test_a_fault_of_the_dockerfile_shows_its_line(page: Page) -> None:
    failed = page.run("%%dockerfile\nFROM wardian/base\nRUNN x\n")
    assert failed.status == "error"
    assert "Dockerfile:2:1: unknown instruction: RUNN" in str(failed.reply)
    assert "did you mean RUN?" in str(failed.reply)
