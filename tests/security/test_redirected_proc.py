"""CVE-2025-52881, CVE-2019-19921: what the runtime writes to /proc goes elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.linux.conftest import shell, wait_until
from wardian.runtime.client import Client
from wardian.runtime.spec import ContainerSpec, ProcessSpec

pytestmark = pytest.mark.usefixtures("untouched")


def test_tmpfs_over_proc_redirects_no_write_of_the_runtime(
    client: Client, spec: ContainerSpec
) -> None:
    """A container that may mount covers what a runtime writes to: the process's attr and scores."""
    able = replace(spec, cap_add=("SYS_ADMIN",), seccomp="unconfined")
    box = client.run(able)
    script = """
        mount -t tmpfs cover /proc/1 && mount -t tmpfs cover /proc/sys && mount -t tmpfs cover /dev
        mkdir -p /proc/1/attr /proc/sys/kernel
        touch /proc/1/oom_score_adj /proc/1/attr/exec; ln -s /proc/1 /tmp/self; echo covered
        mount --bind /proc/1 /proc/self 2>/dev/null; true
    """
    assert shell(box, script) == (0, "covered\n")
    spawned = box.spawn(ProcessSpec(argv=("sleep", "1000"), oom_score_adj=300), {})
    score = Path(f"/proc/{spawned.host_pid}/oom_score_adj")
    wait_until(lambda: score.read_text() == "300\n")
    assert shell(box, "cat /proc/1/oom_score_adj /proc/1/attr/exec; find /proc/sys -type f") == (
        0,
        "",
    )
    spawned.close()
