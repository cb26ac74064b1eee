"""The wheel alone gives both kernels and the front end, where there is no Node and no checkout."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KERNELS = ("wardian-python", "wardian-shell")
VIEWS = ("image", "layers", "network", "processes", "recording", "resources")
ASK_ONE_CELL = """
import sys
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name=sys.argv[1], startup_timeout=60)
try:
    client.execute_interactive(sys.argv[2], timeout=60, store_history=False)
finally:
    client.stop_channels()
    manager.shutdown_kernel()
"""


@dataclass(frozen=True, slots=True)
class Installed:
    """A virtual environment with nothing but the wheel and what the wheel asks for."""

    prefix: Path
    state: Path

    def run(self, *command: str | Path) -> str:
        """A program of the environment, with nothing else on PATH."""
        environment = {
            "PATH": f"{self.prefix}/bin",
            "HOME": str(self.state),
            "WARDIAN_ROOT": str(self.state / "wardian"),
            "WARDIAN_KEEPER_IDLE_S": "0.1",
            "LC_ALL": "C.UTF-8",
        }
        done = subprocess.run(
            command, env=environment, cwd=self.state, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def build(source: Path, target: str, out: Path, *, path: str) -> Path:
    """One archive by the build backend; with ``path`` as PATH."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", out],
        cwd=source,
        env={"PATH": path, "HOME": str(out), "SOURCE_DATE_EPOCH": "1700000000"},
        check=True,
        capture_output=True,
    )
    (built,) = out.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return built


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"), path="/usr/bin:/bin")


@pytest.fixture(scope="session")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made from the unpacked sdist, with no Node (nor anything else) on PATH."""
    folder = tmp_path_factory.mktemp("source")
    # Python 3.11.2 (Debian 12) knows no filter= of TarFile.extractall.
    subprocess.run(["tar", "-xf", sdist, "-C", folder], check=True)
    (source,) = folder.iterdir()
    return build(source, "wheel", tmp_path_factory.mktemp("wheel"), path="/nowhere")


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    prefix = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(prefix, with_pip=True)
    pip = [
        str(prefix / "bin/pip"),
        "install",
        "-q",
        "-c",
        str(ROOT / "constraints.txt"),
        str(wheel),
    ]
    subprocess.run(pip, check=True)
    return Installed(prefix, tmp_path_factory.mktemp("state"))


def test_wheel_from_the_sdist_is_that_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    direct = build(ROOT, "wheel", tmp_path, path="/usr/bin:/bin")
    assert zipfile.ZipFile(direct).namelist() == zipfile.ZipFile(wheel).namelist()


def test_sdist_has_the_sources_and_no_modules_of_node(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = [name.split("/", 1)[1] for name in archive.getnames()]
    assert "extension/package-lock.json" in names
    assert "kernel/wardian/widgets/static/layers.js" in names
    assert not [name for name in names if "node_modules" in name or "__pycache__" in name]


@pytest.mark.timeout(600)
def test_both_kernels_are_found(installed: Installed) -> None:
    listed = json.loads(
        installed.run(installed.prefix / "bin/jupyter-kernelspec", "list", "--json")
    )
    for name in KERNELS:
        folder = listed["kernelspecs"][name]["resource_dir"]
        assert folder == str(installed.prefix / "share/jupyter/kernels" / name)


@pytest.mark.timeout(600)
def test_front_end_is_there(installed: Installed) -> None:
    where = installed.run(
        installed.prefix / "bin/python", "-c", "import wardian; print(wardian.__path__[0])"
    )
    for view in VIEWS:
        assert Path(where.strip(), "widgets/static", f"{view}.js").stat().st_size > 1000
    labextension = installed.prefix / "share/jupyter/labextensions/wardian"
    package = json.loads((labextension / "package.json").read_text())
    assert (labextension / package["jupyterlab"]["_build"]["load"]).is_file()
    assert (labextension / "install.json").is_file()
    assert {path.name for path in (labextension / "schemas/wardian").iterdir()} >= {
        "notebooks.json",
        "settings.json",
    }
    config = installed.prefix / "etc/jupyter/jupyter_server_config.d/wardian.json"
    extensions = json.loads(config.read_text())["ServerApp"]["jpserver_extensions"]
    assert extensions == {"wardian.jupyter.server": True}


@pytest.mark.timeout(600)
def test_korean_is_there(installed: Installed) -> None:
    ask = (
        "from importlib.metadata import entry_points\n"
        "for group in ('jupyterlab.languagepack', 'jupyterlab.locale'):\n"
        "    for one in entry_points(group=group): print(one.name, one.load().__file__)"
    )
    said = installed.run(installed.prefix / "bin/python", "-c", ask)
    found = dict(line.split() for line in said.splitlines())
    assert json.loads(Path(found["ko_KR"]).read_text())["Stop"] == ["중지"]
    assert Path(found["ko_KR"]).is_relative_to(Path(found["wardian"]).parent / "locale/ko_KR")


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("kernel", "cell", "printed"),
    [
        ("wardian-python", "import os; print(os.getuid(), 6 * 7)", "0 42\n"),
        ("wardian-shell", "echo $((6 * 7)) in $0", "42 in"),
    ],
)
def test_kernel_runs_a_cell(installed: Installed, kernel: str, cell: str, printed: str) -> None:
    said = installed.run(installed.prefix / "bin/python", "-c", ASK_ONE_CELL, kernel, cell)
    assert printed in said


@pytest.mark.timeout(600)
def test_lessons_are_there_in_every_language(installed: Installed) -> None:
    wardian = installed.prefix / "bin/wardian"
    shown = installed.run(wardian, "course", "list", "--format", "{{.Language}}/{{.Name}}.ipynb")
    notebooks = ROOT / "notebooks"
    in_checkout = {str(path.relative_to(notebooks)) for path in notebooks.glob("*/*.ipynb")}
    assert set(shown.split()) == in_checkout
    folder = installed.state / "course"
    for language in ("en", "ko"):
        words = ("course", "open", "09", "-l", language, "--no-browser", "-C", str(folder))
        said = installed.run(wardian, *words)
        assert Path(said.splitlines()[0]).is_file()
    assert (folder / "en/images/cgroup.svg").is_file()
    assert (folder / "recordings/09-limits.wardian-recording").is_file()


@pytest.mark.timeout(600)
def test_command_line_says_what_the_host_allows(installed: Installed) -> None:
    assert "rung:" in installed.run(installed.prefix / "bin/wardian", "doctor")
