"""truncate(2) on a kernel whose Landlock does not govern it yet (before ABI 3, Linux 6.2).

It empties a file by its name, without opening it for writing: a user's own files outside of the
walls, too. So the call is refused altogether; ftruncate(2) asks for a file that could be opened.
"""

from __future__ import annotations

import errno

from wardian.linux import seccomp
from wardian.linux.libseccomp import ALLOW, EQUAL, ERRNO, GIVE, LOAD_WORD, instruction

GOVERNED_FROM = 3
# By AUDIT_ARCH_…: the numbers of truncate and, where longs are of 32 bits, truncate64.
_CALLS = {
    0xC000003E: (76, 76 | 0x40000000),  # x86-64, and x32
    0x40000003: (92, 193),  # i386
    0xC00000B7: (45,),  # arm64
    0x40000028: (92, 193),  # arm
}
_NUMBER, _ARCH = 0, 4  # where struct seccomp_data has them


def refuse() -> None:
    """From now on, for this process and its children. KernelRefused where filters are."""
    seccomp.load(_program())


def _program() -> bytes:
    code = [instruction(LOAD_WORD, 0, 0, _ARCH)]
    for arch, numbers in _CALLS.items():
        block = [instruction(LOAD_WORD, 0, 0, _NUMBER)]
        for number in numbers:
            block.append(instruction(EQUAL, 0, 1, number))
            block.append(instruction(GIVE, 0, 0, ERRNO | errno.EACCES))
        block.append(instruction(GIVE, 0, 0, ALLOW))
        code += [instruction(EQUAL, 0, len(block), arch), *block]
    return b"".join([*code, instruction(GIVE, 0, 0, ALLOW)])
