"""truncate(2) on a kernel whose Landlock does not govern it yet (before ABI 3, Linux 6.2).

It empties a file by its name, without opening it for writing: a user's own files outside of the
walls, too. So the call is refused altogether; ftruncate(2) asks for a file that could be opened.
"""

from __future__ import annotations

import errno
import struct

from wardian.linux import seccomp
from wardian.linux.libseccomp import ERRNO

GOVERNED_FROM = 3
# By AUDIT_ARCH_…: the numbers of truncate and, where longs are of 32 bits, truncate64.
_CALLS = {
    0xC000003E: (76, 76 | 0x40000000),  # x86-64, and x32
    0x40000003: (92, 193),  # i386
    0xC00000B7: (45,),  # arm64
    0x40000028: (92, 193),  # arm
}
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
_NUMBER, _ARCH = 0, 4  # where struct seccomp_data has them
_ALLOW = 0x7FFF0000


def refuse() -> None:
    """From now on, for this process and its children. KernelRefused where filters are."""
    seccomp.load(_program())


def _program() -> bytes:
    code = [_instruction(_LOAD, _ARCH)]
    for arch, numbers in _CALLS.items():
        block = [_instruction(_LOAD, _NUMBER)]
        for number in numbers:
            block.append(_instruction(_JUMP_IF_EQUAL, number, otherwise=1))
            block.append(_instruction(_RETURN, ERRNO | errno.EACCES))
        block.append(_instruction(_RETURN, _ALLOW))
        code += [_instruction(_JUMP_IF_EQUAL, arch, otherwise=len(block)), *block]
    return b"".join([*code, _instruction(_RETURN, _ALLOW)])


def _instruction(operation: int, operand: int, *, otherwise: int = 0) -> bytes:
    """A struct sock_filter; ``otherwise`` are the instructions left out if a comparison fails."""
    return struct.pack("=HBBI", operation, 0, otherwise, operand)
