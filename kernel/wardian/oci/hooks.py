"""Hooks (config.md, "POSIX-platform Hooks"): programs that get the state on their stdin."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import msgspec

from wardian.errors import SetupError
from wardian.oci.config import Hook, Hooks
from wardian.oci.log import LOG


def prepare(hooks: Hooks) -> None:
    """Import what running needs, before the container's root is all that there is."""
    if hooks != Hooks():
        import subprocess  # noqa: F401


def run_all(hooks: Iterable[Hook], state: dict[str, object], point: str) -> None:
    """Run them though some fail, each with a warning (runtime.md, "Lifecycle", poststop)."""
    for hook in hooks:
        try:
            run([hook], state, point)
        except SetupError as error:
            LOG.warning(error.what)


def run(hooks: Sequence[Hook], state: dict[str, object], point: str) -> None:
    """Run them in order, in the namespaces that we are in; the first that fails is an error."""
    if not hooks:
        return
    import subprocess  # with what it needs 5 ms, which a container without hooks does without

    for hook in hooks:
        env = dict(pair.partition("=")[::2] for pair in hook.env)
        try:
            done = subprocess.run(
                list(hook.args) or [hook.path],
                executable=hook.path,
                env=env,
                input=msgspec.json.encode(state),
                capture_output=True,
                timeout=hook.timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise SetupError(f"{point} hook {hook.path}: not done in {hook.timeout} s") from None
        except OSError as error:
            raise SetupError(
                f"{point} hook {hook.path}: {os.strerror(error.errno or 0)}"
            ) from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()[:200]
            raise SetupError(f"{point} hook {hook.path}: exit status {done.returncode}: {said}")
