"""The rarer limits: one control file each, under v1, under v2 or under both."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from wardian.cgroups.delegation import why_not_v1
from wardian.cgroups.files import read, words, write
from wardian.cgroups.limits import USUAL_RT_PERIOD, DeviceRate, Limits
from wardian.errors import KernelRefused

# Texts by the file that they are written to.
Files = Mapping[str, str | None]
# Instead of a text to write: what the group above has.
PARENTS = None
# Limits's field, cgroup v1's file, cgroup v2's keyword in io.max.
_RATES = (
    ("device_read_bps", "blkio.throttle.read_bps_device", "rbps"),
    ("device_write_bps", "blkio.throttle.write_bps_device", "wbps"),
    ("device_read_iops", "blkio.throttle.read_iops_device", "riops"),
    ("device_write_iops", "blkio.throttle.write_iops_device", "wiops"),
)


class Setting(msgspec.Struct, frozen=True):
    """A limit as text in a control file: the first of ``v1`` or ``v2`` that the kernel has.

    A file's name begins with its controller's. ``words`` is how the user knows the limit.
    """

    words: str
    v1: Files
    v2: Files

    def file(self, paths: Mapping[str, Path]) -> tuple[Path, str | None] | None:
        """Where it is written and what, in a group that has been made; None if it cannot be."""
        for name, text in self.v1.items():
            folder = paths.get(_controller(name))
            if folder and (folder / name).exists():
                return folder / name, text
        for name, text in self.v2.items():
            folder = paths.get("unified")
            if folder and (folder / name).exists():
                return folder / name, text
        return None

    def why_not(self, paths: Mapping[str, Path]) -> str:
        """What is missing, in a few words."""
        is_v2 = set(paths) == {"unified"}
        names, others = (self.v2, self.v1) if is_v2 else (self.v1, self.v2)
        if not names:
            return f"only cgroup v{1 if is_v2 else 2} has {next(iter(others))}"
        name = next(iter(names))
        controller = _controller(name)
        if is_v2 and controller not in words(paths["unified"] / "cgroup.controllers"):
            return f"the {controller} controller is not delegated to us"
        if not is_v2 and controller not in paths:
            return why_not_v1(controller)
        return f"the kernel has no {name}"


def asked(limits: Limits) -> Iterator[Setting]:
    """Those that are asked for, in the order in which they are written."""
    for name in _PLAIN:
        value = getattr(limits, name)
        if value is not None:
            yield _plain(name, value)
    for field, v1, key in _RATES:
        for rate in getattr(limits, field):
            yield _rate(field, v1, key, rate)
    for pages in limits.hugetlb:
        yield _huge(pages.page_size, str(pages.limit_bytes), str(pages.limit_bytes))


def lift(limits: Limits, paths: Mapping[str, Path]) -> None:
    """Take back what an earlier `put` wrote and is not asked for any more."""
    for name in _PLAIN:
        if getattr(limits, name) is None:
            _write(_plain(name, None), paths)
    _lift_rates(limits, paths)
    kept = {pages.page_size for pages in limits.hugetlb}
    for size in _huge_page_sizes(paths) - kept:
        _write(_huge(size, "-1", "max"), paths)


def lift_burst(paths: Mapping[str, Path]) -> None:
    """No burst for now: a new quota must not be below it, on the way neither."""
    _write(_plain("cpu_burst_usec", None), paths)


def put(limits: Limits, paths: Mapping[str, Path]) -> None:
    """Write those that are asked for; one without a file is skipped (see `missing`)."""
    for setting in asked(limits):
        _write(setting, paths)


def missing(limits: Limits, paths: Mapping[str, Path]) -> list[str]:
    """Which of those that are asked for have no file in the group, which has been made, and why."""
    return [
        f"{setting.words} ({setting.why_not(paths)})"
        for setting in asked(limits)
        if setting.file(paths) is None
    ]


def _write(setting: Setting, paths: Mapping[str, Path]) -> None:
    found = setting.file(paths)
    if found is None:
        return
    path, text = found
    if text is PARENTS:
        text = read(path.parent.parent / path.name)
    with suppress(KernelRefused):  # a file that cannot be read is written to
        if read(path) == text.strip():
            return
    if path.name == "cpu.rt_runtime_us":
        _make_room(path, int(text))
    write(path, text)


def _make_room(path: Path, runtime_usec: int) -> None:
    """A group's real-time runtime comes out of that of the group above, which is 0 when new."""
    above = path.parent.parent / path.name
    if runtime_usec > 0 and above.exists() and int(read(above)) < runtime_usec:
        _make_room(above, runtime_usec)
        write(above, runtime_usec)


# The fields of Limits that are one value.
_PLAIN = (
    "memory_swappiness",
    "oom_kill_disable",
    "memory_high_bytes",
    "oom_group",
    "cpu_burst_usec",
    "cpu_rt_period_usec",
    "cpu_rt_runtime_usec",
    "cpuset_mems",
    "blkio_weight",
)


def _plain(name: str, value: int | str | None) -> Setting:
    """The setting of one field; for None the one that lifts it."""

    def text(usual: str | None) -> str | None:
        return usual if value is None else str(int(value) if isinstance(value, bool) else value)

    weight = 100 if value is None else int(value) if name == "blkio_weight" else 0
    flag = "--" + name.removesuffix("_bytes").removesuffix("_usec").replace("_", "-")
    files: dict[str, tuple[Files, Files]] = {
        "memory_swappiness": ({"memory.swappiness": text(PARENTS)}, {}),
        "oom_kill_disable": ({"memory.oom_control": text("0")}, {}),
        "memory_high_bytes": ({}, {"memory.high": text("max")}),
        "oom_group": ({}, {"memory.oom.group": text("0")}),
        "cpu_burst_usec": ({"cpu.cfs_burst_us": text("0")}, {"cpu.max.burst": text("0")}),
        "cpu_rt_period_usec": ({"cpu.rt_period_us": text(str(USUAL_RT_PERIOD))}, {}),
        "cpu_rt_runtime_usec": ({"cpu.rt_runtime_us": text("0")}, {}),
        "cpuset_mems": ({"cpuset.mems": text(PARENTS)}, {"cpuset.mems": text("\n")}),
        "blkio_weight": (
            {"blkio.bfq.weight": str(weight), "blkio.weight": text("500")},
            {"io.bfq.weight": str(weight), "io.weight": f"default {_io_weight(value)}"},
        ),
    }
    return Setting(flag, *files[name])


def _io_weight(weight: int | str | None) -> int:
    """io.weight (1 to 10000) for docker's (10 to 1000), by runc's formula."""
    return 100 if weight is None else 1 + (int(weight) - 10) * 9999 // 990


def _rate(field: str, v1: str, key: str, rate: DeviceRate) -> Setting:
    disk = f"{rate.major}:{rate.minor}"
    return Setting(
        "--" + field.replace("_", "-"),
        {v1: f"{disk} {rate.per_second}"},
        {"io.max": f"{disk} {key}={rate.per_second}"},
    )


def _huge(size: str, v1: str, v2: str) -> Setting:
    return Setting(
        f"--hugetlb {size}", {f"hugetlb.{size}.limit_in_bytes": v1}, {f"hugetlb.{size}.max": v2}
    )


def _lift_rates(limits: Limits, paths: Mapping[str, Path]) -> None:
    for field, v1, key in _RATES:
        kept = {f"{rate.major}:{rate.minor}" for rate in getattr(limits, field)}
        for controller, name, none in (("blkio", v1, "0"), ("unified", "io.max", f"{key}=max")):
            if folder := paths.get(controller):
                for disk in _disks(folder / name) - kept:
                    write(folder / name, f"{disk} {none}")


def _disks(path: Path) -> set[str]:
    """The disks that a file has a line about."""
    try:
        return {line.split()[0] for line in path.read_text().splitlines() if line.strip()}
    except OSError:
        return set()


def _huge_page_sizes(paths: Mapping[str, Path]) -> set[str]:
    """The sizes that the group can limit."""
    folders = [paths[name] for name in ("hugetlb", "unified") if name in paths]
    return {
        name.split(".")[1]
        for folder in folders
        if folder.is_dir()
        for name in os.listdir(folder)
        if name.startswith("hugetlb.")
        and name.endswith((".limit_in_bytes", ".max"))
        and ".rsvd." not in name
    }


def _controller(name: str) -> str:
    return name.partition(".")[0]
