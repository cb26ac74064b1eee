"""One server and one browser for all tests; pictures land in build/ui."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.linux.conftest import keeper_pid, wait_until
from tests.linux.program import Wardian, program
from tests.ui.jupyter import REPOSITORY, JupyterServer, set_theme
from tests.ui.notebook_page import NotebookPage
from tests.ui.themes import LIGHT
from wardian.runtime.client import Client

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)
PICTURES = Path(os.environ.get("WARDIAN_PICTURES", REPOSITORY / "build/ui"))

FAILED = pytest.StashKey[bool]()
PATIENCE_MS = 60_000
SCALE = 1.5 if "WARDIAN_PICTURES" in os.environ else 1.0  # sharp pictures take time to draw
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """JupyterLab with our kernels; afterwards nothing of it is left."""
    home = tmp_path_factory.mktemp("ui")
    home.chmod(0o711)
    started = JupyterServer.start(home)
    yield started
    started.stop()
    state = home / "state"
    if state.exists():
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("WARDIAN_KEEPER_IDLE_S", "0.1")
            with Client.connect(state) as client:
                for info in client.list():
                    client.container(info.id).remove(force=True)
        wait_until(lambda: keeper_pid(state) is None)


@pytest.fixture
def wardian(server: JupyterServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wardian]:
    """The command line on the server's state, which is empty before and afterwards."""
    monkeypatch.setenv("WARDIAN_KEEPER_IDLE_S", "0.1")
    state = server.home / "state"
    _empty(state)  # a notebook's container stays
    yield program(state)
    _empty(state)
    program(state)("volume", "prune", "--all", "--force")


def _empty(state: Path) -> None:
    with Client.connect(state) as client:
        for info in client.list():
            client.container(info.id).remove(force=True, volumes=True)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Gone before other tests: Playwright keeps an event loop running in this thread."""
    if not CHROMIUM.exists():
        pytest.skip("no /usr/bin/chromium; apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield started
        started.close()


@pytest.fixture(scope="package")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One for all windows: JupyterLab's scripts are fetched and compiled once."""
    made = browser.new_context(viewport={"width": 1280, "height": 1600}, device_scale_factor=SCALE)
    made.set_default_timeout(PATIENCE_MS)
    yield made
    made.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let the page's fixture know how the test went."""
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


@pytest.fixture
def page(context: BrowserContext, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A browser window; of a test that failed a picture stays."""
    made = context.new_page()
    yield made
    if request.node.stash.get(FAILED, False):
        PICTURES.mkdir(parents=True, exist_ok=True)
        made.screenshot(path=PICTURES / f"failed-{request.node.originalname}.png")
    made.close()


OpenNotebook = Callable[..., NotebookPage]


@contextmanager
def notebooks(server: JupyterServer, page: Page, title: str) -> Iterator[OpenNotebook]:
    """Notebooks that are written and opened, by this title; their kernels end with it."""
    before = {kernel["id"] for kernel in server.ask("kernels")}
    opened: list[NotebookPage] = []

    def open_it(
        cells: list[str],
        *,
        kernel: str = "wardian-python",
        app: str = "lab",
        theme: str = LIGHT,
    ) -> NotebookPage:
        set_theme(server.home, theme)
        name = f"{title}-{app}-{len(opened)}.ipynb"
        server.write_notebook(name, cells, kernel)
        opened.append(NotebookPage.open(page, server.url(app, name)))
        wait_until(lambda: server.is_ready(name), timeout_s=60)
        return opened[-1]

    yield open_it
    for kernel in server.ask("kernels"):
        if kernel["id"] not in before:
            server.ask(f"kernels/{kernel['id']}", "DELETE")
    assert [error for notebook in opened for error in notebook.errors] == []


@pytest.fixture
def open_notebook(
    server: JupyterServer, page: Page, request: pytest.FixtureRequest
) -> Iterator[OpenNotebook]:
    """Write a notebook and open it; its kernel ends with the test."""
    with notebooks(server, page, request.node.originalname) as open_it:
        yield open_it
