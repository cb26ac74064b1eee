"""The container's first process, from clone3 to the user's program: PID 1 is nobody else."""

from __future__ import annotations

import array
import fcntl
import os
import select
import signal
import socket
import stat
import termios
from contextlib import suppress
from typing import NoReturn

import msgspec

from wardian.errors import CommandFailed, InvalidInput, SetupError, WardianError
from wardian.linux import mount as mnt
from wardian.linux import namespaces, process
from wardian.linux.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, openat2
from wardian.linux.statfs import PROC_SUPER_MAGIC, file_system_type
from wardian.linux.syscall import syscall
from wardian.oci import hooks, identity, mounts, scheduling
from wardian.oci import process as oci_process
from wardian.oci.config import Config, ConsoleSize, Device, Process
from wardian.runtime import rootfs
from wardian.runtime.terminal import open_terminal

MS_MOVE = 8192
CLOSE_RANGE_CLOEXEC = 4
KEYCTL_JOIN_SESSION_KEYRING = 1
DEVICES = {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}
LINKS = {
    "ptmx": "pts/ptmx",
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}
_SYSCTLS = {
    "ipc": ("kernel/msg", "kernel/sem", "kernel/shm", "fs/mqueue/"),
    "network": ("net/",),
    "uts": ("kernel/domainname",),
}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the first process needs to know beside config.json."""

    config: Config
    bundle: str
    admission: tuple[int, ...]
    cgroups: dict[str, str]
    maps: tuple[int | None, ...]  # a user namespace for each mount that has id maps of its own
    fifo: int
    outcome: int
    seccomp: oci_process.Filter | None
    console: socket.socket | None
    preserve_fds: int
    no_pivot: bool
    new_keyring: bool
    is_placed_later: bool


def main(plan: Plan, sync: socket.socket) -> None:
    """Set everything up, wait for `start`, become the program."""
    spec, own = plan.config.process, identity.capabilities_of(plan.config)
    _come_to(plan, sync)
    null_fd = mounts.null_device()
    root_fd = _build(plan)
    _set_names(plan, root_fd)
    for path in plan.config.linux.readonlyPaths:
        mounts.make_read_only(root_fd, path)
    for path in plan.config.linux.maskedPaths:
        mounts.mask(root_fd, path, null_fd)
    state = ask(sync, b"mounted")
    hooks.run(plan.config.hooks.createContainer, state, "createContainer")
    _pivot(plan, root_fd)
    if spec is None:
        ask(sync, b"ready")
        _wait(plan.fifo)
        raise InvalidInput("config.json has no process to start")
    _finish_root(plan, spec, root_fd)
    oci_process.enter(spec)
    path = oci_process.find(spec)
    ask(sync, b"ready")
    _wait(plan.fifo)
    _begin(plan, spec, path, own, state | {"status": "created"})


def _come_to(plan: Plan, sync: socket.socket) -> None:
    """Be in our cgroup and namespaces, as root of our own; what needs the host's /proc is done."""
    has_own_ids = identity.makes_user_namespace(plan.config)
    if os.geteuid() == 0 or not has_own_ids:  # else its maps are for our user to write
        process.set_dumpable(False)
    if plan.is_placed_later:
        ask(sync, b"unplaced")
    _settle(plan)
    os.umask(0)
    if plan.config.process is not None:
        oci_process.adjust(plan.config.process)
    if has_own_ids:
        ask(sync, b"unmapped")
    if identity.has_user_namespace(plan.config):
        process.become_root()


def _finish_root(plan: Plan, spec: Process, root_fd: int) -> None:
    """What is done to the root when we are in it."""
    os.setsid()
    if plan.console is not None:
        give_terminal(plan.console, root_fd, spec.consoleSize)
    if plan.config.root.readonly:
        mnt.mount_setattr(root_fd, attr_set=mnt.MOUNT_ATTR_RDONLY)
    if (word := plan.config.linux.rootfsPropagation) != "private":
        mnt.mount("none", "/", None, mounts.PROPAGATION[word])
    os.close(root_fd)
    if plan.config.linux.personality is not None:
        scheduling.set_personality(plan.config.linux.personality)
    if plan.config.linux.memoryPolicy is not None:
        scheduling.set_memory_policy(plan.config.linux.memoryPolicy)


def _begin(plan: Plan, spec: Process, path: str, own: int, state: dict[str, object]) -> NoReturn:
    """From `start` to the program; `start` hears what goes wrong, or that all is closed."""
    try:
        hooks.run(plan.config.hooks.startContainer, state, "startContainer")
        program = plan.seccomp
        if program is not None:
            program = program.of(int(str(state["pid"])), state)
        finish(spec, path, program, own, plan.preserve_fds)
    except Exception as error:  # noqa: BLE001  # `start` must hear of it
        code = error.exit_code if isinstance(error, CommandFailed) else 1
        what = error.what if isinstance(error, WardianError) else f"cannot start: {error}"
        with suppress(OSError):
            os.write(plan.outcome, f"{code}\n{what}".encode(errors="replace")[:4000])
        os._exit(code)


def _settle(plan: Plan) -> None:
    """Be in our cgroup and namespaces, with a keyring of our own."""
    for fd in plan.admission:
        os.write(fd, b"0")
        os.close(fd)
    kinds = {each.type: each.path for each in plan.config.linux.namespaces}
    if kinds.get("cgroup") == "":
        namespaces.unshare(namespaces.CLONE_NEWCGROUP)
    if kinds.get("network") == "":
        namespaces.bring_up_loopback()
    if plan.new_keyring:  # keyctl(2): else the host's session keyring would be the container's
        syscall("keyctl", KEYCTL_JOIN_SESSION_KEYRING, 0)


def finish(
    spec: Process, path: str, program: oci_process.Filter | None, own: int, preserve_fds: int
) -> NoReturn:
    """From privileged to the program: signals, descriptors, ids, capabilities, filter."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for fd in range(3, 3 + preserve_fds):
        os.set_inheritable(fd, True)  # noqa: FBT003
    # All that is left closes on exec, the sockets to whoever waits for us, too.
    syscall("close_range", 3 + preserve_fds, 0xFFFFFFFF, CLOSE_RANGE_CLOEXEC)
    env = oci_process.environment(spec)
    process.give_streams(spec.user.uid, terminal=spec.terminal)
    # From here on nothing but what the filter of a program that only execs would allow.
    oci_process.confine(spec, program, own)
    oci_process.become(spec, path, env)


def ask(sync: socket.socket, word: bytes) -> dict[str, object]:
    """Say how far we are and wait for the answer; without one there is nobody to go on for."""
    sync.send(word)
    answer = sync.recv(1 << 18)
    if not answer:
        os._exit(1)  # who made us is gone
    state: dict[str, object] = msgspec.json.decode(answer)
    return state


def _wait(fifo: int) -> None:
    """Until `start` writes a byte: with no writer yet, poll(2) sleeps."""
    poll = select.poll()
    poll.register(fifo, select.POLLIN)
    word = b""
    while not word:
        poll.poll()
        with suppress(BlockingIOError):
            word = os.read(fifo, 1)
    os.close(fifo)


def _build(plan: Plan) -> int:
    config = plan.config
    root = os.path.realpath(os.path.join(plan.bundle, config.root.path))
    # Nothing that we mount goes to the host; what the host mounts comes only if that is wanted.
    is_slave = "slave" in config.linux.rootfsPropagation
    mnt.mount("none", "/", None, mnt.MS_REC | mnt.MS_SLAVE)
    if not is_slave:
        mnt.make_rprivate()
    mnt.mount(root, root, None, mnt.MS_BIND | mnt.MS_REC)
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for mount, userns_fd in zip(config.mounts, plan.maps, strict=True):
        mounts.attach(root_fd, mount, plan.bundle, plan.cgroups, userns_fd)
    has_own_dev = any(mount.destination.rstrip("/") == "/dev" for mount in config.mounts)
    if has_own_dev:
        _make_devices(root_fd)
    for device in config.linux.devices:
        # Its own ptmx is a link (config-linux.md, "Default Devices"), whatever the host's is.
        if not (has_own_dev and device.path == "/dev/ptmx"):
            _make_device(root_fd, device)
    return root_fd


def _make_devices(root_fd: int) -> None:
    for name, minor in DEVICES.items():
        _make_device(root_fd, Device("c", f"/dev/{name}", 1, minor))
    _make_device(root_fd, Device("c", "/dev/tty", 5, 0))
    dev = rootfs.target(root_fd, "dev", directory=True)
    for name, destination in LINKS.items():
        with suppress(FileExistsError):
            os.symlink(destination, name, dir_fd=dev)
    os.close(dev)


def _make_device(root_fd: int, device: Device) -> None:
    kinds = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
    folder, _, name = device.path.rstrip("/").rpartition("/")
    if device.type not in kinds or not device.path.startswith("/") or name in ("", ".", ".."):
        raise InvalidInput(f"config.json: linux.devices {device.type} {device.path[:80]!r}")
    parent = rootfs.target(root_fd, folder, directory=True)
    numbers = os.makedev(max(device.major, 0), max(device.minor, 0))
    mode = kinds[device.type] | device.fileMode
    try:
        os.mknod(name, mode, numbers, dir_fd=parent)
        os.chown(name, device.uid, device.gid, dir_fd=parent, follow_symlinks=False)
    except PermissionError:  # no user namespace but the first may make devices (mknod(2))
        _bind_device(root_fd, device, numbers)
    except FileExistsError:
        there = os.stat(name, dir_fd=parent, follow_symlinks=False)
        same = stat.S_IFMT(there.st_mode) == kinds[device.type]
        if not same or (device.type != "p" and there.st_rdev != numbers):
            raise SetupError(f"{device.path} exists in the root and is another thing") from None
    finally:
        os.close(parent)


def _bind_device(root_fd: int, device: Device, numbers: int) -> None:
    """Show the host's node of the same name, as runc does."""
    flags = mnt.OPEN_TREE_CLONE | mnt.OPEN_TREE_CLOEXEC
    tree = mnt.open_tree(device.path, flags)
    there = os.fstat(tree)
    if there.st_rdev != numbers or stat.S_IFMT(there.st_mode) == stat.S_IFIFO:
        os.close(tree)
        raise SetupError(f"{device.path} cannot be made here, and the host's is another device")
    mnt.mount_setattr(tree, attr_set=mnt.MOUNT_ATTR_NOSUID | mnt.MOUNT_ATTR_NOEXEC)
    rootfs.attach(root_fd, tree, device.path, directory=False)


def _pivot(plan: Plan, root_fd: int) -> None:
    if plan.no_pivot:
        os.fchdir(root_fd)
        mnt.mount(".", "/", None, MS_MOVE)
        os.chroot(".")
        os.chdir("/")
    else:
        rootfs.enter(root_fd)


def _set_names(plan: Plan, root_fd: int) -> None:
    config = plan.config
    for field, name in (("hostname", "kernel.hostname"), ("domainname", "kernel.domainname")):
        wanted, other = getattr(config, field), config.linux.sysctl.get(name)
        if wanted and other is not None and other != wanted:
            raise InvalidInput(f"config.json: {field} and linux.sysctl {name} are not the same")
    if config.hostname:
        namespaces.sethostname(config.hostname)
    if config.domainname:
        namespaces.setdomainname(config.domainname)
    own = {each.type for each in config.linux.namespaces}
    for name, value in config.linux.sysctl.items():
        # sysctl(8): where "/" comes first, a dot belongs to a name (net/ipv4/conf/eth0.1/…).
        path = name if "/" in name.partition(".")[0] else name.replace(".", "/")
        begins = [word for kind in own & set(_SYSCTLS) for word in _SYSCTLS[kind]]
        if not any(path.startswith(word) for word in begins) or ".." in path.split("/"):
            raise InvalidInput(f"config.json: linux.sysctl {name[:60]} is not of its namespaces")
        path = f"proc/sys/{path}"
        how = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS
        fd = openat2(root_fd, path, os.O_WRONLY | os.O_CLOEXEC, resolve=how)
        if file_system_type(fd) != PROC_SUPER_MAGIC:
            raise InvalidInput("config.json: linux.sysctl needs a /proc in the container")
        os.write(fd, value.encode())
        os.close(fd)


def give_terminal(
    console: socket.socket, root_fd: int | None, size: ConsoleSize | None = None
) -> None:
    """Make a terminal ours and send its other end away; show it as /dev/console."""
    master, slave = open_terminal()
    if size is not None:
        termios.tcsetwinsize(slave, (size.height, size.width))
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [master]))]
    console.sendmsg([b"/dev/ptmx"], ancillary)
    os.close(master)
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(slave, fd, inheritable=True)
    if root_fd is not None:
        flags = mnt.OPEN_TREE_CLONE | mnt.OPEN_TREE_CLOEXEC | mnt.AT_EMPTY_PATH
        tree = mnt.open_tree("", flags, dir_fd=slave)
        rootfs.attach(root_fd, tree, "/dev/console", directory=False)
    os.close(slave)
