"""JupyterLab in Korean: nothing of ours is left in English."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.linux.program import IMAGE, Wardian, out
from tests.ui.conftest import PICTURES, OpenNotebook
from tests.ui.jupyter import JupyterServer, set_language
from tests.ui.test_notebooks import button, press
from tests.ui.test_panel import VIEW, line, open_panel
from tests.ui.test_settings import open_settings

# Names, units and commands, which are nobody's language.
NAMES = re.compile(
    r"wardian/\w+|`[^`]*`|\b(?:Wardian|web|idle|broken|data|sleep|python3?|main|docker|[KMG]?i?B"
    r"|Jupyter|CPU|SVG|PNG|\d+m|\d+g)\b|/srv/\w+|\b[0-9a-f]{12}\b"
)
EVERYTHING = """root => {
  const texts = [];
  for (const element of [root, ...root.querySelectorAll('*')]) {
    for (const name of ['aria-label', 'title', 'placeholder']) {
      texts.push(element.getAttribute(name) ?? '');
    }
    for (const node of element.childNodes) {
      if (node.nodeType === Node.TEXT_NODE) texts.push(node.data);
    }
  }
  return texts.filter(Boolean);
}"""


def english(part: Locator) -> list[str]:
    """What is said, shown or not, with Latin letters in it."""
    return [
        text for text in part.evaluate(EVERYTHING) if re.search("[A-Za-z]", NAMES.sub("", text))
    ]


@pytest.fixture(autouse=True)
def korean(server: JupyterServer) -> Iterator[None]:
    set_language(server.home, "ko_KR")
    yield
    set_language(server.home, "default")


def test_the_panel_is_in_korean(server: JupyterServer, page: Page, wardian: Wardian) -> None:
    out(wardian("run", "-d", "--name", "web", "-m", "64m", IMAGE, "sleep", "1000"))
    out(wardian("run", "-d", "--name", "idle", IMAGE, "sleep", "1000"))
    out(wardian("pause", "idle"))
    wardian("run", "--name", "broken", "-v", "data:/data", IMAGE, "sh", "-c", "exit 3")
    panel = open_panel(page, server)
    expect(line(panel, "web")).to_contain_text("실행 중, 1분 미만")
    expect(line(panel, "idle")).to_contain_text("일시 정지됨")
    expect(line(panel, "broken")).to_contain_text("1분 미만 전에 종료됨 (3)")
    for title in ("이미지", "네트워크", "볼륨"):
        panel.locator("summary", has_text=title).click()
    expect(line(panel, IMAGE)).to_contain_text("사용 중: web, idle, broken")
    assert english(panel) == []
    line(panel, "web").hover()
    page.screenshot(path=PICTURES / "panel-korean.png", clip=VIEW)
    line(panel, "web").get_by_role("button", name="삭제").click()
    dialog = page.locator(".jp-Dialog-content")
    expect(dialog).to_contain_text("web: 삭제할까요?")
    assert english(dialog) == []
    dialog.get_by_role("button", name="취소").click()
    line(panel, "web").get_by_role("button", name="벽 너머 들여다보기").click()
    menu = page.locator(".lm-Menu")
    expect(menu).to_contain_text("프로세스")
    assert english(menu) == []
    menu.locator(".lm-Menu-item", has_text="프로세스").click()
    expect(page.locator(".wd-processes")).to_have_attribute("aria-label", "프로세스: web")


def test_a_notebooks_buttons_and_dialogs_are_in_korean(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(["open('/srv/made', 'w').write('x')", "%layers"])
    for cell in (0, 1):
        notebook.run(cell)
    layers = notebook.view("layers")
    expect(layers.locator(".wd-status")).to_have_text("실시간")
    layers.get_by_role("button", name="명령 보기").click()
    expect(layers.locator(".wd-drawer")).to_contain_text("upper 레이어에 있는 것")
    notebook.picture("layers", PICTURES / "layers-korean.png")
    for name in ("restart-interpreter", "reset-container"):
        assert english(button(notebook.page, name)) == []
    dialog = press(notebook.page, "reset-container").locator(".jp-Dialog-content")
    expect(dialog).to_contain_text("쓰거나 지운 파일 1개: /srv/made")
    assert english(dialog) == []
    notebook.page.screenshot(path=PICTURES / "reset-korean.png")
    dialog.get_by_role("button", name="취소").click()
    expect(notebook.page.locator(".wd-status-item")).to_contain_text("제한 없음")
    assert english(notebook.page.locator(".wd-status-item")) == []


def test_the_settings_are_in_korean(server: JupyterServer, page: Page) -> None:
    open_settings(page, server, limit="메모리 제한")
    form = page.locator(".jp-SettingsForm")
    for text in ("새 노트북의 컨테이너", "CPU 제한", "프로세스 수 제한", "새로 고침 간격"):
        expect(form).to_contain_text(text)
    for text in ("limit", "container", "notebook", "Seconds"):
        expect(form).not_to_contain_text(text)
    page.screenshot(path=PICTURES / "settings-korean.png")


def test_korean_is_on_offer_in_the_menu(server: JupyterServer, page: Page) -> None:
    open_panel(page, server)
    page.locator(".lm-MenuBar-item", has_text="Settings").click()
    page.locator(".lm-Menu-item", has_text="Language").hover()
    expect(page.locator(".lm-Menu-item", has_text="한국어")).to_be_visible()
