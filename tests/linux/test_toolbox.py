"""The toolbox in real containers: Python and a shell in images that have neither."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec.structs import replace

from tests.kernel.recording_sink import Bench, bench
from wardian.cells.runner import Interpreter, Language, RunnerExited
from wardian.cells.toolbox import at_home_in_toolbox, ensure_toolbox, toolbox_binds, with_loader
from wardian.errors import CommandFailed
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.spec import ContainerSpec

pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="session")
def toolbox_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("toolbox")
    for parent in (root, *root.parents):
        if parent.owner() == "root" and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    return root


@pytest.fixture
def empty_layer(tmp_path: Path) -> Path:
    """An image with nothing in it."""
    layer = tmp_path / "empty"
    (layer / "root").mkdir(parents=True)
    layer.chmod(0o755)
    return layer


@pytest.fixture
def empty_box(client: Client, empty_layer: Path, toolbox_root: Path) -> Container:
    return client.run(
        ContainerSpec(
            name="empty",
            image="empty",
            lowers=(str(empty_layer),),
            binds=toolbox_binds(toolbox_root),
        )
    )


@pytest.fixture
def tooled_box(client: Client, spec: ContainerSpec, toolbox_root: Path) -> Container:
    """The busybox image, with the toolbox."""
    return client.run(replace(spec, binds=toolbox_binds(toolbox_root)))


@pytest_asyncio.fixture
async def python(empty_box: Container) -> AsyncIterator[Bench]:
    async with inside(empty_box, Language.PYTHON) as ready:
        yield ready


def inside(
    container: Container, language: Language, **options: str
) -> AbstractAsyncContextManager[Bench]:
    interpreter = Interpreter(options.pop("interpreter", "toolbox"))
    path = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/root", **options}
    return bench(language, Path("/root"), launcher=container, interpreter=interpreter, **path)


async def test_python_cell_runs_in_an_image_with_nothing_in_it(python: Bench) -> None:
    await python.run("import os; print(os.listdir('/'), os.getuid()); 6 * 7")
    assert "'.wardian'" in python.sink.text()
    assert python.sink.contents("execute_result")[0]["data"]["text/plain"] == "42"


async def test_compiled_packages_of_the_host_work(python: Bench) -> None:
    await python.run(
        "import ssl, sqlite3, ctypes, zlib, numpy\n"
        "print(numpy.ones(3).sum(), sqlite3.connect(':memory:').execute('select 7').fetchone())"
    )
    assert python.sink.text() == "3.0 (7,)\n"


async def test_nothing_of_the_image_is_mixed_into_our_process(tooled_box: Container) -> None:
    async with inside(tooled_box, Language.PYTHON) as python:
        await python.run(
            "import os\nfor folder in ('/lib/x86_64-linux-gnu', '/usr/lib', '/lib64'):\n"
            "    os.makedirs(folder, exist_ok=True)\n"
            "    for name in ('libm.so.6', 'libz.so.1', 'libsqlite3.so.0'):\n"
            "        open(f'{folder}/{name}', 'w').write('hostile')\n"
            "import sqlite3, zlib, subprocess, sys\n"
            "print(subprocess.run([sys.executable, '-c', 'import zlib, math'])"
            ".returncode)\n"
            "print({line.split()[-1] for line in open('/proc/self/maps')"
            " if '.so' in line and '/.wardian/' not in line})"
        )
        assert python.sink.text() == "0\nset()\n"


async def test_subprocesses_and_multiprocessing_find_the_interpreter(python: Bench) -> None:
    await python.run(
        "import subprocess, sys, multiprocessing as mp\n"
        "print(subprocess.check_output([sys.executable, '-c', 'print(2)'], text=True))\n"
        "with mp.get_context('spawn').Pool(1) as pool: print(pool.map(abs, [-1]))"
    )
    assert python.sink.text() == "2\n\n[1]\n"


async def test_shell_commands_find_the_toolboxes_programs(python: Bench) -> None:
    await python.run("!echo one | sed s/one/two/; python3 -c 'print(3)'")
    assert python.sink.text().split() == ["two", "3"]


async def test_installed_package_can_be_imported_at_once(
    empty_box: Container, empty_layer: Path, client: Client, toolbox_root: Path
) -> None:
    empty_box.remove(force=True)
    write_wheel(empty_layer / "root" / "thyme-1.0-py3-none-any.whl")
    box = client.run(
        ContainerSpec(
            name="pip", image="x", lowers=(str(empty_layer),), binds=toolbox_binds(toolbox_root)
        )
    )
    async with inside(box, Language.PYTHON) as python:
        await python.run("%pip install --no-index thyme-1.0-py3-none-any.whl")
        assert "Successfully installed thyme-1.0" in python.sink.text()
        await python.run("import thyme; print(thyme.leaf)\n!thyme")
        assert python.sink.text().split() == ["green", "grows"]
    assert (Path(box.info.upper) / "opt/wardian/bin/thyme").exists()


def write_wheel(path: Path) -> None:
    info = "thyme-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("thyme/__init__.py", "leaf = 'green'\ndef main(): print('grows')\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: thyme\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/entry_points.txt", "[console_scripts]\nthyme = thyme:main\n")
        wheel.writestr(f"{info}/RECORD", "")


async def test_debugger_works_in_an_image_with_nothing_in_it(python: Bench) -> None:
    pytest.importorskip("debugpy")
    for number, command in enumerate(("initialize", "attach", "disconnect"), 1):
        arguments = {"clientID": "test", "adapterID": ""}
        request = {"type": "request", "seq": number, "command": command, "arguments": arguments}
        reply = await python.ask("debug", **request)
        assert reply["success"], str(reply)


async def test_toolbox_cannot_be_written_from_inside(python: Bench) -> None:
    for path in ("/.wardian/guest/start.py", "/.wardian/stdlib/os.py", "/.wardian/new"):
        reply = await python.run(f"open({path!r}, 'ab')")
        assert "Read-only file system" in reply["evalue"]


async def test_interrupt_and_kill_work_across_the_pid_namespace(empty_box: Container) -> None:
    async with inside(empty_box, Language.PYTHON) as python:
        reply = await python.interrupted("import time; print('ready'); time.sleep(100)")
        assert reply["ename"] == "KeyboardInterrupt"
        await python.interrupted("print('ready')\n!sleep 100")
        with pytest.raises(RunnerExited) as caught:
            await python.run("import os; os.kill(os.getpid(), 9)")
        assert caught.value.reason.exit_code == 137


async def test_shell_cell_runs_where_the_image_has_no_shell(empty_box: Container) -> None:
    async with inside(empty_box, Language.SHELL) as sh:
        await sh.run("x=5; ls -d /root; echo $x $BASH_VERSION")
        assert sh.sink.text().startswith("/root\n5 ")
        reply = await sh.interrupted("echo ready; sleep 100 | cat")
        assert reply["exit_status"] == 130
        sh.sink.answers = ["sage", EOFError]
        await sh.run("cat", allow_stdin=True)
        assert sh.sink.text() == "sage\n"


async def test_ended_shell_is_replaced_in_its_directory(tooled_box: Container) -> None:
    async with inside(tooled_box, Language.SHELL) as sh:
        await sh.run("cd /tmp; exit 3")
        await sh.run("pwd; mkdir gone; cd gone; rmdir ../gone; exit 0")
        assert sh.sink.text() == "/tmp\n"
        assert "the working directory is gone" in sh.sink.text("stderr")


async def test_images_own_python_is_used_when_asked_for(
    client: Client, tmp_path: Path, toolbox_root: Path
) -> None:
    """An image that has a python3: a copy of the toolbox's, under another prefix."""
    toolbox = ensure_toolbox(toolbox_root)
    layer = tmp_path / "python"
    (layer / "usr/bin").mkdir(parents=True)
    (layer / "root").mkdir()
    (layer / "usr/bin/python3").write_text(
        '#!/.wardian/bin/bash\nexec /.wardian/bin/python3 -I -S "$@"\n'
    )
    (layer / "usr/bin/python3").chmod(0o755)
    box = client.run(
        ContainerSpec(name="own", image="x", lowers=(str(layer),), binds=toolbox.binds)
    )
    async with inside(box, Language.PYTHON, interpreter="image") as python:
        assert python.runner.info["implementation"] == "wardian"  # -S: without IPython
        await python.run("x = 6\nx * 7")
        assert python.sink.contents("execute_result")[0]["data"] == {"text/plain": "42"}


async def test_missing_python_of_the_image_is_a_clear_error(
    client: Client, spec: ContainerSpec, toolbox_root: Path
) -> None:
    box = client.run(spec)  # no toolbox either
    with pytest.raises(CommandFailed) as caught:
        async with inside(box, Language.PYTHON, interpreter="image"):
            pass
    assert caught.value.exit_code == 127


async def test_toolbox_is_built_once_and_anew_when_the_recipe_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ensure_toolbox(tmp_path)
    assert ensure_toolbox(tmp_path).directory == first.directory
    assert os.listdir(first.directory.parent) == [first.directory.name]
    monkeypatch.setattr("wardian.cells.toolbox.RECIPE", "another")
    monkeypatch.setattr(
        "wardian.cells.toolbox._Builder.build", lambda self: self._directory.mkdir()
    )
    assert ensure_toolbox(tmp_path).directory != first.directory


async def test_loader_of_the_toolbox_knows_no_other_directory() -> None:
    system = (
        b"\0/lib/x86_64-linux-gnu/\0/usr/lib/x86_64-linux-gnu/\0/lib/\0/usr/lib/\0"
        b"/etc/ld.so.cache\0/etc/ld.so.preload\0"
    )
    ours = at_home_in_toolbox(system)
    assert len(ours) == len(system)
    assert b"/usr" not in ours
    assert b"/etc" not in ours
    first, second = (part.decode() for part in ours.split(b"\0")[1:3])
    assert Path(first) == Path(second) == Path("/.wardian/lib")


def program_bytes(name: str) -> bytes:
    path = shutil.which(name)
    assert path is not None
    return Path(path).read_bytes()


async def test_program_gets_another_loader_and_a_static_one_stays() -> None:
    shell = program_bytes("bash")
    changed = with_loader(shell, "/.wardian/lib/ld.so")
    assert len(changed) == len(shell)
    assert b"/.wardian/lib/ld.so\0" in changed
    assert with_loader(changed, "/.wardian/lib/ld.so") == changed
