"""Mount options, devices, kernel parameters and what is hidden, by docker's flags."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.linux.conftest import wait_until
from tests.linux.program import IMAGE, Wardian, out, refused
from wardian.linux.security_module import SecurityModule, is_active

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts on the host")


def sh(wardian: Wardian, *flags: str, script: str) -> str:
    return out(wardian("run", "--rm", *flags, IMAGE, "sh", "-c", script))


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    """A shared mount with another below it."""
    top = tmp_path / "tree"
    top.mkdir()
    top.chmod(0o777)
    subprocess.run(["mount", "-t", "tmpfs", "tree", top], check=True)
    subprocess.run(["mount", "--make-shared", top], check=True)
    for name in ("below", "later"):
        (top / name).mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "below", top / "below"], check=True)
    yield top
    subprocess.run(["umount", "-R", top], check=True)


@needs_root
def test_read_only_counts_below_unless_it_is_asked_for_the_top_alone(
    wardian: Wardian, tree: Path
) -> None:
    script = "for at in /t /t/below; do touch $at/x 2>/dev/null && echo $at; done; true"
    for word in ("ro", "rro"):
        assert sh(wardian, "-v", f"{tree}:/t:{word}", script=script) == ""
    mount = f"type=bind,src={tree},dst=/t,readonly,bind-recursive=writable"
    assert sh(wardian, "--userns=host", "--mount", mount, script=script) == "/t/below\n"
    assert not (tree / "x").exists()
    flags = sh(wardian, "-v", f"{tree}:/t:noexec", script="grep ' /t ' /proc/mounts")
    assert {"noexec", "nosuid", "nodev"} <= set(flags.split()[3].split(","))


@needs_root
def test_later_mount_of_the_host_is_seen_only_where_propagation_is_asked_for(
    wardian: Wardian, tree: Path
) -> None:
    for name, options in (("apart", "rw"), ("slave", "rslave")):
        flags = ("--name", name, "-v", f"{tree}:/t:{options}")
        out(wardian("run", "-d", *flags, IMAGE, "sleep", "1000"))
    subprocess.run(["mount", "-t", "tmpfs", "later", tree / "later"], check=True)
    (tree / "later/leaf").touch()
    assert out(wardian("exec", "slave", "ls", "/t/later")) == "leaf\n"
    assert out(wardian("exec", "apart", "ls", "/t/later")) == ""
    (info,) = json.loads(out(wardian("inspect", "slave")))
    assert info["Mounts"][0]["Propagation"] == "rslave"
    wardian("rm", "-f", "apart", "slave")


@needs_root
def test_mount_of_a_container_reaches_the_host_only_through_a_shared_bind(
    wardian: Wardian, tree: Path
) -> None:
    powers = ("--cap-add", "SYS_ADMIN", "--userns=host")
    for options, is_seen in (("rw", False), ("rslave", False), ("rshared", True)):
        script = "mount -t tmpfs mine /t/later && touch /t/later/leaf && echo done && sleep 1000"
        flags = ("--name", "mounter", "-v", f"{tree}:/t:{options}")
        out(wardian("run", "-d", *powers, *flags, IMAGE, "sh", "-c", script))
        wait_until(lambda: "done" in out(wardian("logs", "mounter")))
        assert (tree / "later/leaf").exists() is is_seen, options
        out(wardian("rm", "-f", "mounter"))
        if is_seen:
            subprocess.run(["umount", tree / "later"], check=True)


def test_tmpfs_takes_its_options(wardian: Wardian) -> None:
    script = "cp /bin/busybox /t/true && /t/true && echo runs; grep ' /t ' /proc/mounts"
    usual = wardian("run", "--rm", "--tmpfs", "/t", IMAGE, "sh", "-c", script)
    assert "/t/true: Permission denied" in usual.stderr
    found = sh(wardian, "--tmpfs", "/t:exec,size=8m,nr_inodes=50,mode=700", script=script)
    assert found.startswith("runs")
    assert {"size=8192k", "nr_inodes=50", "mode=700"} <= set(found.split()[4].split(","))
    done = wardian("run", "--rm", "--tmpfs", "/t:ro", IMAGE, "touch", "/t/x")
    assert "Read-only" in done.stderr


def test_device_is_shown_and_can_be_opened(wardian: Wardian, fuse: Path) -> None:
    script = "test -c /dev/leaf && exec 3<>/dev/leaf && echo open"
    assert sh(wardian, "--device", f"{fuse}:/dev/leaf:rw", script=script) == "open\n"
    hidden = wardian("run", "--rm", IMAGE, "test", "-e", "/dev/fuse")
    assert hidden.returncode == 1


def test_device_that_is_none_or_half_of_one_is_refused(wardian: Wardian, tmp_path: Path) -> None:
    for word, said in (
        ("/nowhere", "not a device of this host"),
        (str(tmp_path), "not a device of this host"),
        ("/dev/null:/dev/x:r", "cannot enforce 'r'"),
        ("/dev/null:x:y:z", "not a device"),
    ):
        assert said in refused(wardian("run", "--rm", "--device", word, IMAGE, "true"), 125)


def test_parameters_of_its_own_namespaces_are_set(wardian: Wardian) -> None:
    given = {"net.ipv4.ip_forward": "1", "kernel.shmmni": "77", "fs.mqueue.msg_max": "20"}
    flags = [word for name, value in given.items() for word in ("--sysctl", f"{name}={value}")]
    paths = " ".join(f"/proc/sys/{name.replace('.', '/')}" for name in given)
    assert sh(wardian, *flags, script=f"cat {paths}").split() == list(given.values())
    names = ("--domainname", "garden", "--hostname", "rose")
    assert sh(wardian, *names, script="cat /proc/sys/kernel/domainname; hostname") == (
        "garden\nrose\n"
    )


def test_parameters_of_the_machine_are_refused_by_name(wardian: Wardian) -> None:
    before = Path("/proc/sys/kernel/pid_max").read_text()
    for flags, said in (
        (("--sysctl", "kernel.pid_max=99"), "kernel.pid_max is not in a separate"),
        (("--sysctl", "vm.swappiness=1"), "vm.swappiness is not in a separate"),
        (("--sysctl", "net.ipv4.ip_forward=1", "--network=host"), "the network namespace"),
        (("--sysctl", "kernel.shmmni=9", "--ipc=host"), "the IPC namespace"),
        (("--sysctl", "net.../../kernel/x=1"), "not a kernel parameter"),
        (("--sysctl", "net.nosuch=1"), "cannot set the sysctl net.nosuch"),
        (("--sysctl", "net.ipv4.ip_forward"), "not a kernel parameter"),
    ):
        assert said in refused(wardian("run", "--rm", *flags, IMAGE, "true"), 125)
    assert Path("/proc/sys/kernel/pid_max").read_text() == before
    assert out(wardian("ps", "-aq")) == ""


def test_system_paths_are_hidden_unless_they_are_asked_for(wardian: Wardian) -> None:
    script = "wc -c </proc/keys; grep -c ' /proc/' /proc/mounts"
    hidden = sh(wardian, script=script).split()
    shown = sh(wardian, "--security-opt", "systempaths=unconfined", script=f"{script}; true")
    assert int(hidden[1]) > 5
    assert shown.split()[1] == "0"


def test_privileged_container_has_all_that_its_user_namespace_has(wardian: Wardian) -> None:
    script = "grep -E '^(CapEff|Seccomp):' /proc/self/status; mount -t tmpfs x /mnt && echo mounted"
    found = sh(wardian, "--privileged", "--tmpfs", "/mnt", script=script).split()
    assert int(found[1], 16) >> 21 & 1
    assert found[2:] == ["Seccomp:", "0", "mounted"]


def test_id_file_is_written_once(wardian: Wardian, tmp_path: Path) -> None:
    path = tmp_path / "id"
    container_id = out(wardian("run", "-d", "--cidfile", str(path), IMAGE, "sleep", "1000"))
    assert path.read_text() == container_id.strip()
    again = wardian("run", "--rm", "--cidfile", str(path), IMAGE, "true")
    assert "cannot make the container id file" in refused(again, 125)
    failed = tmp_path / "failed"
    refused(wardian("run", "--cidfile", str(failed), "no/such-image:1", "true"), 125)
    assert not failed.exists()


def test_security_modules_that_are_not_there_are_said(wardian: Wardian) -> None:
    for option, module in (
        ("apparmor=mine", SecurityModule.APPARMOR),
        ("label=type:t", SecurityModule.SELINUX),
    ):
        said = refused(wardian("run", "--rm", "--security-opt", option, IMAGE, "true"), 125)
        if not is_active(module):
            assert f"needs {module.value}, which is not active" in said
    assert "not an AppArmor profile" in refused(
        wardian("run", "--rm", "--security-opt", "apparmor=a b", IMAGE, "true"), 125
    )
    fine = ("--security-opt", "apparmor=unconfined", "--security-opt", "label=disable")
    assert sh(wardian, *fine, script="echo fine") == "fine\n"
