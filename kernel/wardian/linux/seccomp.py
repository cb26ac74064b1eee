"""seccomp(2): filters on system calls, compiled with libseccomp and loaded without it.

The default filter is `seccomp-default.json`: ``allow`` always; ``allow_on`` a machine;
``allow_with`` a capability; ``allow_if`` an argument has a value; ``allow_if_without`` a
capability, likewise; ``not_implemented_without`` a capability gives ENOSYS, so that a libc falls
back (clone3, whose flags no filter can see). All else is refused with EPERM, and calls newer than
all that libseccomp and the table know with ENOSYS, as a kernel without them would.

For the default capabilities the compiled program is part of the package, so a container's start
needs no libseccomp. ``python -m wardian.linux.seccomp`` makes it anew.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import json
import os
import platform
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any

from wardian.errors import InvalidInput, KernelRefused, SetupError
from wardian.linux import capabilities as caps
from wardian.linux.capabilities import Capability
from wardian.linux.syscall import syscall

# <linux/audit.h>, <linux/seccomp.h>, <seccomp.h>
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOW = 0x7FFF0000
ERRNO = 0x00050000
_SET_MODE_FILTER = 1
_OPTIMIZE = 8  # SCMP_FLTATR_CTL_OPTIMIZE; 2 is a binary tree
_UNKNOWN = -1  # __NR_SCMP_ERROR
_SUB_ARCHES = {"x86_64": ("x86", "x32"), "aarch64": ("arm",)}
_COMPARE = {"ne": 1, "lt": 2, "le": 3, "eq": 4, "ge": 5, "gt": 6, "masked_eq": 7}
_MOBY_ARCH = {"amd64": "x86_64", "arm64": "aarch64"}
# Numbers that are the same on every machine and newer than some libseccomp (syscalls(2)).
_NEWER = {
    "process_mrelease": 448,
    "futex_waitv": 449,
    "set_mempolicy_home_node": 450,
    "cachestat": 451,
    "fchmodat2": 452,
    "map_shadow_stack": 453,
    "futex_wake": 454,
    "futex_wait": 455,
    "futex_requeue": 456,
    "statmount": 457,
    "listmount": 458,
    "lsm_get_self_attr": 459,
    "lsm_set_self_attr": 460,
    "lsm_list_modules": 461,
    "mseal": 462,
    "setxattrat": 463,
    "getxattrat": 464,
    "listxattrat": 465,
    "removexattrat": 466,
    "open_tree_attr": 467,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """On an argument (by index): a comparison with one value, or with a mask and a value."""

    argument: int
    operator: int
    value: int
    value_two: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to one system call when all conditions hold."""

    call: str
    action: int
    conditions: tuple[Condition, ...] = ()


class _Compare(ctypes.Structure):
    _fields_ = [  # ctypes wants a plain list
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("value", ctypes.c_uint64),
        ("value_two", ctypes.c_uint64),
    ]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]  # ctypes


def load(program: bytes) -> None:
    """Put a filter on this thread and its children to come, for good."""
    code = _Program(len(program) // 8, program)
    syscall("seccomp", _SET_MODE_FILTER, 0, ctypes.byref(code))


@functools.lru_cache(maxsize=64)
def compile_default(capabilities: frozenset[Capability]) -> bytes:
    """The default filter for a process with these capabilities."""
    machine = platform.machine()
    if capabilities == caps.DEFAULT:
        shipped = resources.files(__package__) / _file_name(machine)
        if shipped.is_file():
            return shipped.read_bytes()
    return _compile(list(default_rules(machine, capabilities)), ERRNO | errno.EPERM)


def default_rules(machine: str, capabilities: Collection[Capability]) -> Iterator[Rule]:
    """The default table for a machine and a set of capabilities."""
    table = json.loads((resources.files(__package__) / "seccomp-default.json").read_bytes())

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


def compile_profile(profile: dict[str, Any], capabilities: frozenset[Capability]) -> bytes:
    """A profile in docker's JSON format, for a process with these capabilities."""
    try:
        default = _action(profile["defaultAction"], profile.get("defaultErrnoRet"))
        return _compile(list(_profile_rules(profile, capabilities)), default)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(
            f"not a seccomp profile: {type(error).__name__}: {error}",
            hint="give a JSON file in docker's format, or `unconfined`",
        ) from error


def _profile_rules(profile: dict[str, Any], held: Collection[Capability]) -> Iterator[Rule]:
    for row in profile.get("syscalls", ()):
        if not _applies(row, held):
            continue
        conditions = tuple(
            Condition(
                arg["index"],
                _COMPARE[arg["op"].removeprefix("SCMP_CMP_").lower()],
                arg["value"],
                arg.get("valueTwo", 0),
            )
            for arg in row.get("args") or ()
        )
        for call in row.get("names") or [row["name"]]:
            yield Rule(call, _action(row["action"], row.get("errnoRet")), conditions)


def _applies(row: dict[str, Any], held: Collection[Capability]) -> bool:
    include, exclude = row.get("includes") or {}, row.get("excludes") or {}
    names = {capability.name for capability in held}
    machine = platform.machine()

    def any_cap(section: dict[str, Any]) -> bool:
        return any(name.upper().removeprefix("CAP_") in names for name in section.get("caps", ()))

    def any_arch(section: dict[str, Any]) -> bool:
        return any(_MOBY_ARCH.get(arch) == machine for arch in section.get("arches", ()))

    if (include.get("caps") and not any_cap(include)) or any_cap(exclude):
        return False
    return not ((include.get("arches") and not any_arch(include)) or any_arch(exclude))


def _action(name: str, errno_value: int | None) -> int:
    if name == "SCMP_ACT_ERRNO":
        return ERRNO | (errno.EPERM if errno_value is None else errno_value)
    return {
        "SCMP_ACT_ALLOW": ALLOW,
        "SCMP_ACT_KILL": 0,
        "SCMP_ACT_KILL_THREAD": 0,
        "SCMP_ACT_KILL_PROCESS": 0x80000000,
        "SCMP_ACT_TRAP": 0x00030000,
        "SCMP_ACT_LOG": 0x7FFC0000,
    }[name]


# --- compiling -------------------------------------------------------------------------------


def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    except OSError as error:
        raise SetupError(
            "libseccomp is missing, which a filter other than the default needs",
            hint="apt-get install libseccomp2, or go without --cap-add/--cap-drop",
        ) from error
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_release.argtypes = [ctypes.c_void_p]
    library.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
    library.seccomp_arch_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_void_p,
    ]
    library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    return library


def _compile(rules: list[Rule], default: int) -> bytes:
    library = _library()
    machine = platform.machine()
    context = library.seccomp_init(default)
    try:
        for name in _SUB_ARCHES.get(machine, ()):
            library.seccomp_arch_add(context, library.seccomp_arch_resolve_name(name.encode()))
        library.seccomp_attr_set(context, _OPTIMIZE, 2)
        newer = set()
        for rule in rules:
            number = library.seccomp_syscall_resolve_name(rule.call.encode())
            if number == _UNKNOWN:
                newer |= {_NEWER[rule.call]} if rule.call in _NEWER else set()
            elif rule.action != default:
                _add(library, context, rule, number)
        return _prologue(machine, newer) + _export(library, context)
    finally:
        library.seccomp_release(context)


def _add(library: ctypes.CDLL, context: int, rule: Rule, number: int) -> None:
    comparisons = (_Compare * max(1, len(rule.conditions)))(
        *(_Compare(c.argument, c.operator, c.value, c.value_two) for c in rule.conditions)
    )
    result = library.seccomp_rule_add_array(
        context, rule.action, number, len(rule.conditions), comparisons
    )
    # EACCES: the rule is the default action; EDOM: no such call on a sub-architecture.
    if result < 0 and -result not in (errno.EACCES, errno.EDOM, errno.EEXIST):
        raise KernelRefused("seccomp_rule_add", -result, rule.call)


def _export(library: ctypes.CDLL, context: int) -> bytes:
    fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        result = library.seccomp_export_bpf(context, fd)
        if result < 0:
            raise KernelRefused("seccomp_export_bpf", -result)
        return os.pread(fd, 1 << 20, 0)
    finally:
        os.close(fd)


def _prologue(machine: str, allowed: set[int]) -> bytes:
    """BPF for native calls that libseccomp may not know, before what it compiled.

    The ``allowed`` are allowed; calls that are newer than all in our table give ENOSYS.
    """

    def instruction(code: int, jump_true: int, jump_false: int, value: int) -> bytes:
        return struct.pack("=HBBI", code, jump_true, jump_false, value)

    load_word, jump_equal, jump_greater, give = 0x20, 0x15, 0x25, 0x06
    x32_bit = 0x40000000
    checks = [
        part
        for number in sorted(allowed)
        for part in (instruction(jump_equal, 0, 1, number), instruction(give, 0, 0, ALLOW))
    ]
    checks += [
        instruction(jump_greater, 2, 0, x32_bit - 1),
        instruction(jump_greater, 0, 1, max(_NEWER.values())),
        instruction(give, 0, 0, ERRNO | errno.ENOSYS),
    ]
    head = [
        instruction(load_word, 0, 0, 4),  # seccomp_data.arch
        instruction(jump_equal, 0, len(checks) + 1, AUDIT_ARCH[machine]),
        instruction(load_word, 0, 0, 0),  # seccomp_data.nr
    ]
    return b"".join(head + checks)


def _file_name(machine: str) -> str:
    return f"seccomp-default.{machine}.bpf"


if __name__ == "__main__":
    here = platform.machine()
    filter_rules = list(default_rules(here, caps.DEFAULT))
    target = resources.files("wardian.linux") / _file_name(here)
    with open(str(target), "wb") as compiled:
        compiled.write(_compile(filter_rules, ERRNO | errno.EPERM))
