"""``make bench``: every module here that has ``rows()``, one table; names choose some of them."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from importlib import import_module
from pkgutil import iter_modules

import tests.benchmarks

NOT_BENCHMARKS = {"__main__", "table"}


def names() -> list[str]:
    """The benchmarks, by name."""
    found = {module.name for module in iter_modules(tests.benchmarks.__path__)}
    return sorted(found - NOT_BENCHMARKS)


def main() -> int:
    """Print each row as it is there; the exit code counts no misses unless asked to."""
    parser = argparse.ArgumentParser(prog="make bench BENCH_FLAGS=…", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(names())}")
    parser.add_argument("--strict", action="store_true", help="fail if a ratio is over")
    options = parser.parse_args()
    if unknown := set(options.names) - set(names()):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    print(f"linux {platform.release()}, {os.cpu_count()} cores, python {platform.python_version()}")
    over = 0
    for name in options.names or names():
        module = import_module(f"tests.benchmarks.{name}")
        if not hasattr(module, "rows"):
            continue
        print(f"\n{name}: {(module.__doc__ or '').splitlines()[0]}")
        for row in module.rows():
            print(f"  {row}", flush=True)
            over += row.ratio > row.allowed
    print(f"\n{over} over what is allowed" if over else "\nall within what is allowed")
    return 1 if over and options.strict else 0


if __name__ == "__main__":
    sys.exit(main())
