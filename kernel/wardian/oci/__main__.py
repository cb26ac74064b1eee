"""Run the command from an interpreter that no container can write (CVE-2019-5736)."""

from __future__ import annotations

import os
import sys

# Only these start programs among a container's: the others have nothing that one could get hold of.
_PROTECTED = {"create", "run", "exec"}
# msgspec takes typing where there is no typing_extensions, and getopt does without gettext: 10 ms.
_HIDDEN = ("gettext", "typing_extensions")
# The second interpreter needs neither site nor a collection of garbage: it lives for milliseconds.
_SECOND = f"""
import gc, sys
gc.disable()
sys.path[:] = sys.argv.pop(1).split(chr(10))
sys.modules.update(dict.fromkeys({_HIDDEN!r}))
from wardian.oci.command import main
main()
"""


def main() -> None:
    """Do what was typed; what starts programs does so through a read-only mount of Python."""
    if _PROTECTED.isdisjoint(sys.argv) or os.statvfs("/proc/self/exe").f_flag & os.ST_RDONLY:
        sys.modules.update(dict.fromkeys(_HIDDEN))  # type: ignore[arg-type]  # not there
        from wardian.oci.command import main as command

        command()
    from wardian.runtime import interpreter

    flags = ["-I", "-S", "-c", _SECOND, "\n".join(sys.path)]
    with interpreter.read_only() as fd:
        if fd is None and os.access(sys.executable, os.W_OK):
            sys.exit("wardian-oci: the interpreter cannot be protected: Linux 5.12 is needed")
        file = sys.executable if fd is None else fd
        os.execve(file, [sys.executable, *flags, *sys.argv[1:]], os.environ)


if __name__ == "__main__":
    main()
