"""AppArmor profiles and SELinux labels, on the kernel's own files; what is said without them."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.linux.child import in_child
from tests.linux.conftest import shell
from wardian.errors import KernelRefused, SetupError
from wardian.linux.security_module import SecurityModule, is_active, set_exec_label
from wardian.runtime.client import Client
from wardian.runtime.spec import ContainerSpec, ProcessSpec

APPARMOR, SELINUX = SecurityModule.APPARMOR, SecurityModule.SELINUX
UNKNOWN = "no-such-profile-wardian"


def tried(module: SecurityModule, label: str) -> list[object]:
    """The errno of labelling a child by the kernel's own file, and what that file tells then."""

    def deed() -> list[object]:
        try:
            set_exec_label(module, label)
        except KernelRefused as error:
            return [error.errno, ""]
        own = Path("/proc/self/attr/apparmor/exec")
        return [
            0,
            (own if own.exists() else Path("/proc/self/attr/exec")).read_text().strip("\0\n"),
        ]

    return list(in_child(deed))


@pytest.mark.parametrize("module", SecurityModule)
def test_kernel_takes_a_label_only_from_an_active_module(module: SecurityModule) -> None:
    if module is APPARMOR and is_active(APPARMOR):
        assert tried(module, "unconfined") == [0, "unconfined"]
        assert tried(module, UNKNOWN) == [errno.ENOENT, ""]
    elif not is_active(module):
        assert tried(module, "unconfined")[0] in (errno.EINVAL, errno.ENOENT, errno.EOPNOTSUPP)
    else:
        assert tried(module, "none:of:these:s0")[0] == errno.EINVAL


def test_file_that_is_not_the_kernels_is_not_written(tmp_path: Path) -> None:
    """CVE-2019-16884: a container's own files in place of /proc."""
    (tmp_path / "apparmor").mkdir()
    for name in ("exec", "apparmor/exec"):
        (tmp_path / name).write_text("untouched")
    for module in SecurityModule:
        with pytest.raises(KernelRefused) as refused:
            set_exec_label(module, "mine", tmp_path)
        assert refused.value.errno == errno.ENOTSUP
    (tmp_path / "exec").unlink()
    (tmp_path / "exec").symlink_to("/proc/self/attr/exec")
    with pytest.raises(KernelRefused) as refused:
        set_exec_label(SELINUX, "mine", tmp_path)
    assert refused.value.errno == errno.ELOOP
    assert (tmp_path / "apparmor/exec").read_text() == "untouched"


def test_module_is_known_by_its_own_files(tmp_path: Path) -> None:
    assert not any(is_active(module, tmp_path) for module in SecurityModule)
    parameters = tmp_path / "module/apparmor/parameters"
    parameters.mkdir(parents=True)
    (parameters / "enabled").write_text("N\n")
    assert not is_active(APPARMOR, tmp_path)
    (parameters / "enabled").write_text("Y\n")
    assert is_active(APPARMOR, tmp_path)
    (tmp_path / "fs/selinux").mkdir(parents=True)
    (tmp_path / "fs/selinux/enforce").write_text("1")
    assert is_active(SELINUX, tmp_path)


def test_profile_is_in_force_or_no_container_is_made(client: Client, spec: ContainerSpec) -> None:
    if not is_active(APPARMOR):
        with pytest.raises(SetupError, match="needs AppArmor, which is not active"):
            client.run(replace(spec, apparmor="unconfined"))
        assert client.list() == []
        return
    with pytest.raises(SetupError, match=f"AppArmor has no profile '{UNKNOWN}'"):
        client.run(replace(spec, apparmor=UNKNOWN))
    box = client.run(replace(spec, apparmor="unconfined"))
    for options in ({}, {"user": "1000:1000"}):  # by posix_spawn and by fork
        told = shell(box, "cat /proc/self/attr/current", **options)
        assert told == (0, "unconfined\n")
    with box.spawn(ProcessSpec(argv=("sleep", "1000"))) as process:
        process.signal(9)
