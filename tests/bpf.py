"""Runs a seccomp filter on a system call that nobody makes: the classic BPF that filters use."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

_LOAD_WORD, _JUMP_ALWAYS, _AND_CONSTANT, _RETURN = 0x20, 0x05, 0x54, 0x06
_EQUAL, _GREATER, _GREATER_EQUAL, _SET = 0x15, 0x25, 0x35, 0x45


def answer(program: bytes, arch: int, number: int, arguments: Sequence[int] = ()) -> int:
    """What the filter returns (SECCOMP_RET_*) for a call, as <linux/filter.h> defines it."""
    arguments = (*arguments, *[0] * (6 - len(arguments)))
    data = struct.pack("=iIQ6Q", number, arch, 0, *arguments)  # struct seccomp_data
    code = list(struct.iter_unpack("=HBBI", program))
    at, word = 0, 0
    while True:
        operation, jump_true, jump_false, constant = code[at]
        at += 1
        if operation == _LOAD_WORD:
            (word,) = struct.unpack_from("=I", data, constant)
        elif operation == _AND_CONSTANT:
            word &= constant
        elif operation == _JUMP_ALWAYS:
            at += constant
        elif operation == _RETURN:
            return int(constant)
        else:
            at += jump_true if _holds(operation, word, constant) else jump_false


def _holds(operation: int, word: int, constant: int) -> bool:
    return {
        _EQUAL: word == constant,
        _GREATER: word > constant,
        _GREATER_EQUAL: word >= constant,
        _SET: bool(word & constant),
    }[operation]


def device_answer(program: bytes, *, kind: int, access: int, major: int, minor: int) -> int:
    """What an eBPF program of BPF_PROG_TYPE_CGROUP_DEVICE returns (r0); its few opcodes only."""
    context = struct.pack("=III", access << 16 | kind, major, minor)
    code = list(struct.iter_unpack("=BBhi", program))
    registers, at = [0] * 11, 0
    while True:
        opcode, both, offset, number = code[at]
        to, source = both & 15, both >> 4
        at += 1
        if opcode == 0x95:
            return registers[0]
        if opcode == 0x61:
            (registers[to],) = struct.unpack_from("=I", context, offset)
        elif opcode in _DEVICE_MATH:
            registers[to] = _DEVICE_MATH[opcode](registers[to], registers[source], number)
        else:
            at += offset * ((registers[to] == number) is {0x15: True, 0x55: False}[opcode])


_DEVICE_MATH: dict[int, Callable[[int, int, int], int]] = {
    0xBF: lambda _own, other, _number: other,
    0xB7: lambda _own, _other, number: number,
    0x57: lambda own, _other, number: own & number,
    0x77: lambda own, _other, number: own >> number,
}
