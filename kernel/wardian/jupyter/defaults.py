"""What a notebook is given that asks for nothing else: chosen in JupyterLab's settings.

The page hands JupyterLab's settings to its server, which checks them and keeps them in the state
root, where every kernel finds them, also one that another program starts.
"""

from __future__ import annotations

import json

from wardian.errors import InvalidInput, SetupError
from wardian.jupyter.settings import Settings
from wardian.linux.whole import write_whole
from wardian.runtime.paths import state_root

FILE = "defaults.json"


def read() -> Settings:
    """The settings of a notebook that says nothing. Raises InvalidInput."""
    path = state_root() / FILE
    try:
        return checked(json.loads(path.read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return Settings()  # of a state root that cannot be, the runtime tells
    except (OSError, ValueError, RecursionError, InvalidInput) as error:
        why = error.what if isinstance(error, InvalidInput) else str(error)
        raise InvalidInput(
            f"the defaults of notebooks cannot be used: {why}",
            hint=f"choose them in JupyterLab's settings anew, or remove {path}",
        ) from error


def write(words: object) -> None:
    """Keep these words for notebooks that are opened from now on. Raises InvalidInput."""
    checked(words)
    path = state_root() / FILE
    try:
        path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
        write_whole(path, json.dumps(words).encode())
    except OSError as error:
        raise SetupError(
            f"cannot write {path}: {error.strerror}",
            hint="set WARDIAN_ROOT to a directory that you can write",
        ) from error


def checked(words: object) -> Settings:
    """Settings of which each value is one that a container can have. Raises InvalidInput."""
    settings = Settings().with_words(words)
    _ = settings.limits, settings.timeout_s, settings.refresh_s
    return settings
