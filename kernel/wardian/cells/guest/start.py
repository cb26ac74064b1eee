"""The program that the host starts in the container: ``python3 start.py SOCKET_FD``.

The folder of this file is made a package under a name of our own, so that nothing of it is on the
user's ``sys.path``.
"""

from __future__ import annotations

import os
import sys
import types

PACKAGE = "wardian_guest"
TUNABLE = ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")  # the host's wish, for this process only


def main() -> None:
    """Run until the host says shutdown or closes the socket."""
    if os.environ.get(TUNABLE[0]) == TUNABLE[1]:
        del os.environ[TUNABLE[0]]
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]
    package = types.ModuleType(PACKAGE)
    package.__path__ = [here]
    sys.modules[PACKAGE] = package
    from wardian_guest.runner import run  # type: ignore[import-not-found]

    run(int(sys.argv[1]))


if __name__ == "__main__":
    main()
