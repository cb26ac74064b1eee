"""An ordinary user's containers, end to end: with one id, and with subordinate ids."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.linux import gardener as gardeners
from tests.linux.conftest import UID, keeper_pid, wait_until
from tests.linux.gardener import COUNT, FIRST, Gardener, delegated, needs_root
from wardian.cgroups.hierarchy import Hierarchy

pytestmark = needs_root


@pytest.fixture(params=["one id", "subordinate ids"])
def gardener(
    request: pytest.FixtureRequest,
    interpreter: str,
    busybox_layer: Path,
) -> Iterator[Gardener]:
    with gardeners.employed(
        interpreter, busybox_layer, subordinate=request.param == "subordinate ids"
    ) as user:
        yield user


def has_range(user: Gardener) -> bool:
    return bool((user.home / "etc/subuid").read_text())


def test_container_runs_for_an_ordinary_user(gardener: Gardener) -> None:
    said = gardener.run(
        """
        box = client.run(spec)
        who = shell(box, "id -u; id -g; cat /proc/self/uid_map /proc/self/setgroups")
        shell(box, "echo fern > /plant; rm /etc/group; mkdir /tmp/deep")
        info = box.info
        owner = os.stat(info.upper + "/plant").st_uid
        box.stop(timeout_s=1)
        box.start()
        again = shell(box, "cat /plant; test -e /etc/group || echo gone")
        box.remove(force=True)
        show([who, owner, again, os.path.exists(info.upper), info.warnings])
        """
    )
    (who, code), owner, again, is_left, warnings = said
    uid, gid, *maps, setgroups = who.split()
    assert (uid, gid, code) == ("0", "0", 0)
    one = ["0", str(UID), "1"]
    if has_range(gardener):
        assert (maps, setgroups) == ([*one, "1", str(FIRST), str(COUNT - 1)], "allow")
    else:
        assert (maps, setgroups) == (one, "deny")
    assert owner == UID
    assert again == ["fern\ngone", 0]
    assert (is_left, warnings) == (False, [])


def test_other_users_inside_need_subordinate_ids(gardener: Gardener) -> None:
    said = gardener.run(
        """
        box = client.run(spec)
        try:
            found = shell(box, "touch /tmp/own; stat -c %u /tmp/own; id -G", user="plant")
            found = [*found, os.stat(box.info.upper + "/tmp/own").st_uid]
        except WardianError as error:
            found = [error.what, error.hint]
        show(found)
        """
    )
    if has_range(gardener):
        assert said == ["1000\n1000 2000", 0, FIRST + 999]
    else:
        assert said[0].startswith("cannot run as 1000:1000")
        assert "maps fewer ids" in said[1]


def test_root_inside_is_no_more_than_the_user_outside(gardener: Gardener) -> None:
    said = gardener.run(
        """
        Path(os.environ["WARDIAN_ROOT"], "own").write_text("untouched")
        binds = (
            Bind(source="/etc", target="/host/etc", read_only=False),
            Bind(source="/proc/sys/kernel", target="/host/kernel", read_only=False),
        )
        box = client.run(replace(spec, binds=binds))
        tried = {
            command: shell(box, command)[1]
            for command in (
                "echo x >> /host/etc/passwd",
                "cat /host/etc/shadow",
                "echo x > /host/kernel/core_pattern",
                "mount -t tmpfs none /mnt",
                "chown 12345 /root",
                "mknod /null c 1 3",
            )
        }
        show(tried)
        """
    )
    assert said.pop("chown 12345 /root") == (0 if has_range(gardener) else 1)
    assert all(said.values()), said


def test_pipes_terminals_tmpfs_and_binds_work_as_for_root(gardener: Gardener) -> None:
    said = gardener.run(
        """
        shared = Path(os.environ["WARDIAN_ROOT"]).parent / "state/shared"
        shared.mkdir()
        (shared / "fern").write_text("green")
        box = client.run(replace(
            spec,
            binds=(Bind(source=str(shared), target="/shared", read_only=False),),
            tmpfs=(Tmpfs(target="/scratch", size_bytes=1 << 20),),
            process=ProcessSpec(argv=("sh", "-c", "echo logged; exec sleep 1000")),
        ))
        found = shell(box, "cat /shared/fern; echo moss > /shared/new; touch /scratch/x")
        process = box.spawn(ProcessSpec(argv=("tty",)), terminal=True)
        terminal = os.read(process.terminal_fd, 100).decode().strip()
        process.wait(10)
        process.close()
        show([found, (shared / "new").read_text(), terminal])
        import shutil
        box.remove(force=True)
        shutil.rmtree(shared)
        """
    )
    assert said == [["green", 0], "moss\n", "/dev/pts/0"]


def test_what_only_root_can_give_is_refused_with_a_reason(gardener: Gardener) -> None:
    said = gardener.run(
        """
        refused = []
        for wrong in (
            replace(spec, user_namespace=UserNamespace.HOST),
            replace(spec, limits=Limits(memory_bytes=64 << 20)),
        ):
            try:
                client.run(wrong)
            except WardianError as error:
                refused.append([error.what, error.hint])
        box = client.run(replace(spec, limits=Limits(memory_bytes=64 << 20), best_effort=True))
        show([refused, box.info.warnings, shell(box, "echo lives")])
        """
    )
    refused, warnings, alive = said
    assert refused[0][0].startswith("only root can run a container without a user namespace")
    what, hint = refused[1]  # no cgroup is delegated to this user
    assert what.startswith("this host cannot enforce: memory")
    assert re.match(r"sudo .*(Delegate=|cgroup.procs).*; or leave the limit out, or", hint)
    assert warnings and warnings[0].startswith("memory")
    assert alive == ["lives", 0]


def test_limits_are_in_force_where_cgroups_are_delegated(gardener: Gardener) -> None:
    here = Hierarchy.detect()
    with delegated(here) as groups:
        said = gardener.run(
            """
            limits = Limits(memory_bytes=64 << 20, pids=32, cpus=0.5)
            box = client.run(replace(spec, limits=limits))
            info = box.info
            where = list(info.cgroups.values())
            v1 = ("memory.limit_in_bytes", "pids.max", "cpu.cfs_quota_us")
            names = {*v1, "memory.max", "cpu.max"}
            files = [Path(folder, name) for folder in where for name in names]
            found = [file.read_text().split()[0] for file in files if file.exists()]
            eaten = shell(box, "x=x; while :; do x=$x$x; done")[1]
            box.pause()
            paused = box.info.status.value
            box.unpause()
            box.update(Limits(memory_bytes=96 << 20, pids=16))
            again = [file.read_text().split()[0] for file in files if file.exists()]
            told, patience = [], time.monotonic() + 20
            while "oom" not in told and time.monotonic() < patience:
                told = [event.action for event in client.events(since=1.0, until=time.time())]
            box.remove(force=True)
            show([where, found, eaten, paused, again, "oom" in told, info.warnings])
            """,
            groups,
        )
        where, found, eaten, paused, again, was_told, warnings = said
        assert len(where) == len(groups)
        for group in groups:
            assert any(Path(folder).is_relative_to(group) for folder in where)
        assert sorted(found) == sorted([str(64 << 20), "32", "50000"])
        assert (eaten, paused, was_told, warnings) == (137, "paused", True, [])
        assert {str(96 << 20), "16"} < set(again) and "50000" not in again
        wait_until(lambda: keeper_pid(gardener.state) is None)


def test_killed_keeper_of_a_user_is_replaced(gardener: Gardener) -> None:
    gardener.run("client.run(spec); show(None)")
    keeper = keeper_pid(gardener.state)
    assert keeper is not None
    os.kill(keeper, 9)
    wait_until(lambda: keeper_pid(gardener.state) is None)
    said = gardener.run(
        """
        box = client.container("box")
        show([box.info.status.value, shell(box, "echo lives")])
        """
    )
    assert said == ["running", ["lives", 0]]


def test_volumes_of_an_ordinary_user_are_filled_backed_up_and_removed(gardener: Gardener) -> None:
    shell_layer = gardener.home / "layer"
    (shell_layer / "data").mkdir()
    (shell_layer / "data/leaf").write_text("green")
    os.chown(shell_layer / "data", UID, UID)
    said = gardener.run(
        """
        import io
        from wardian.runtime.filling import restore, save
        from wardian.runtime import messages as m, volume_messages as v
        from wardian.storage.volume import VolumeMount, VolumeRequest
        from wardian.storage.volumes import Volumes

        mounts = (VolumeMount(target="/data", name="data"), VolumeMount(target="/own"))
        box = client.run(replace(spec, volumes=mounts))
        filled = shell(box, "cat /data/leaf; echo fern > /data/plant; cp /data/leaf /own")
        shell(box, "chown plant /data/plant; chmod 700 /data; chown plant /data")
        backup = io.BytesIO()
        save(client, "data", backup)
        request = v.CreateVolumeCall(VolumeRequest(name="copy"))
        client.call("create_volume", request, v.VolumeInfo)
        backup.seek(0)
        restore(client, "copy", backup)
        box.remove(force=True, volumes=True)
        copy = (VolumeMount(target="/data", name="copy", read_only=True),)
        box = client.run(replace(spec, volumes=copy))
        again = shell(box, "cat /data/plant; stat -c '%u %a' /data /data/plant")
        box.remove(force=True)
        for name in Volumes(client.root).names():
            client.call("remove_volume", m.NameCall(name), type(None))
        left = os.listdir(client.root / "volumes")
        tmpfs = VolumeRequest(name="memory", options={"type": "tmpfs"})
        try:
            client.call("create_volume", v.CreateVolumeCall(tmpfs), v.VolumeInfo)
        except WardianError as error:
            show([filled, again, left, error.what])
        """
    )
    owner = 1000 if has_range(gardener) else 0
    assert said == [
        ["green", 0],
        [f"fern\n{owner} 700\n{owner} 644", 0],
        [],
        "only root can make a volume of type tmpfs",
    ]
