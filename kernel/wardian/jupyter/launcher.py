"""``python -m wardian.jupyter.launcher``: a kernel that gateway_provisioners has started elsewhere.

It tells the gateway where the kernel listens, by the program that gateway_provisioners has for
this (encrypted with the gateway's key; it takes signals, too), and becomes the kernel. What is no
option stands in the environment, where ``launch_kubernetes.py`` puts it for a pod.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.resources import files
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from wardian.errors import SetupError

# Each is an option `--kernel-id`, or the variable KERNEL_ID.
WORDS = ("kernel_id", "response_address", "public_key", "port_range", "transport_encryption")
LISTENER = "kernel-launchers/shared/scripts/server_listener.py"


def main(arguments: Sequence[str] | None = None) -> None:
    """Tell the gateway, and become the kernel."""
    words = _words(arguments)
    from jupyter_core.paths import jupyter_runtime_dir

    folder = Path(jupyter_runtime_dir())
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / f"kernel-{words.kernel_id}.json"
    lowest, _, highest = words.port_range.partition("..")
    _listener().setup_server_listener(
        str(file),
        os.getpid(),
        int(lowest),
        int(highest),
        words.response_address,
        words.kernel_id,
        words.public_key,
        transport_encryption=words.transport_encryption or None,
    )
    os.environ.pop("JPY_PARENT_PID", None)  # a process where the gateway is
    language = f"--language={words.language}"
    kernel = ("-P", "-m", "wardian.jupyter", language, "-f", str(file))
    os.execv(sys.executable, (sys.executable, *kernel))  # ourselves


def _words(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="wardian.jupyter.launcher", description=__doc__)
    parser.add_argument("--language", choices=("python", "shell"), default="python")
    for word in WORDS:
        usual = os.environ.get(word.upper(), "0..0" if word == "port_range" else "")
        parser.add_argument(f"--{word.replace('_', '-')}", default=usual)
    words = parser.parse_args(arguments)
    for word in WORDS[:3]:
        if not getattr(words, word):
            raise SetupError(
                f"the gateway has not said {word.upper()}",
                hint="gateway_provisioners starts this program; by hand: python -m wardian.jupyter",
            )
    return words


def _listener() -> ModuleType:
    """The program of gateway_provisioners', which is for images and so no module of its package."""
    try:
        path = files("gateway_provisioners") / LISTENER
    except ModuleNotFoundError as error:
        raise SetupError(
            "gateway_provisioners is missing", hint="pip install gateway_provisioners"
        ) from error
    spec = spec_from_file_location("server_listener", str(path))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    try:
        main()
    except SetupError as error:
        sys.exit(f"wardian: {error.what}\nhint: {error.hint}")
