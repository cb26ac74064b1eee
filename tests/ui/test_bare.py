"""What JupyterLab shows on a host that allows no containers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.linux.conftest import wait_until
from tests.ui.jupyter import JupyterServer, set_theme
from tests.ui.notebook_page import NotebookPage
from tests.ui.themes import LIGHT
from wardian.linux import capabilities, landlock, process, seccomp

NAME = "bare.ipynb"
needs_landlock = pytest.mark.skipif(
    landlock.abi_version() == 0, reason="root's cells are not let loose without Landlock"
)


def refuse_namespaces() -> None:
    """The filter of containers, which refuses all namespaces to whoever is in one."""
    program = seccomp.compile_default(capabilities.DEFAULT)
    process.set_no_new_privs()
    seccomp.load(program)


@pytest.fixture
def bare_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    home = tmp_path_factory.mktemp("bare")
    seccomp.compile_default(capabilities.DEFAULT)
    started = JupyterServer.start(home, before_exec=refuse_namespaces)
    yield started
    started.stop()


@needs_landlock
def test_page_claims_no_container_where_there_is_none(
    bare_server: JupyterServer, page: Page
) -> None:
    set_theme(bare_server.home, LIGHT)
    bare_server.write_notebook(NAME, ["6 * 7", "%ps", "%stats", "%layers"], "wardian-python")
    notebook = NotebookPage.open(page, bare_server.url("lab", NAME))
    wait_until(lambda: bare_server.is_ready(NAME), timeout_s=60)
    notebook.run(0)
    output = notebook.cell(0).locator(".jp-OutputArea")
    expect(output).to_contain_text("no container: this host allows none")
    expect(output).to_contain_text("42")
    status = page.locator(".wd-status-item")
    expect(status).to_contain_text("no container · ")
    expect(status).not_to_contain_text("/")
    notebook.run(1)
    expect(notebook.view("processes")).to_contain_text("wardian-plain")
    expect(notebook.view("processes")).to_contain_text("no container")
    notebook.run(2)
    expect(notebook.view("resources")).to_contain_text("no cgroup: sums")
    expect(notebook.view("resources")).not_to_contain_text("no limit")
    notebook.run(3)
    expect(notebook.cell(3).locator(".jp-OutputArea")).to_contain_text("%layers needs a container")
    assert notebook.errors == []
