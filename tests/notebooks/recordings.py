"""The lessons' recordings made anew: ``python -m tests.notebooks.recordings [NAME…]``, as root.

By hand, when what the views show has changed: no two runs show the same numbers. A lesson is run
from its top, and recorded from its first view to its exercises, in a state root where it would be
by default: the directories that a view names are those of a reader's machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
RECORDINGS = NOTEBOOKS / "recordings"
KERNELSPECS = Path(__file__).parents[2] / "kernel/wardian/jupyter/kernelspecs"
VIEWS = {
    "00-tour": "layers,processes,resources",
    "02-pid-namespace": "processes",
    "04-writable-layer": "layers",
    "07-network-namespace": "network",
    "09-limits": "resources",
    "15-by-hand": "processes",
    "16-orchestration": "network",
}
SHOW = {"layers": "%layers", "processes": "%ps", "resources": "%stats", "network": "%net"}


def record(name: str, folder: Path) -> Path:
    """The recording of a lesson, made in ``folder``."""
    notebook = nbformat.read(NOTEBOOKS / f"en/{name}.ipynb", 4)
    shutil.copyfile(NOTEBOOKS / f"en/{name}.ipynb", folder / f"{name}.ipynb")
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, allow_errors=True, timeout=200, resources=resources)
    magics = {SHOW[view] for view in VIEWS[name].split(",")}
    is_recorded = False
    with client.setup_kernel(env={**os.environ, "JPY_SESSION_NAME": f"{folder}/{name}.ipynb"}):
        for position, cell in enumerate(notebook.cells):
            if cell.cell_type != "code":
                continue
            if cell.id == "exercise":
                break
            if not is_recorded and cell.source in magics:
                is_recorded = True
                _silently(client, f"%record start {name} --views {VIEWS[name]}")
            client.execute_cell(cell, position)
        _silently(client, "%record stop")
    return folder / f"{name}.wardian-recording"


def _silently(client: NotebookClient, code: str) -> None:
    """Run it without a number: the lesson's cells have those that they are saved with."""
    cell = nbformat.v4.new_code_cell(code)
    client.execute_cell(cell, 0, store_history=False)
    print("".join(output.get("text", "") for output in cell.outputs), end="")


def main(names: list[str]) -> None:
    """Make those of these lessons, or all."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "kernels").symlink_to(KERNELSPECS)
        os.environ.update(JUPYTER_PATH=folder, JUPYTER_PLATFORM_DIRS="1")
        os.environ["WARDIAN_ROOT"] = "/var/lib/wardian"
        for name in names or VIEWS:
            made = record(name, Path(folder))
            RECORDINGS.mkdir(exist_ok=True)
            shutil.copyfile(made, RECORDINGS / made.name)
            print(made.name, made.stat().st_size)
        prune = [sys.executable, "-m", "wardian.cli", "system", "prune", "--all", "--force"]
        subprocess.run(prune, check=False, capture_output=True)


if __name__ == "__main__":
    main(sys.argv[1:])
