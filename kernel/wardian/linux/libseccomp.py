"""libseccomp by ctypes: from a list of rules to a BPF program.

Only making a filter needs the library; loading one does not (see `wardian.linux.seccomp`).
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import struct
from collections.abc import Iterable, Mapping

import msgspec

from wardian.errors import InvalidInput, KernelRefused, SetupError

# <linux/seccomp.h>, <linux/audit.h>, <seccomp.h>
LOAD_WORD, EQUAL, GIVE = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
ALLOW = 0x7FFF0000
ERRNO = 0x00050000
LOG = 0x7FFC0000
NOTIFY = 0x7FC00000
ARCHES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_SUB_ARCHES = {"x86_64": (b"x86", b"x32"), "aarch64": (b"arm",)}
_NATIVE = 0  # SCMP_ARCH_NATIVE
_OPTIMIZE = 8  # SCMP_FLTATR_CTL_OPTIMIZE; 2 is a binary tree
_UNKNOWN = -1  # __NR_SCMP_ERROR
# All machines number the calls from 424 on alike; above those come arm's own and the x32 bit.
_FIRST_PRIVATE = 0xF0000
# Calls that are newer than some libseccomp (syscalls(2)).
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
NEWEST = max(_NEWER.values())


class Condition(msgspec.Struct, frozen=True):
    """On an argument (by index): a comparison with one value, or with a mask and a value."""

    argument: int
    operator: int
    value: int
    value_two: int = 0


class Rule(msgspec.Struct, frozen=True):
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


def compile_rules(
    rules: Iterable[Rule], default: int, machine: str, *, arches: frozenset[str] | None = None
) -> bytes:
    """The program for a machine and its 32-bit modes; ``default`` is for what no rule allows.

    With ``arches`` only the modes among them are allowed: a call of another kills.

    Calls that neither libseccomp nor our table knows by name are skipped, as runc does.
    """
    library = _library()
    context = library.seccomp_init(default)
    try:
        _set_arches(library, context, machine, arches)
        library.seccomp_attr_set(context, _OPTIMIZE, 2)
        newer: dict[int, int] = {}
        for rule in rules:
            number = library.seccomp_syscall_resolve_name(rule.call.encode())
            if number != _UNKNOWN:
                _add(library, context, rule, number)
            elif rule.call in _NEWER and not rule.conditions:
                newer.setdefault(_NEWER[rule.call], rule.action)
            elif rule.call in _NEWER and rule.action != default:
                raise InvalidInput(
                    f"this machine's libseccomp is too old for a condition on {rule.call}",
                    hint="upgrade libseccomp2, or leave the condition out of the profile",
                )
        return _prologue(newer, is_open=default in (ALLOW, LOG)) + _export(library, context)
    finally:
        library.seccomp_release(context)


@functools.cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        raise SetupError(
            "libseccomp is missing, which a filter other than the default needs",
            hint="apt-get install libseccomp2, or go without --cap-add/--cap-drop",
        ) from error
    context = ctypes.c_void_p
    library.seccomp_init.restype = context
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_release.argtypes = [context]
    library.seccomp_attr_set.argtypes = [context, ctypes.c_int, ctypes.c_uint32]
    library.seccomp_arch_add.argtypes = [context, ctypes.c_uint32]
    library.seccomp_arch_remove.argtypes = [context, ctypes.c_uint32]
    library.seccomp_arch_exist.argtypes = [context, ctypes.c_uint32]
    library.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    library.seccomp_syscall_resolve_name_arch.argtypes = [ctypes.c_uint32, ctypes.c_char_p]
    library.seccomp_rule_add_array.argtypes = [
        context,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Compare),
    ]
    library.seccomp_export_bpf.argtypes = [context, ctypes.c_int]
    return library


def number_of(call: str, arch: int) -> int | None:
    """A call's number on an architecture (AUDIT_ARCH_*); None if it has no such call."""
    number = int(_library().seccomp_syscall_resolve_name_arch(arch, call.encode()))
    return number if number >= 0 else _NEWER.get(call)


def _set_arches(
    library: ctypes.CDLL, context: int, machine: str, arches: frozenset[str] | None
) -> None:
    if machine not in ARCHES:
        raise SetupError(f"machine {machine} is not supported", hint="use x86_64 or aarch64")
    if library.seccomp_arch_exist(context, ARCHES[machine]) < 0:  # made for another machine
        _checked(library.seccomp_arch_add(context, ARCHES[machine]), "seccomp_arch_add")
        _checked(library.seccomp_arch_remove(context, _NATIVE), "seccomp_arch_remove")
    for name in _SUB_ARCHES[machine]:
        if arches is not None and name.decode() not in arches:
            continue
        arch = library.seccomp_arch_resolve_name(name)
        _checked(library.seccomp_arch_add(context, arch), "seccomp_arch_add")


def _add(library: ctypes.CDLL, context: int, rule: Rule, number: int) -> None:
    comparisons = (_Compare * max(1, len(rule.conditions)))(
        *(_Compare(c.argument, c.operator, c.value, c.value_two) for c in rule.conditions)
    )
    result = library.seccomp_rule_add_array(
        context, rule.action, number, len(rule.conditions), comparisons
    )
    if -result == errno.EINVAL:
        raise InvalidInput(
            f"not a seccomp rule: {rule.call}", hint="an argument has an index from 0 to 5"
        )
    # EACCES: the rule is the default action; EDOM: no such call on a sub-architecture.
    if -result not in (errno.EACCES, errno.EDOM, errno.EEXIST):
        _checked(result, "seccomp_rule_add")


def _checked(result: int, call: str) -> None:
    if result < 0:
        raise KernelRefused(call, -result)


def _export(library: ctypes.CDLL, context: int) -> bytes:
    fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        _checked(library.seccomp_export_bpf(context, fd), "seccomp_export_bpf")
        return os.pread(fd, 1 << 20, 0)
    finally:
        os.close(fd)


def _prologue(answers: Mapping[int, int], *, is_open: bool) -> bytes:
    """BPF for calls that libseccomp may not know, before what it compiled.

    Calls that are newer than all in our table give ENOSYS, so that programs fall back as on a
    kernel without them; not under a profile that ``is_open``: it allows what it does not name.
    """
    greater, greater_equal = 0x25, 0x35
    code = [instruction(LOAD_WORD, 0, 0, 0)]  # seccomp_data.nr
    for number, action in sorted(answers.items()):
        code += [instruction(EQUAL, 0, 1, number), instruction(GIVE, 0, 0, action)]
    code += [
        instruction(greater_equal, 2, 0, _FIRST_PRIVATE),
        instruction(greater, 0, 1, NEWEST),
        instruction(GIVE, 0, 0, ERRNO | errno.ENOSYS),
    ]
    return b"".join(code[:-3] if is_open else code)


def instruction(code: int, jump_true: int, jump_false: int, value: int) -> bytes:
    """A struct sock_filter: after a comparison so many of the next are left out."""
    return struct.pack("=HBBI", code, jump_true, jump_false, value)
