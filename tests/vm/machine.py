"""A virtual machine with cgroup v2: QEMU in software emulation, the host's tree as its root."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.vm.debian_kernel import DebianKernel, Unavailable

HERE = Path(__file__).parent
VIRTIOFSD = ("/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd")
MODULES = (
    *("virtio_pci", "virtiofs", "virtio_blk", "ext4", "overlay", "veth", "bridge", "tun"),
    *("nf_tables", "nft_chain_nat", "nft_masq", "nft_nat", "nft_ct", "nft_fib_inet"),
    *("nft_meta_bridge", "nf_conntrack_netlink"),
)
MEMORY = "2048M"
# One processor, as two have to agree on every change of a page table; no five-level tables, which
# each look through is longer for; no checks on the kernel's own accesses (SMAP). Together they
# are two fifths of what emulation costs.
PROCESSORS, MODEL = "1", "max,-la57,-smap,-smep,-pku,-umip"
DISK_BYTES = 4 << 30
# On a busy host the emulated timer may not tick while the kernel looks whether it does.
APPEND = "console=ttyS0 quiet panic=-1 mitigations=off init_on_alloc=0 no_timer_check"
NEEDED_PROGRAMS = ("qemu-system-x86_64", "cpio", "modprobe", "depmod", "busybox", "mkfs.ext4")


def virtiofsd() -> str:
    """The host's file server for virtiofs."""
    for path in VIRTIOFSD:
        if os.access(path, os.X_OK):
            return path
    raise Unavailable("no virtiofsd; apt-get install qemu-system-common")


def require() -> None:
    """Raise `Unavailable` with the reason where no machine can be booted."""
    if os.uname().machine != "x86_64":
        raise Unavailable("the guest's kernel is an x86-64 one")
    if os.geteuid() != 0:
        raise Unavailable("virtiofsd serves the host's tree to the guest only as root")
    for program in NEEDED_PROGRAMS:
        if shutil.which(program) is None:
            raise Unavailable(
                f"no {program}; apt-get install qemu-system-x86 kmod cpio busybox-static e2fsprogs"
            )
    virtiofsd()


def initramfs(kernel: DebianKernel, work: Path, script: Path, arguments: list[str]) -> Path:
    """A cpio archive with busybox, the modules and an init that goes on to ``script``."""
    tree = work / "initramfs"
    (tree / "bin").mkdir(parents=True)
    (tree / "modules").mkdir()
    shutil.copy(shutil.which("busybox") or "", tree / "bin/busybox")
    modules = kernel.modules(*MODULES)
    for module in modules:
        shutil.copy(module, tree / "modules")
    (tree / "modules.order").write_text("".join(f"{module.name}\n" for module in modules))
    quoted = " ".join("'" + one.replace("'", "'\\''") + "'" for one in arguments)
    text = (HERE / "guest_init").read_text()
    init = tree / "init"
    init.write_text(text.replace("@SCRIPT@", str(script)).replace("@ARGUMENTS@", quoted))
    init.chmod(0o755)
    names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    archive = work / "initramfs.cpio"
    with archive.open("wb") as out:
        subprocess.run(
            ["cpio", "-o", "-H", "newc", "--quiet"],
            input=names.encode(),
            stdout=out,
            cwd=tree,
            check=True,
        )
    return archive


def disk(work: Path) -> Path:
    """A sparse ext4: the guest's 6.1 has no id-mapped mounts on a tmpfs (since 6.3)."""
    image = work / "disk"
    with image.open("wb") as file:
        file.truncate(DISK_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-O", "^has_journal", image], check=True)
    return image


@contextmanager
def served_root(work: Path) -> Iterator[Path]:
    """A virtiofsd that serves ``/``; gives its socket."""
    socket = work / "fs.sock"
    options = ("source=/", "sandbox=chroot", "cache=always")
    command = [virtiofsd(), f"--socket-path={socket}", *(f"-o{option}" for option in options)]
    with (work / "virtiofsd.log").open("wb") as log:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 10
        while not socket.exists():
            if server.poll() is not None or time.monotonic() > deadline:
                raise Unavailable(f"virtiofsd: {(work / 'virtiofsd.log').read_text().strip()}")
            time.sleep(0.01)
        yield socket
    finally:
        server.terminate()
        server.wait()


def run(
    kernel: DebianKernel, work: Path, script: Path, arguments: list[str], timeout_s: float
) -> str:
    """Boot, run ``script`` as the guest's first program, wait for power-off.

    Gives what the guest wrote to its second serial port; its console is ``work/console.log``.
    """
    archive = initramfs(kernel, work, script, arguments)
    report, console = work / "report", work / "console.log"
    with served_root(work) as socket:
        command = [
            *("qemu-system-x86_64", "-accel", "tcg", "-cpu", MODEL),
            *("-machine", "q35", "-m", MEMORY, "-smp", PROCESSORS, "-nodefaults", "-no-reboot"),
            *("-display", "none", "-serial", f"file:{console}", "-serial", f"file:{report}"),
            *("-object", f"memory-backend-memfd,id=mem,size={MEMORY},share=on"),
            *("-numa", "node,memdev=mem", "-chardev", f"socket,id=fs,path={socket}"),
            *("-device", "vhost-user-fs-pci,chardev=fs,tag=host"),
            *("-drive", f"file={disk(work)},format=raw,if=virtio,cache=unsafe"),
            *("-kernel", str(kernel.image), "-initrd", str(archive)),
            *("-append", APPEND),
        ]
        with (work / "qemu.log").open("wb") as log:
            machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            with suppress(subprocess.TimeoutExpired):
                machine.wait(timeout_s)
        finally:
            machine.kill()
            machine.wait()
    return report.read_text(errors="replace") if report.exists() else ""
