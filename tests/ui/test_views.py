"""The three views move in a real browser while cells run in a real container."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, expect

from tests.linux.program import out, program
from tests.ui.axe import faults
from tests.ui.conftest import FAILED, PICTURES, OpenNotebook, notebooks
from tests.ui.jupyter import JupyterServer
from tests.ui.notebook_page import NotebookPage
from tests.ui.saved import check_drawing, check_pictures, save
from tests.ui.themes import DARK, LIGHT

VIEWS = ("layers", "processes", "resources")
SHOW = ["%layers", "%ps", "%stats"]
WORK = [
    "open('/etc/motd', 'a').write('a line\\n'); open('/srv/new', 'w').write('x' * 5000)",
    "import subprocess; child = subprocess.Popen(['sleep', '1000'])",
    "held = bytearray(80 << 20)",
    "child.kill(); child.wait(); del held",
]


def show_views(notebook: NotebookPage) -> None:
    for number, view in enumerate(VIEWS):
        notebook.run(number)
        expect(notebook.view(view)).to_have_attribute("data-status", "live")


def picture(notebook: NotebookPage, name: str) -> None:
    for view in VIEWS:
        notebook.picture(view, PICTURES / f"{name}-{view}.png")


def memory_mib(notebook: NotebookPage) -> float:
    text = notebook.view("resources").locator(".wd-big").first.inner_text()
    figure, unit = re.match(r"([\d.]+) (\w+)", text).groups()  # type: ignore[union-attr]
    return float(figure) * {"KiB": 1 / 1024, "MiB": 1, "GiB": 1024}[unit]


@pytest.mark.parametrize(("app", "theme"), [("lab", DARK), ("notebook", LIGHT)])
def test_views_show_what_cells_do(open_notebook: OpenNotebook, app: str, theme: str) -> None:
    notebook = open_notebook([*SHOW, *WORK], app=app, theme=theme)
    show_views(notebook)
    layers, processes = notebook.view("layers"), notebook.view("processes")

    notebook.run(3)
    new = layers.locator('.wd-row[data-path="/srv/new"]')
    expect(new).to_have_attribute("data-mark", "added")
    expect(new.locator(".wd-size")).to_have_text("4.9 KiB")

    notebook.run(4)
    sleep = processes.locator(".wd-line[data-key]", has_text=re.compile(r"^sleep"))
    expect(sleep).to_be_visible()
    expect(sleep.locator(".wd-pids")).to_have_text(re.compile(r"^\d+⇄\d+$"))

    before = memory_mib(notebook)
    notebook.run(5)
    expect(notebook.view("resources").locator(".wd-big").first).to_have_text(
        re.compile(r"^(\d{3}|[89]\d)(\.\d)? MiB")
    )
    assert memory_mib(notebook) > before + 60

    short = f"{app}-{theme.rsplit(maxsplit=1)[-1].lower()}"
    picture(notebook, short)
    resources = notebook.view("resources")
    resources.get_by_role("button", name="Pause").click()
    check_pictures(resources, "Memory", "of one core")
    notebook.run(6)
    expect(sleep.locator(".wd-state")).to_have_text("killed by SIGKILL")


def test_views_work_under_the_shell_kernel(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook([*SHOW, "echo hi > /srv/b; sleep 1000 &"], kernel="wardian-shell")
    show_views(notebook)
    notebook.run(3)
    row = notebook.view("layers").locator('.wd-row[data-path="/srv/b"]')
    expect(row).to_be_visible()
    sleep = notebook.view("processes").locator(".wd-line[data-key]", has_text=re.compile("^sleep"))
    expect(sleep).to_be_visible()


MOVING = "import time\nfor n in range(40):\n open(f'/srv/f{n}', 'w'); time.sleep(.1)"
EVIL = "<img src=x onerror=alert(1)>"
EVIL_FILE = f"open('/srv/{EVIL}', 'w')"
EVIL_PROCESS = f"import subprocess; subprocess.Popen(['sh', '-c', 'sleep 1000; :', '{EVIL}'])"
SLEEPING = "import subprocess; sleeper = subprocess.Popen(['sleep', '4242'])"
DELETING = "import os; os.remove('/etc/passwd')"
WRITING = "open('/srv/a', 'w')"
CHANGING = f"open('/etc/profile', 'a').write('{EVIL}')"
LOOPING = "import subprocess; loop = subprocess.Popen(['sh', '-c', 'while :; do :; done'])"
STOPPING = "loop.kill(); loop.wait()"
LISTING = "%containers"
BUILDING = f"""\
%%dockerfile --view -t shop
FROM wardian/base
RUN echo fern > /srv/name && touch '/srv/{EVIL}'
CMD ["true"]"""
CELLS = [*SHOW, MOVING, EVIL_FILE, EVIL_PROCESS, DELETING, WRITING, LOOPING, STOPPING]
CELLS += [LISTING, BUILDING, CHANGING, SLEEPING]


@pytest.fixture(scope="module")
def shared(server: JupyterServer, context: BrowserContext) -> Iterator[NotebookPage]:
    """One notebook with its views for the tests below, each of which has cells of its own."""
    page = context.new_page()
    page.set_viewport_size({"width": 1280, "height": 2200})  # what is not seen is not live
    with notebooks(server, page, "shared") as open_it:
        opened = open_it(CELLS)
        page.on("dialog", lambda dialog: opened.errors.append(dialog.message))
        show_views(opened)
        yield opened
    page.close()


@pytest.fixture
def notebook(shared: NotebookPage, request: pytest.FixtureRequest) -> Iterator[NotebookPage]:
    """The shared one; of a test that failed a picture stays."""
    yield shared
    if request.node.stash.get(FAILED, False):
        PICTURES.mkdir(parents=True, exist_ok=True)
        shared.page.screenshot(path=PICTURES / f"failed-{request.node.originalname}.png")


def run(notebook: NotebookPage, source: str) -> None:
    """Run a cell; the views come back into sight, as only then they are live."""
    notebook.run(CELLS.index(source))
    notebook.view("layers").scroll_into_view_if_needed()


def layer_row(notebook: NotebookPage, path: str) -> Locator:
    return notebook.view("layers").locator(f'.wd-row[data-path="{path}"]')


def test_views_move_while_a_cell_runs(notebook: NotebookPage) -> None:
    cell = CELLS.index(MOVING)
    notebook.start(cell)
    notebook.view("layers").scroll_into_view_if_needed()
    row = layer_row(notebook, "/srv/f3")
    expect(row).to_be_visible()
    expect(notebook.cell(cell).locator(".jp-InputArea-prompt")).to_have_text("[*]:")
    row.click()
    expect(notebook.view("layers").locator(".wd-wins")).to_contain_text("upper")
    expect(notebook.cell(cell).locator(".jp-InputArea-prompt")).to_have_text("[*]:")


def test_what_is_in_a_file_is_text_and_other_trees_load_as_they_are_opened(
    notebook: NotebookPage,
) -> None:
    run(notebook, CHANGING)
    layers, row = notebook.view("layers"), layer_row(notebook, "/etc/profile")
    expect(row).to_contain_text("copied up from")
    row.click()
    expect(layers.locator('.wd-text [data-sign="added"]')).to_contain_text(EVIL)
    layers.get_by_role("button", name="Content in upper").click()
    expect(layers.locator(".wd-text")).to_contain_text(EVIL)
    layers.get_by_role("button", name="Tree: merged").click()
    etc = layer_row(notebook, "/etc")
    expect(etc).to_have_attribute("aria-expanded", "false")
    etc.focus()
    notebook.page.keyboard.press("ArrowRight")
    expect(row.locator(".wd-owner")).to_have_text("upper")
    assert faults(notebook.page, ".wd-layers") == []
    layers.get_by_role("button", name="Tree: upper").click()
    row.click()
    expect(layers.locator(".wd-versions")).to_be_hidden()


def test_names_from_the_container_are_never_markup(notebook: NotebookPage) -> None:
    run(notebook, EVIL_FILE)
    name = notebook.view("layers").locator(".wd-row .wd-name", has_text="onerror")
    expect(name).to_have_text(EVIL)
    run(notebook, EVIL_PROCESS)
    args = notebook.view("processes").locator(".wd-args", has_text="onerror")
    expect(args.first).to_contain_text(EVIL)  # the shell is two for a moment, when it forks
    assert notebook.page.locator(".wd-view img").count() == 0


def test_a_process_is_signalled_from_its_row(notebook: NotebookPage) -> None:
    run(notebook, SLEEPING)
    view = notebook.view("processes")
    row = view.locator(".wd-line[data-key]", has_text=re.compile("^sleep4242"))
    row.press("Enter")
    row.press("k")
    expect(view.get_by_role("button", name="TERM", exact=True)).to_be_focused()
    view.get_by_role("switch", name="Both trees").click()
    twins = view.locator(".wd-line[data-key]", has_text=re.compile("^sleep4242"))
    twins.nth(1).hover()
    expect(twins.first).to_have_attribute("data-twin", "")
    assert faults(notebook.page, ".wd-processes") == []
    notebook.picture("processes", PICTURES / "both-trees.png")
    view.get_by_role("button", name="TERM", exact=True).click()
    expect(view.locator(".wd-orders")).to_contain_text("TERM: sent to sleep")
    expect(twins.first).to_have_attribute("data-state", "Z")
    view.get_by_role("switch", name="Both trees").click()


def test_views_are_saved_as_pictures(notebook: NotebookPage) -> None:
    run(notebook, EVIL_FILE)
    for view, shown in (("layers", EVIL), ("processes", "wardian-init")):
        part = notebook.view(view)
        part.get_by_role("button", name="Pause").click()
        check_pictures(part, shown)
        part.get_by_role("button", name="Back to live").click()


def test_whiteout_is_a_ghost_row(notebook: NotebookPage) -> None:
    run(notebook, DELETING)
    row = layer_row(notebook, "/etc/passwd")
    expect(row).to_have_attribute("data-mark", "deleted")
    expect(row.locator(".wd-ghost")).to_have_text("c 0, 0")
    row.click()
    expect(notebook.view("layers").locator(".wd-wins")).to_contain_text("whiteout")


def test_paused_view_stands_still_and_comes_back(notebook: NotebookPage) -> None:
    layers = notebook.view("layers")
    layers.locator(".wd-toggle").click()
    expect(layers).to_have_attribute("data-status", "paused")
    run(notebook, WRITING)
    expect(layer_row(notebook, "/srv/a")).to_have_count(0)
    layers.locator(".wd-toggle").click()
    expect(layer_row(notebook, "/srv/a")).to_be_visible()
    expect(layers).to_have_attribute("data-status", "live")


def test_a_slider_throttles_a_loop(notebook: NotebookPage) -> None:
    view = notebook.view("resources")
    throttled = view.locator(".wd-aside").nth(1)
    run(notebook, LOOPING)
    expect(throttled).to_have_text("(throttled 0 %)")
    slider = view.get_by_role("slider", name="CPU limit")
    slider.press("Home")
    for _ in range(2):
        slider.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", "5.0 % of one core")
    expect(throttled).to_have_text(re.compile(r"^\(throttled [1-9]\d+ %\)$"))
    expect(view).to_contain_text("CPU limit: 5.0 % of one core")  # told to a screen reader
    notebook.picture("resources", PICTURES / "limits.png")
    if "cgroup v1" in view.inner_text():  # v2 would kill instead
        memory = view.get_by_role("slider", name="Memory limit")
        memory.press("Home")
        expect(view.locator(".wd-refusal:visible")).to_contain_text("more memory than that")
        expect(memory).to_have_attribute("aria-valuetext", "no limit")
    slider.press("End")
    expect(view).to_contain_text("CPU limit: no limit")
    run(notebook, STOPPING)


def test_containers_are_a_list_that_follows_what_happens(notebook: NotebookPage) -> None:
    notebook.run(CELLS.index(LISTING))
    view = notebook.view("containers")
    main = view.locator('.wdc-item[data-name="main"]')
    view.scroll_into_view_if_needed()  # what is not seen is not live
    expect(main.locator(".wdc-figures")).to_have_text(re.compile(r"^[\d.]+ MiB · [\d.]+ %$"))
    main.press("Enter")
    view.get_by_role("button", name="Show commands").click()
    expect(view.locator(".wd-drawer")).to_contain_text("wardian exec -it")
    check_drawing(save(view, "SVG").read_text(), "main", "1 of 1 running")
    assert faults(notebook.page, ".wd-containers") == []
    notebook.picture("containers", PICTURES / "containers.png")


def test_a_build_is_seen_step_by_step_and_kept_as_it_ended(
    notebook: NotebookPage, server: JupyterServer
) -> None:
    notebook.run(CELLS.index(BUILDING))
    view = notebook.view("build")
    step = view.locator(".wd-build-step").nth(1)
    expect(view.locator(".wd-status")).to_have_text("finished")
    expect(step).to_have_attribute("data-state", "done")
    step.press("Enter")
    expect(step.locator('[data-mark="added"]', has_text="onerror")).to_contain_text(EVIL)
    assert view.locator("img").count() == 0
    check_pictures(view, EVIL, "docker.io/library/shop:latest")
    view.get_by_role("button", name="Show commands").click()
    expect(view.locator(".wd-drawer")).to_contain_text("wardian build -t shop -f - . < Dockerfile")
    assert faults(notebook.page, ".wd-build") == []
    notebook.picture("build", PICTURES / "build.png")
    out(program(server.home / "state")("rmi", "shop"))


def test_status_bar_says_what_the_container_uses(notebook: NotebookPage) -> None:
    expect(notebook.page.locator(".wd-status-item")).to_have_text(
        re.compile(r".+ · [\d.]+ MiB / .+ · .+ %$")
    )
    PICTURES.mkdir(parents=True, exist_ok=True)
    notebook.page.locator("#jp-main-statusbar").screenshot(path=Path(PICTURES, "status.png"))


def test_last_state_stays_when_the_kernel_is_gone(
    notebook: NotebookPage, server: JupyterServer
) -> None:
    expect(layer_row(notebook, "/srv/a")).to_be_visible()
    for kernel in server.ask("kernels"):
        server.ask(f"kernels/{kernel['id']}", "DELETE")
    expect(layer_row(notebook, "/srv/a")).to_be_visible()
