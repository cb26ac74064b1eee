"""Installing the two kernelspecs, for who did not get them with the wheel."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from wardian.errors import SetupError

KERNELSPECS = Path(__file__).parent / "kernelspecs"
NAMES = ("wardian-python", "wardian-shell")


def install(
    *,
    user: bool = False,
    prefix: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> list[Path]:
    """Install both kernelspecs; returns their directories.

    For all users, for this ``user``, or below a ``prefix`` such as ``sys.prefix``. The kernels
    start with this Python; ``environment`` (``WARDIAN_IMAGE``, ``WARDIAN_MEMORY``, …) is given to
    them. Raises SetupError where the directory cannot be written.
    """
    from jupyter_client.kernelspec import KernelSpecManager

    manager = KernelSpecManager()
    installed = []
    for name in NAMES:
        with tempfile.TemporaryDirectory() as directory:
            draft = Path(directory) / name
            shutil.copytree(KERNELSPECS / name, draft)
            _fill_in(draft / "kernel.json", environment or {})
            try:
                where = manager.install_kernel_spec(str(draft), name, user=user, prefix=prefix)
            except OSError as error:
                raise SetupError(
                    f"cannot install the kernelspec {name}: {error.strerror}",
                    hint="install for this user (--user) or below a prefix (--sys-prefix)",
                ) from error
        installed.append(Path(where))
    return installed


def _fill_in(path: Path, environment: Mapping[str, str]) -> None:
    spec = json.loads(path.read_text(encoding="utf-8"))
    spec["argv"][0] = sys.executable
    if environment:
        spec["env"] = dict(environment)
    path.write_text(json.dumps(spec, indent=2) + "\n", encoding="utf-8")
