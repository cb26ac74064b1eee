"""The walls of the bare rung with each version of Landlock up to this kernel's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.linux.conftest import UID
from wardian.linux import landlock

NEWEST = landlock.abi_version()
# As the user whose files they all are: nothing but the walls keeps them apart.
TRIES = """
import ctypes, json, os, shutil, socket, sys
from wardian.bare.reach import Reach
from wardian.bare.walls import raise_walls
from wardian.linux import capabilities, seccomp
seccomp.compile_default(capabilities.DEFAULT)  # while its file can be read
top, most, uid = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
os.chdir(f"{top}/own")
foreign = os.open(f"{top}/home/kept", os.O_RDONLY)
walls = raise_walls(Reach(writable=(f"{top}/own",), hidden=(f"{top}/home",)), most=most)
done = {}
def attempt(what, deed):
    try:
        deed()
        done[what] = True
    except OSError as error:
        done[what] = False
def truncate64(path):
    if ctypes.CDLL(None, use_errno=True).truncate(path.encode(), 0):
        raise OSError(ctypes.get_errno(), path)
kept, see = f"{top}/home/kept", f"{top}/see"
attempt("write own", lambda: open("leaf", "w").write("fern"))
attempt("make directories", lambda: os.makedirs("a/b"))
attempt("shorten own", lambda: os.truncate(os.open("leaf", os.O_RDWR), 1))
attempt("move own", lambda: shutil.move("leaf", "a/b/leaf"))
attempt("remove own", lambda: os.unlink("a/b/leaf"))
attempt("run", lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0))
attempt("read programs", lambda: open("/etc/passwd").read())
attempt("read home", lambda: open(kept).read())
attempt("list home", lambda: os.listdir(f"{top}/home"))
attempt("write home", lambda: open(kept, "a"))
attempt("make in home", lambda: open(f"{top}/home/new", "w"))
attempt("remove from home", lambda: os.unlink(kept))
attempt("empty home", lambda: os.truncate(kept, 0))
attempt("empty home again", lambda: truncate64(kept))
attempt("move out of home", lambda: os.rename(kept, "stolen"))
attempt("link out of home", lambda: os.link(kept, "stolen"))
attempt("write elsewhere", lambda: open(see, "a"))
print(json.dumps([walls.landlock, sorted(walls.missing), done]))
"""
POSSIBLE = {
    *("write own", "make directories", "shorten own", "move own", "remove own"),
    *("run", "read programs"),
}


@pytest.mark.skipif(os.geteuid() != 0, reason="root becomes a user here; run the tests as root")
@pytest.mark.skipif(NEWEST == 0, reason="the kernel has no Landlock to try")
def test_walls_are_the_same_with_every_version_of_landlock(tmp_path: Path) -> None:

    for parent in (tmp_path, *tmp_path.parents[:-2]):
        parent.chmod(parent.stat().st_mode | 0o011)
    for version in range(1, NEWEST + 1):
        top = tmp_path / str(version)
        for folder in (top, top / "own", top / "home"):
            folder.mkdir()
            os.chown(folder, UID, UID)
        for file in (top / "home/kept", top / "see"):
            file.write_text("fern")
            os.chown(file, UID, UID)
        done = subprocess.run(
            [sys.executable, "-c", TRIES, str(top), str(version), str(UID)],
            env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        used, missing, outcome = json.loads(done.stdout)
        assert used == version
        assert {what for what, was_done in outcome.items() if was_done} == POSSIBLE, version
        assert missing == ([] if landlock.scopes(version) else ["signals"]), version
        assert (top / "home/kept").read_text() == "fern"
