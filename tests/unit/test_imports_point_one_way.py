"""The architecture as a test: which folder may import which, lazy imports included.

``linux ← cgroups, storage, network ← images ← runtime ← build, observe, bare, cells ← widgets, cli,
jupyter; course ← cli ← compose``; ``errors`` is everybody's.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "kernel" / "wardian"

# What each folder may import beside itself and errors, nearest first.
ARROW = {
    "linux": (),
    "cgroups": ("linux",),
    "storage": ("linux",),
    "network": ("linux",),
    "images": ("storage", "network", "cgroups", "linux"),
    "runtime": ("images", "storage", "network", "cgroups", "linux"),
    "build": ("runtime", "images", "storage", "network", "cgroups", "linux"),
    "observe": ("runtime", "images", "storage", "network", "cgroups", "linux"),
    "oci": ("runtime", "cgroups", "linux"),
    "bare": ("runtime", "cgroups", "linux"),
    "cells": ("runtime", "images", "storage", "network", "cgroups", "linux"),
}
ARROW["widgets"] = ("observe", "build", *ARROW["observe"])
ARROW["jupyter"] = ("widgets", "observe", "cells", "bare", "build", *ARROW["cells"])
ARROW["course"] = ()  # files and Jupyter's own client: a lesson's containers are its kernel's
ARROW["cli"] = ("course", "jupyter", *ARROW["jupyter"])
ARROW["compose"] = ("cli", *ARROW["cli"])  # the command line finds it by its name

# Known wishes to break the arrow, each with its reason. Empty is how it should be.
EXCEPTIONS: dict[tuple[str, str], str] = {}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, *, at_import_only: bool = False) -> Iterator[str]:
    """The wardian modules that a file imports, those inside functions too."""
    package = module_name(path) if path.name == "__init__.py" else module_name(path.parent)
    for node in statements(ast.parse(path.read_text()), at_import_only=at_import_only):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("wardian"))
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *filter(None, [base])])
            if base.split(".")[0] == "wardian":
                yield from (resolved(f"{base}.{alias.name}", base) for alias in node.names)


def resolved(dotted: str, base: str) -> str:
    """``from wardian.linux import mount`` names a module, ``… import Cgroup`` a thing in one."""
    path = PACKAGE.parent.joinpath(*dotted.split("."))
    return dotted if path.is_dir() or path.with_suffix(".py").exists() else base


def statements(tree: ast.AST, *, at_import_only: bool) -> Iterator[ast.AST]:
    """All nodes, or only those that run when the module is imported."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if at_import_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if (
            at_import_only
            and isinstance(node, ast.If)
            and "TYPE_CHECKING" in ast.unparse(node.test)
        ):
            continue
        yield from statements(node, at_import_only=at_import_only)


@pytest.mark.parametrize("path", modules(), ids=module_name)
def test_module_imports_only_what_is_below_it(path: Path) -> None:
    folder = path.relative_to(PACKAGE).parts[0]
    if folder in {"__init__.py", "errors.py"}:
        assert not {name for name in imported(path) if name != "wardian"}
        return
    allowed = {folder, "errors", *ARROW[folder]}
    wrong = {
        name
        for name in imported(path)
        if name.count(".")
        and name.split(".")[1] not in allowed
        and (module_name(path), name) not in EXCEPTIONS
    }
    assert not wrong, f"{module_name(path)} imports what lies above it: {sorted(wrong)}"


def test_folders_of_the_arrow_are_those_of_the_tree() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders <= set(ARROW), "a new folder needs its place in the arrow"


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {
        module_name(path): set(imported(path, at_import_only=True)) - {module_name(path)}
        for path in modules()
    }
    left = dict(graph)
    while left:
        free = {name for name, needs in left.items() if not needs & set(left)}
        assert free, f"these import one another: {sorted(left)}"
        left = {name: needs for name, needs in left.items() if name not in free}


def test_lower_folders_do_not_import_jupyter() -> None:
    """The runtime is of use without a notebook, and starts without the weight of one."""
    heavy = {"ipykernel", "IPython", "zmq", "traitlets", "anywidget", "ipywidgets", "typer", "rich"}
    for path in modules():
        folder = path.relative_to(PACKAGE).parts[0]
        if folder in ("jupyter", "widgets", "cli", "cells"):
            continue
        names = {
            (node.names[0].name if isinstance(node, ast.Import) else node.module or "").split(".")[
                0
            ]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        assert not names & heavy, f"{module_name(path)} imports {sorted(names & heavy)}"
