"""A Debian root tree as an image, made by mmdebstrap(1) from the mirror that this host uses.

Two user lands side by side need no registry that way: this host's distribution, and another suite
of the same mirror.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable
from typing import BinaryIO

from wardian.errors import InvalidInput, SetupError
from wardian.images.archive import import_rootfs
from wardian.images.base import PATH
from wardian.images.host import os_release
from wardian.images.index import storing
from wardian.images.store import Image, ImageStore

USUAL_VARIANT = "minbase"
VARIANTS = (
    *("apt", "buildd", "custom", "essential", "extract", "important", "minbase", "required"),
    "standard",
)
_SUITE = re.compile(r"[a-z][a-z0-9.-]{0,63}")
_COMPLAINT = "E: "
_TARGETS = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)"]


def usual_suite() -> str:
    """The one that this host is of, if it is a Debian or its kin; else "stable"."""
    return os_release().get("VERSION_CODENAME") or "stable"


def bootstrap(
    store: ImageStore,
    suite: str,
    name: str,
    *,
    variant: str = USUAL_VARIANT,
    include: tuple[str, ...] = (),
    mirror: str = "",
    tell: Callable[[str], None],
) -> Image:
    """The image. ``include`` are more packages; ``tell`` gets what mmdebstrap says.

    Raises InvalidInput for a suite or variant that is none; SetupError without mmdebstrap, without
    a mirror, or if that cannot be reached.
    """
    if not _SUITE.fullmatch(suite):
        raise InvalidInput(f"not a suite: {suite[:60]!r}", hint="like bookworm or stable")
    if variant not in VARIANTS:
        raise InvalidInput(
            f"no such variant: {variant[:60]}", hint=f"one of: {', '.join(VARIANTS)}"
        )
    command = ["mmdebstrap", f"--variant={variant}", *_included(include)]
    command += ["--", suite, "-", mirror or host_mirror()]
    with storing(), tempfile.TemporaryFile(dir=store.root) as tree:
        _run(command, tree, tell)
        tree.seek(0)
        config = {"Cmd": ["bash"], "Env": [f"PATH={PATH}"]}
        comment = f"mmdebstrap --variant={variant} {suite}"
        return import_rootfs(store, tree, name, config=config, comment=comment)


def _included(packages: tuple[str, ...]) -> list[str]:
    wrong = next((name for name in packages if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", name)), "")
    if wrong:
        raise InvalidInput(f"not the name of a package: {wrong[:60]!r}")
    return [f"--include={','.join(packages)}"] if packages else []


def host_mirror() -> str:
    """The archive that this host's apt takes its own suite from. Raises SetupError."""
    no_mirror = SetupError(
        "this host's apt knows no mirror", hint="name one: --mirror ADDRESS (mmdebstrap(1))"
    )
    try:
        done = subprocess.run(_TARGETS, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise no_mirror from None
    entries = [line.split() for line in done.stdout.splitlines() if len(line.split()) == 2]
    own = usual_suite()
    found = [uri for uri, suite in entries if suite in (own, "stable", "testing", "unstable")]
    if not found:
        raise no_mirror
    return found[0]


def _run(command: list[str], tree: BinaryIO, tell: Callable[[str], None]) -> None:
    complaints = []
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=tree,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except FileNotFoundError:
        raise SetupError(
            "this host has no mmdebstrap",
            hint="install the package mmdebstrap, or `wardian import` the archive of a root tree",
        ) from None
    with process:
        assert process.stderr is not None
        for line in process.stderr:
            tell(line)
            if line.startswith(_COMPLAINT):
                complaints.append(line.removeprefix(_COMPLAINT).strip())
    if process.returncode:
        reason = complaints[0] if complaints else f"it ended with {process.returncode}"
        raise SetupError(
            f"mmdebstrap cannot make this root tree: {reason[:200]}",
            hint="see what it said above, whether the mirror has the suite, and can be reached",
        )
