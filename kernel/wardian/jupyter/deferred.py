"""A package whose ``__init__`` runs only when somebody asks it for something."""

from __future__ import annotations

import importlib.util
import sys
import threading
from types import ModuleType
from typing import Any

_lock = threading.RLock()


class DeferredPackage(ModuleType):
    """Stands in ``sys.modules`` for a package, with its path, so that submodules can be imported.

    ``importlib.util.LazyLoader`` does not do: it loads the package as soon as the import system
    reads its ``__path__``.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        with _lock:
            if type(self) is DeferredPackage:
                self.__class__ = ModuleType  # type: ignore[assignment]  # from now on an ordinary one
                assert self.__spec__ is not None
                assert self.__spec__.loader is not None
                self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def defer(name: str) -> None:
    """Put off the import of a package, unless it has been imported or is not there."""
    spec = importlib.util.find_spec(name)
    if name in sys.modules or spec is None:
        return
    package = DeferredPackage(name, None)
    package.__spec__ = spec
    package.__loader__ = spec.loader
    package.__package__ = name
    package.__file__ = spec.origin
    package.__path__ = list(spec.submodule_search_locations or ())
    sys.modules[name] = package
