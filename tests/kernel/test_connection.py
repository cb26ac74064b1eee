"""Connection files, transports, kernelspecs: how a kernel is found and started."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from tests.kernel.page import Page
from wardian.jupyter.connection import Connection
from wardian.jupyter.connection_file import connection_file
from wardian.jupyter.kernelspec import NAMES, install


@pytest.mark.parametrize("options", [{"transport": "tcp"}, {"transport_encryption": "required"}])
def test_kernel_serves_tcp_in_the_clear_and_encrypted(
    options: dict[str, str], tmp_path: Path
) -> None:
    """In a directory whose modules it imports for cells of the host alone, and not as its own."""
    folders = [str(path.parent) for path in install(prefix=str(tmp_path))]
    specs = KernelSpecManager(kernel_dirs=folders)
    (tmp_path / "socket.py").write_text("raise SystemExit('not the standard one')\n")
    (tmp_path / "beside.py").write_text("PLANT = 'fern'\n")
    manager = KernelManager(kernel_name="wardian-python", kernel_spec_manager=specs, **options)
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    page = Page(manager, client)
    assert page.run("6 * 7").result == "42"
    host = "%%host\nimport beside, socket\nprint(beside.PLANT, int(socket.AF_UNIX))"
    assert page.run(host).text("stdout") == "fern 1\n"
    page.close()


def test_kernel_without_a_connection_file_writes_its_own(tmp_path: Path) -> None:
    path = tmp_path / "kernel-own.json"
    assert Connection.of(path).shell_port == 0
    Connection(shell_port=5, key=b"k").write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Connection.of(path).shell_port == 5


def test_connection_file_keeps_what_it_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "kernel.json"
    path.write_text(json.dumps({"kernel_name": "x", "shell_port": 1}))
    Connection(shell_port=2).write(path)
    facts = json.loads(path.read_text())
    assert (facts["kernel_name"], facts["shell_port"]) == ("x", 2)


@pytest.mark.parametrize(
    ("words", "name"),
    [(["-f", "/a/b.json"], "/a/b.json"), (["--language=shell", "-f=/c.json"], "/c.json")],
)
def test_command_line_names_the_connection_file(words: list[str], name: str) -> None:
    assert connection_file(words) == Path(name)


def test_bare_name_lies_in_the_runtime_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", "/run/jupyter")
    assert connection_file(["-f", "kernel-1.json"]) == Path("/run/jupyter/kernel-1.json")
    assert connection_file([]).name == f"kernel-{os.getpid()}.json"


def test_install_puts_both_kernelspecs_below_a_prefix(tmp_path: Path) -> None:
    installed = install(prefix=str(tmp_path), environment={"WARDIAN_MEMORY": "1g"})
    assert [path.name for path in installed] == list(NAMES)
    for path in installed:
        spec = KernelSpecManager(kernel_dirs=[str(path.parent)]).get_kernel_spec(path.name)
        assert spec.argv[0] == sys.executable
        assert spec.interrupt_mode == "message"
        assert spec.env == {"WARDIAN_MEMORY": "1g"}
        assert spec.to_dict()["kernel_protocol_version"] == "5.5"
        for logo in ("logo-32x32.png", "logo-64x64.png", "logo-svg.svg"):
            assert (path / logo).stat().st_size > 0
