"""seccomp(2): filters on system calls, compiled with libseccomp and loaded without it.

The default filter is `seccomp-default.json`: ``allow`` always; ``allow_on`` a machine;
``allow_with`` a capability; ``allow_if`` an argument has a value; ``allow_if_without`` a
capability, likewise; ``not_implemented_without`` a capability gives ENOSYS, so that a libc falls
back (clone3, whose flags no filter can see). All else is refused with EPERM, and calls newer than
all that the table knows with ENOSYS, as a kernel without them would.

For the default capabilities the compiled programs are part of the package, so a container's start
needs no libseccomp. ``python -m wardian.linux.seccomp --write`` makes them anew.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import platform
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from wardian.errors import InvalidInput
from wardian.linux import capabilities as caps
from wardian.linux.capabilities import Capability
from wardian.linux.libseccomp import (
    ALLOW,
    ARCHES,
    ERRNO,
    NOTIFY,
    Condition,
    Rule,
    compile_rules,
)
from wardian.linux.syscall import syscall

_SET_MODE_FILTER = 1
_COMPARE = {"ne": 1, "lt": 2, "le": 3, "eq": 4, "ge": 5, "gt": 6, "masked_eq": 7}
_ACTIONS = {
    "SCMP_ACT_ALLOW": ALLOW,
    "SCMP_ACT_KILL": 0,
    "SCMP_ACT_KILL_THREAD": 0,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_NOTIFY": NOTIFY,
}
_WITH_NUMBER = {"SCMP_ACT_ERRNO": (ERRNO, 4095), "SCMP_ACT_TRACE": (0x7FF00000, 0xFFFF)}
# The call by which a listener's descriptor is handed over, while nobody can answer yet.
_HANDS_OVER = "sendmsg"
NEW_LISTENER = 8  # SECCOMP_FILTER_FLAG_NEW_LISTENER
_TSYNC, _TSYNC_ESRCH = 1, 16
FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": _TSYNC,
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 32,
}
_GO_ARCHES = {"x86_64": "amd64", "aarch64": "arm64"}
_TABLE = Path(__file__).with_name("seccomp-default.json")
DEFAULT_ACTION = ERRNO | errno.EPERM


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]  # ctypes


def load(program: bytes, flags: int = 0) -> int:
    """Put a filter on this thread and its children to come, for good (SECCOMP_FILTER_FLAG_*).

    With NEW_LISTENER the descriptor of the filter's notifications, else 0.
    """
    code = _Program(len(program) // 8, program)
    return syscall("seccomp", _SET_MODE_FILTER, flags, ctypes.byref(code))


@functools.lru_cache(maxsize=64)
def compile_default(capabilities: frozenset[Capability]) -> bytes:
    """The default filter for a process with these capabilities."""
    machine = platform.machine()
    if capabilities == caps.DEFAULT and shipped(machine).is_file():
        return shipped(machine).read_bytes()
    return compile_rules(default_rules(machine, capabilities), DEFAULT_ACTION, machine)


def shipped(machine: str) -> Path:
    """Where the default filter for the default capabilities lies, compiled."""
    return _TABLE.with_name(f"seccomp-default.{machine}.bpf")


def default_rules(machine: str, capabilities: Collection[Capability]) -> Iterator[Rule]:
    """The default table for a machine and a set of capabilities."""
    import json  # the keeper, whose filter is compiled ahead, does without

    table = json.loads(_TABLE.read_bytes())

    def held(name: str) -> bool:
        return caps.parse(name) in capabilities

    allowed = [*table["allow"], *table["allow_on"].get(machine, ())]
    for name, calls in table["allow_with"].items():
        allowed += calls if held(name) else ()
    for call in dict.fromkeys(allowed):
        yield Rule(call, ALLOW)
    conditional = list(table["allow_if"])
    for name, rows in table["allow_if_without"].items():
        conditional += () if held(name) else rows
    for row in conditional:
        if row["call"] not in allowed:
            comparison = _COMPARE[row["op"]]
            values = (row["value"], row.get("value_two", 0))
            yield Rule(row["call"], ALLOW, (Condition(row["argument"], comparison, *values),))
    for name, calls in table["not_implemented_without"].items():
        for call in () if held(name) else calls:
            yield Rule(call, ERRNO | errno.ENOSYS)


# --- profiles in docker's format (moby profiles/seccomp) -------------------------------------


def compile_profile(
    profile: Mapping[str, Any], capabilities: frozenset[Capability], *, has_listener: bool = False
) -> bytes:
    """A profile in docker's JSON format, for a process with these capabilities."""
    machine = platform.machine()
    try:
        default = _action(profile["defaultAction"], profile.get("defaultErrnoRet"))
        rules = list(profile_rules(profile, capabilities, machine, platform.release()))
        _check_notifying(default, rules, has_listener=has_listener)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidInput(
            f"not a seccomp profile: {type(error).__name__}: {error}",
            hint="give a JSON file in docker's format, or `unconfined`",
        ) from error
    return compile_rules(rules, default, machine, arches=_arches(profile))


def _check_notifying(default: int, rules: Iterable[Rule], *, has_listener: bool) -> None:
    calls = {rule.call for rule in rules if rule.action == NOTIFY}
    if default == NOTIFY or _HANDS_OVER in calls:
        raise ValueError(f"SCMP_ACT_NOTIFY may be neither for {_HANDS_OVER} nor the default")
    if calls and not has_listener:
        raise ValueError("SCMP_ACT_NOTIFY, and nobody listens")


def flags_of(profile: Mapping[str, Any]) -> int:
    """A profile's ``flags`` as seccomp(2) takes them; InvalidInput names an unknown one."""
    names = set(profile.get("flags") or ())
    if unknown := names - set(FLAGS):
        raise InvalidInput(f"seccomp flag {min(unknown)[:60]} is not supported")
    flags = sum(FLAGS[name] for name in names)
    if any(row.get("action") == "SCMP_ACT_NOTIFY" for row in profile.get("syscalls") or ()):
        return flags | NEW_LISTENER | (_TSYNC_ESRCH if flags & _TSYNC else 0)
    if "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" in names:
        raise InvalidInput("seccomp flag WAIT_KILLABLE_RECV is of no use without SCMP_ACT_NOTIFY")
    return flags


def _arches(profile: Mapping[str, Any]) -> frozenset[str] | None:
    """The architectures that a profile names, in libseccomp's words; None without any."""
    names = profile.get("architectures") or ()
    return frozenset(name.removeprefix("SCMP_ARCH_").lower() for name in names) or None


def profile_rules(
    profile: Mapping[str, Any], held: Collection[Capability], machine: str, kernel: str
) -> Iterator[Rule]:
    """A profile's rules that count for a machine, a kernel (uname -r) and these capabilities."""
    for row in profile.get("syscalls") or ():
        if not _counts(row, held, machine, kernel):
            continue
        action = _action(row["action"], row.get("errnoRet"))
        conditions = tuple(map(_condition, row.get("args") or ()))
        for call in row.get("names") or [row["name"]]:
            yield Rule(str(call), action, conditions)


def _condition(arg: Mapping[str, Any]) -> Condition:
    operator = _COMPARE[arg["op"].removeprefix("SCMP_CMP_").lower()]
    index, value, value_two = int(arg["index"]), int(arg["value"]), int(arg.get("valueTwo") or 0)
    if not (0 <= index <= 5 and 0 <= value < 1 << 64 and 0 <= value_two < 1 << 64):
        raise ValueError(f"an argument out of range: {index}, {value}, {value_two}"[:80])
    return Condition(index, operator, value, value_two)


def _counts(
    row: Mapping[str, Any], held: Collection[Capability], machine: str, kernel: str
) -> bool:
    """Moby's rule: nothing that is excluded, all that is included (any one of the arches)."""
    include, exclude = row.get("includes") or {}, row.get("excludes") or {}
    names = {f"CAP_{capability.name}" for capability in held}
    arch = _GO_ARCHES[machine]
    excluded = (
        arch in (exclude.get("arches") or ())
        or names & set(exclude.get("caps") or ())
        or ("minKernel" in exclude and _version(kernel) >= _version(exclude["minKernel"]))
    )
    included = (
        (not include.get("arches") or arch in include["arches"])
        and names >= set(include.get("caps") or ())
        and ("minKernel" not in include or _version(kernel) >= _version(include["minKernel"]))
    )
    return bool(included and not excluded)


def _version(text: str) -> tuple[int, int]:
    """``6.1.0-18-cloud`` is (6, 1), as much as a profile names."""
    found = re.match(r"([0-9]{1,4})\.([0-9]{1,4})", text)
    if not found:
        raise ValueError(f"not a kernel version: {text[:40]}")
    return int(found[1]), int(found[2])


def _action(name: str, errno_value: int | None) -> int:
    if name not in _WITH_NUMBER:
        return _ACTIONS[name]
    action, most = _WITH_NUMBER[name]  # MAX_ERRNO: the kernel caps it there; PTRACE_GETEVENTMSG's
    number = errno.EPERM if errno_value is None else int(errno_value)
    if not 0 <= number <= most:
        raise ValueError(f"not an error number: {number}")
    return action | number


if __name__ == "__main__":
    import sys

    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m wardian.linux.seccomp --write")
    for each in ARCHES:
        compiled = compile_rules(default_rules(each, caps.DEFAULT), DEFAULT_ACTION, each)
        shipped(each).write_bytes(compiled)
