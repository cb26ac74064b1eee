"""JupyterHub with its proxy on this machine: twenty users at once, apart from each other."""

from __future__ import annotations

import asyncio
import json
import os
import sysconfig
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hub import crowd
from tests.hub.real_hub import FIRST_ID, IDS, PROXY, RealHub, opened, processes_of
from tests.hub.visitor import Said, Visitor
from tests.linux.conftest import wait_until

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="a hub is root's; run the tests as root"),
    pytest.mark.skipif(not PROXY.exists(), reason="no proxy: npm --prefix extension ci"),
]
USERS = 20
MEMORY_MIB, PIDS = 1024, 200
MOST_LEFT_MIB = 8
# Tells one user's programs another time of day, by a file in its home; not other clocks.
FAKETIME = f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}/faketime/libfaketime.so.1"
JUMPS, HOUR_S = 5, 3600
# No page is opened, so no server needs the programs that pages come from: a third of its start.
NOT_LOADED = [
    f"--ServerApp.jpserver_extensions={name}=False"
    for name in ("jupyterlab", "notebook", "notebook_shim")
]
MORE = f"""
c.HostSpawner.mem_limit = "{MEMORY_MIB}M"
c.HostSpawner.pids_limit = {PIDS}
c.HostSpawner.args += {NOT_LOADED}
c.HostSpawner.args += ["--MappingKernelManager.cull_idle_timeout={HOUR_S}"]
c.HostSpawner.args += ["--MappingKernelManager.cull_interval=1"]
c.Spawner.environment = {{
    "JUPYTERHUB_SINGLEUSER_APP": "jupyter_server.serverapp.ServerApp",
    "LD_PRELOAD": lambda spawner: "{FAKETIME}" if spawner.user.name == "u{JUMPS:03}" else "",
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    "FAKETIME_CACHE_DURATION": "1",
}}
"""


@dataclass(frozen=True)
class Class:
    """The hub after all have taken the tour; ``runner`` is the pages' event loop."""

    hub: RealHub
    runner: asyncio.Runner
    visitors: list[Visitor]
    heard: list[list[Said]]

    def host(self, who: int, code: str) -> Said:
        """A cell on the hub's machine, with that user's rights."""
        return self.run(who, f"%%host\n{textwrap.dedent(code)}")

    def run(self, who: int, code: str) -> Said:
        return self.runner.run(self.visitors[who].run(code))


@pytest.fixture(scope="module")
def full_class() -> Iterator[Class]:
    """Twenty users who have logged in at once and taken the tour."""
    with asyncio.Runner() as runner, opened(USERS, MORE) as hub:
        visitors = [Visitor(hub, user) for user in hub.users]
        steps = crowd.tour()

        async def all_at_once() -> list[list[Said]]:
            return await asyncio.gather(*(crowd.take_the_tour(one, steps) for one in visitors))

        async def go_home() -> None:
            await asyncio.gather(*(one.leave() for one in visitors))

        yield Class(hub, runner, visitors, runner.run(all_at_once()))
        runner.run(go_home())


def test_all_log_in_at_once_and_take_the_tour(full_class: Class) -> None:
    for heard in full_class.heard:
        for step, said in zip(crowd.tour(), heard, strict=True):
            assert (said.status == "error") is step.fails, (step.code, said)
    assert "Traceback" not in full_class.hub.log


def test_images_are_the_hubs_and_files_the_users(full_class: Class) -> None:
    for user in full_class.hub.users:
        assert os.listdir(user.state / "toolbox") == []
        assert os.listdir(user.state / "content/blobs/sha256") == []
        assert next(user.home.iterdir()).stat().st_uid == user.uid
    written = full_class.run(0, "%%sh\ntouch /etc/passwd && stat -c %u:%g /etc/passwd")
    assert written.text == "0:0\n", "a file of the shared layer is copied up as root's"
    refused = full_class.host(
        0,
        """
        import os
        for folder, _, files in os.walk(os.environ["WARDIAN_SHARED"]):
            for path in (folder, *(os.path.join(folder, name) for name in files)):
                if not os.path.islink(path) and os.access(path, os.W_OK):
                    print(path)
        print("looked at", folder[:1])
        """,
    )
    assert refused.text == "looked at /\n"


ATTACK = """
import os, signal, socket, urllib.error, urllib.request
from pathlib import Path
home, uid, name, port = Path({home!r}), {uid}, {name!r}, {port}
def attempt(what, deed):
    try:
        print("can", what, deed())
    except (OSError, urllib.error.HTTPError) as error:
        print("cannot", what)
def connect(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
def request(path):
    return urllib.request.urlopen(f"http://127.0.0.1:{{port}}{{path}}").read()[:100]
others = [one for one in Path("/proc").iterdir() if one.name.isdecimal()
          and one.stat().st_uid not in (os.getuid(), 0)
          and not 0 <= one.stat().st_uid - {first_id} < {ids}]
print("sees", others)
attempt("list home", lambda: os.listdir(home))
attempt("open state", lambda: os.listdir(home / ".local/share/wardian"))
attempt("connect to keeper", lambda: connect(home / ".local/share/wardian/keeper.sock"))
for path in {sockets}:
    attempt("connect to kernel", lambda: connect(path))
attempt("read a file of its container", lambda: open({file!r}).read())
for pid in {pids}:
    if os.path.exists(f"/proc/{{pid}}") and str(pid) not in map(str, range(1, 400)):
        print("sees", pid)
attempt("fill its group", lambda: Path({group!r}, "cgroup.procs").write_text("0"))
attempt("lift its own limit", lambda: Path({above!r}, "memory.limit_in_bytes").write_text("-1"))
attempt("use its server", lambda: request(f"/user/{{name}}/api/kernels"))
attempt("write temporary files", lambda: os.listdir("/tmp/wardian-secret"))
"""


def test_user_reaches_nothing_of_another(full_class: Class) -> None:
    attacker, victim = full_class.hub.users[:2]
    full_class.host(1, "import os\nos.mkdir('/tmp/wardian-secret')")
    full_class.run(1, "open('/srv/secret', 'w').write('fern')")
    (secret,) = victim.state.glob("snapshots/*/**/srv/secret")
    groups = Path("/sys/fs/cgroup/memory/wardian-hub")
    sockets = [str(path) for path in victim.home.rglob("*ipc*") if path.is_socket()]
    assert len(sockets) >= 5
    answer = full_class.host(
        0,
        ATTACK.format(
            home=str(victim.home),
            uid=victim.uid,
            name=victim.name,
            port=full_class.hub.port,
            first_id=FIRST_ID,
            ids=IDS,
            sockets=sockets,
            file=str(secret),
            pids=list(processes_of([victim])),
            group=str(groups / victim.name / "session"),
            above=str(groups / attacker.name),
        ),
    )
    assert answer.status == "ok", answer
    lines = answer.text.splitlines()
    assert lines[0] == "sees []"
    assert len(lines) == 9 + len(sockets), lines
    assert not [line for line in lines[1:] if not line.startswith("cannot ")], lines
    path = f"/user/{victim.name}/api/kernels"
    assert full_class.runner.run(full_class.visitors[0].status_of(path)) in (403, 404)
    assert full_class.runner.run(full_class.visitors[1].status_of(path)) == 200


def test_limits_of_a_session_and_of_its_containers_are_in_force(full_class: Class) -> None:
    bomb = full_class.host(
        2,
        """
        import subprocess
        grown = []
        try:
            while len(grown) < 1000:
                grown.append(subprocess.Popen(["sleep", "1000"]))
        except BlockingIOError as error:
            print(error.strerror)
        for one in grown:
            one.kill()
            one.wait()
        print(len(grown) < PIDS)
        """.replace("PIDS", str(PIDS)),
    )
    assert bomb.text == "Resource temporarily unavailable\nTrue\n"
    full_class.run(2, "%limits --memory 128m")
    assert "LimitHit" in full_class.run(2, "bytearray(10**9)").error
    greedy = full_class.host(
        2,
        """
        import subprocess, sys
        eat = "open('/proc/self/oom_score_adj', 'w').write('1000'); bytearray(2 << 30)"
        print(subprocess.run([sys.executable, "-c", eat]).returncode)
        """,
    )
    assert greedy.text == "-9\n", "the session's own limit ends what is beyond all its containers"
    full_class.run(3, "open('/srv/kept', 'w').write('fern')\n%limits --memory 0")
    ended = full_class.run(3, "bytearray(2 << 30)").error
    assert "out of memory: the container reached all that the session or the machine has" in ended
    assert "raise the limit" not in ended
    assert full_class.run(3, "open('/srv/kept').read()").text == "'fern'"
    assert full_class.run(2, "6 * 7").text == full_class.run(3, "6 * 7").text == "42"


KILL_KEEPER = """
import os, signal
from pathlib import Path
for one in Path("/proc").iterdir():
    if one.name.isdecimal() and (one / "comm").read_text() == "wardian-keeper\\n":
        os.kill(int(one.name), signal.SIGKILL)
        print("killed")
"""


def test_keeper_that_vanishes_is_replaced_and_nothing_is_lost(full_class: Class) -> None:
    full_class.run(0, "leaf = 6; open('/srv/kept', 'w').write('fern')")
    assert "killed" in full_class.host(0, KILL_KEEPER).text
    assert full_class.run(0, "leaf * 7").text == "42"
    assert full_class.run(0, "%limits --memory 300m").text.startswith("memory   300 MiB\n")
    assert full_class.run(0, "open('/srv/kept').read()").text == "'fern'"


WAITS_FOR_JUMP = f"""
import select, time
began, ticks = time.time(), time.monotonic()
open("mark", "w").close()
while abs(time.time() - began) < {HOUR_S}:
    select.select([], [], [], 0.05)  # libfaketime 0.9.10 has sleep fail
print("jumped", time.monotonic() - ticks < {HOUR_S})
"""


def keepers_of(hub: RealHub, who: int) -> list[int]:
    found = []
    for host_pid in processes_of([hub.users[who]]):
        with suppress(OSError):
            if Path(f"/proc/{host_pid}/comm").read_text() == "wardian-keeper\n":
                found.append(host_pid)
    return found


@pytest.mark.skipif(
    not Path(FAKETIME).exists(), reason="no libfaketime; apt-get install libfaketime"
)
def test_clock_that_jumps_by_hours_ends_no_cell_kernel_or_keeper(full_class: Class) -> None:
    """Jupyter's culler ends a kernel that nobody has open, as it would in time."""
    hub, visitor = full_class.hub, full_class.visitors[JUMPS]
    home, kernels = hub.users[JUMPS].home, f"/user/u{JUMPS:03}/api/kernels"
    full_class.run(JUMPS, "leaf = 6; open('/srv/kept', 'w').write('fern')")
    full_class.run(JUMPS, "%limits --timeout 1800")
    keepers, jumped = keepers_of(hub, JUMPS), Said("ok", "jumped True\n", "")

    async def jump(setting: str) -> Said:
        (home / "mark").unlink(missing_ok=True)
        running = asyncio.create_task(visitor.run(f"%%host{WAITS_FOR_JUMP}"))
        await asyncio.to_thread(wait_until, (home / "mark").exists)
        (home / ".faketimerc").write_text(setting)
        return await running

    async def unattended() -> int:
        made = await visitor.ask(kernels, "POST", json.dumps({"name": "wardian-shell"}))
        # Its first words count as activity: they come before the jump, if they have not yet come.
        for _ in range(100):
            await asyncio.sleep(0.1)
            if (await visitor.ask(f"{kernels}/{made['id']}"))["last_activity"] != made[
                "last_activity"
            ]:
                break
        return len(await visitor.ask(kernels))

    async def culled() -> int:
        for _ in range(600):
            if len(left := await visitor.ask(kernels)) == 1:
                break
            await asyncio.sleep(0.1)
        return len(left)

    assert full_class.runner.run(unattended()) == 2
    assert full_class.runner.run(jump("+5h")) == jumped
    assert full_class.runner.run(culled()) == 1
    assert full_class.runner.run(jump("-5h")) == jumped
    assert full_class.run(JUMPS, "leaf * 7, open('/srv/kept').read()").text == "(42, 'fern')"
    assert full_class.host(JUMPS, "print(open('.faketimerc').read())").text == "-5h\n"
    assert keepers_of(hub, JUMPS) == keepers != []


def test_hub_restart_ends_no_session(full_class: Class) -> None:
    """Pages connect anew; what a cell was at goes on meanwhile."""
    visitors = full_class.visitors

    async def on_all(code: str) -> list[str]:
        return [said.text for said in await asyncio.gather(*(one.run(code) for one in visitors))]

    async def connect_again() -> None:
        await asyncio.gather(*(one.connect() for one in visitors))

    full_class.runner.run(on_all("leaf = 6"))
    full_class.hub.stop()
    full_class.hub.start()
    full_class.runner.run(connect_again())
    assert full_class.runner.run(on_all("leaf * 7")) == ["42"] * USERS


def mib_of(folder: Path) -> float:
    """What lies below it."""
    return sum(path.lstat().st_size for path in folder.rglob("*")) / 2**20


def test_culled_sessions_leave_files_and_nothing_else(full_class: Class) -> None:
    hub = full_class.hub
    full_class.run(4, "%%host\nopen('kept', 'w').write('fern')")
    full_class.run(4, "%%sh\n(setsid nohup sleep 1000 >/dev/null 2>&1 &)")
    full_class.runner.run(crowd.cull(hub, hub.users))
    assert list(processes_of(hub.users)) == []
    assert not list(Path("/sys/fs/cgroup").glob("*/wardian-hub"))
    assert str(hub.folder) not in Path("/proc/mounts").read_text()
    # A keeper that is ended before it has tidied up leaves records; the next sweeps them.
    assert all(mib_of(user.state) < MOST_LEFT_MIB for user in hub.users)
    assert (hub.users[4].home / "kept").read_text() == "fern"
