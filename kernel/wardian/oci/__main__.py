"""Run the command from an interpreter that no container can write (CVE-2019-5736)."""

from __future__ import annotations

import os
import sys

# The second interpreter needs neither site nor a collection of garbage: it lives for milliseconds.
_SECOND = """
import gc, sys
gc.disable()
sys.path[:] = sys.argv.pop(1).split(chr(10))
from wardian.oci.command import main
main()
"""


def main() -> None:
    """Start anew through a read-only mount of the interpreter, then do what was typed."""
    if not os.statvfs("/proc/self/exe").f_flag & os.ST_RDONLY:
        from wardian.errors import KernelRefused
        from wardian.linux import mount as mnt

        try:
            clone = mnt.OPEN_TREE_CLONE | mnt.OPEN_TREE_CLOEXEC
            fd = mnt.open_tree(os.path.realpath(sys.executable), clone)
            mnt.mount_setattr(fd, attr_set=mnt.MOUNT_ATTR_RDONLY)
        except KernelRefused as error:
            sys.exit(f"wardian-oci: {error.what}: it needs root")
        flags = ["-I", "-S", "-c", _SECOND, "\n".join(sys.path)]
        os.execve(fd, [sys.executable, *flags, *sys.argv[1:]], os.environ)
    from wardian.oci.command import main as command

    command()


if __name__ == "__main__":
    main()
