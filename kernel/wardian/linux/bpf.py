"""bpf(2): programs that decide which devices a cgroup may use (cgroup v2)."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from contextlib import suppress

from wardian.errors import KernelRefused
from wardian.linux.syscall import syscall

_PROG_LOAD, _PROG_ATTACH, _PROG_DETACH, _PROG_GET_FD_BY_ID, _PROG_QUERY = 5, 8, 9, 13, 16
_PROG_TYPE_CGROUP_DEVICE, _CGROUP_DEVICE = 15, 6
_F_ALLOW_MULTI, _F_REPLACE = 1 << 1, 1 << 2
_MOST_PROGRAMS = 64  # of one group (BPF_CGROUP_MAX_PROGS)
# Opcodes of <linux/bpf.h> and Documentation/bpf/standardization/instruction-set.rst.
LOAD_WORD, MOVE, MOVE_NUMBER, AND_NUMBER, SHIFT_RIGHT, EXIT = 0x61, 0xBF, 0xB7, 0x57, 0x77, 0x95
JUMP, JUMP_IF_EQUAL, JUMP_UNLESS_EQUAL = 0x05, 0x15, 0x55


def instruction(
    opcode: int, *, to: int = 0, source: int = 0, offset: int = 0, number: int = 0
) -> bytes:
    """One eBPF instruction (struct bpf_insn); ``to`` and ``source`` are registers."""
    return struct.pack("=BBhi", opcode, to | source << 4, offset, number)


def load_device_program(code: bytes) -> int:
    """BPF_PROG_LOAD: a descriptor of the program. Needs CAP_BPF or CAP_SYS_ADMIN."""
    instructions, name = ctypes.create_string_buffer(code, len(code)), b"wardian_devices"
    license_ = ctypes.create_string_buffer(b"Apache-2.0")
    attributes = struct.pack(
        "=IIQQIIQII16s",
        *(_PROG_TYPE_CGROUP_DEVICE, len(code) // 8),
        *(ctypes.addressof(instructions), ctypes.addressof(license_)),
        *(0, 0, 0, 0, 0, name),
    )
    return _bpf(_PROG_LOAD, attributes)


def put_device_program(group_fd: int, code: bytes) -> None:
    """Make this the group's program, in place of one that is there; it stays with the group."""
    program = load_device_program(code)
    try:
        before = attached_to(group_fd)
        if not before:
            _attach(group_fd, program, _F_ALLOW_MULTI)
            return
        old = _bpf(_PROG_GET_FD_BY_ID, struct.pack("=III", before[-1], 0, 0))
        try:
            _attach(group_fd, program, _F_ALLOW_MULTI | _F_REPLACE, old)
        finally:
            os.close(old)
    finally:
        os.close(program)


def attached_to(group_fd: int) -> Sequence[int]:
    """Ids of the device programs of a group itself (BPF_PROG_QUERY)."""
    ids = (ctypes.c_uint32 * _MOST_PROGRAMS)()
    attributes = bytearray(
        struct.pack("=IIIIQII", group_fd, _CGROUP_DEVICE, 0, 0, ctypes.addressof(ids), len(ids), 0)
    )
    buffer = ctypes.create_string_buffer(bytes(attributes), len(attributes))
    syscall("bpf", _PROG_QUERY, buffer, len(attributes))
    (count,) = struct.unpack_from("=I", buffer.raw, 24)
    return list(ids)[:count]


def _attach(group_fd: int, program: int, flags: int, replaced: int = 0) -> None:
    attributes = struct.pack("=IIIII", group_fd, program, _CGROUP_DEVICE, flags, replaced)
    _bpf(_PROG_ATTACH, attributes)


def _bpf(command: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    return syscall("bpf", command, buffer, len(attributes))


def can_load() -> bool:
    """Whether we may load such programs and the kernel knows them."""
    code = instruction(MOVE_NUMBER, number=1) + instruction(EXIT)
    with suppress(KernelRefused):
        os.close(load_device_program(code))
        return True
    return False
