"""Every probe in its order, and the report that they make up."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from wardian.cgroups.hierarchy import Hierarchy
from wardian.errors import WardianError
from wardian.runtime.probes import layers, limits, senses, spaces, walls
from wardian.runtime.probes.attempt import Result
from wardian.runtime.probes.finding import Finding, Host, Outcome, Report
from wardian.runtime.probes.host import look
from wardian.storage import driver
from wardian.storage.driver import Driver

OLDEST_KERNEL = (5, 11)  # overlayfs in user namespaces
GIB = 1 << 30


def report(root: str) -> Report:
    """Try everything; ``root`` is the state directory."""
    directory = Path(root)
    host = look(directory)
    return Report(host=host, findings=tuple(_findings(host, directory)))


def _findings(host: Host, root: Path) -> Iterator[Finding]:
    yield _kernel(host)
    yield _finding("system calls", walls.system_calls())
    state, place = layers.state_directory(root)
    yield _state_directory(state, place, host)
    user_namespace = _finding("user namespace", spaces.user_namespace())
    yield user_namespace
    for name, tried in _in_user_namespace().items():
        yield tried() if user_namespace.works else _untried(name, user_namespace.name)
    yield from _in_state_directory(
        root, is_writable=state.works, has_user_namespace=user_namespace.works
    )
    yield _finding("/dev/fuse", senses.fuse())
    for name, result in limits.limits(Hierarchy.detect()):
        yield _finding(name, result)
    yield from _confinement(host)
    yield _finding("rootless network", senses.rootless_network())
    yield _finding("process events", senses.process_events())
    yield _finding("pressure", senses.pressure())
    yield from _images()


def _finding(name: str, result: Result) -> Finding:
    outcome = Outcome.WORKS if result.works else Outcome.MISSING
    return Finding(name=name, outcome=outcome, detail=result.detail, errno=result.errno)


def _kernel(host: Host) -> Finding:
    is_new = host.kernel >= OLDEST_KERNEL
    return Finding(
        name="kernel",
        outcome=Outcome.WORKS if is_new else Outcome.MISSING,
        detail=f"{host.release} {host.machine}",
    )


def _state_directory(result: Result, place: layers.Place, host: Host) -> Finding:
    if not result.works:
        return Finding(
            name="state directory",
            outcome=Outcome.MISSING,
            detail=f"{host.root}: {result.detail}",
            errno=result.errno,
        )
    is_good = place.free_bytes >= layers.LOW_SPACE_BYTES and place.is_executable
    where = f"{host.root} on {host.root_filesystem}, {place.free_bytes / GIB:.1f} GiB free"
    return Finding(
        name="state directory",
        outcome=Outcome.WORKS if is_good else Outcome.PARTLY,
        detail=where if place.is_executable else f"{where}, mounted noexec",
    )


def _id_maps() -> Finding:
    result, count = layers.id_maps()
    finding = _finding("id maps", result)
    if finding.works and count == 1:
        return Finding(name=finding.name, outcome=Outcome.PARTLY, detail=finding.detail)
    return finding


def _in_user_namespace() -> dict[str, Callable[[], Finding]]:
    """What is tried as root of a user namespace, as a container's init does it."""
    tries: dict[str, Callable[[], Result]] = {
        **{name: partial(spaces.own_namespace, flag) for name, flag in spaces.KINDS.items()},
        "fresh /proc": spaces.fresh_proc,
        "/sys of one's own": spaces.network_files,
        "tmpfs": spaces.tmpfs,
        "terminals": spaces.terminals,
        "message queues": spaces.ipc_queue_files,
        "pivot_root": spaces.pivot_root,
        "overlay": spaces.overlay,
        "overlay of many layers": partial(spaces.overlay, spaces.MANY_LAYERS),
        "loopback": spaces.loopback,
        "nf_tables": senses.firewall,
    }
    findings = {name: partial(_try, name, tried) for name, tried in tries.items()}
    return {"id maps": _id_maps, **findings}


def _try(name: str, tried: Callable[[], Result]) -> Finding:
    return _finding(name, tried())


def _untried(name: str, needs: str) -> Finding:
    return Finding(
        name=name, outcome=Outcome.MISSING, detail=f"not tried without a {needs}", needs=needs
    )


def _in_state_directory(
    root: Path, *, is_writable: bool, has_user_namespace: bool
) -> Iterator[Finding]:
    tries = {
        "layers on the state directory": layers.state_overlay,
        "fuse-overlayfs": layers.fuse_overlay,
        "id-mapped layers": layers.id_mapped_layers,
        "file events": senses.file_events,
    }
    has_overlay = False
    for name, tried in tries.items():
        if not is_writable:
            yield _untried(name, "state directory")
        elif not has_user_namespace and tried is not senses.file_events:
            yield _untried(name, "user namespace")
        else:
            with layers.scratch_below(root) as scratch:
                finding = _finding(name, tried(scratch))
            yield finding
            has_overlay = has_overlay or (tried is layers.state_overlay and finding.works)
            if tried is layers.fuse_overlay:
                rest = Driver.FUSE if finding.works else Driver.NATIVE
                yield _storage_driver(root, Driver.OVERLAY if has_overlay else rest)


def _storage_driver(root: Path, best: Driver) -> Finding:
    """The one that the state root has, or would get."""
    try:
        known, wanted = driver.recorded(root), driver.asked()
    except WardianError as error:
        return Finding(name="storage driver", outcome=Outcome.PARTLY, detail=error.what)
    why = "recorded" if known else ("asked for" if wanted else "the best here")
    name = (known or wanted or best).value
    return Finding(name="storage driver", outcome=Outcome.WORKS, detail=f"{name} ({why})")


def _confinement(host: Host) -> Iterator[Finding]:
    yield _finding("seccomp", walls.default_filter())
    yield _finding("libseccomp", walls.filter_compiler())
    yield _finding("no_new_privs", walls.no_new_privileges())
    yield _finding("Landlock", walls.landlock_rules())
    if host.is_root:
        lacking = walls.lacking_capabilities()
        yield Finding(
            name="capabilities",
            outcome=Outcome.PARTLY if lacking else Outcome.WORKS,
            detail=f"root here lacks {', '.join(lacking)}" if lacking else "all",
        )


def _images() -> Iterator[Finding]:
    from wardian.images.base import PATH, PROGRAMS

    missing = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    has_shell = not {"bash", "sh"} <= set(missing)
    detail = f"{len(PROGRAMS) - len(missing)} of {len(PROGRAMS)} programs"
    yield Finding(
        name="wardian/base",
        outcome=Outcome.WORKS if has_shell else Outcome.MISSING,
        detail=f"{detail}; not here: {', '.join(missing)}" if missing else detail,
    )
    yield _finding("wardian/busybox", senses.program("busybox"))
