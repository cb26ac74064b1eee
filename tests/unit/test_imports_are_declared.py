"""What the package imports it also asks for: a clean environment has nothing else."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "kernel" / "wardian"

# Ours inside the container, under the name that it has there.
GUEST_PACKAGE = "wardian_guest"
# These come with ipykernel, whose classes we extend: its versions go with them.
WITH_IPYKERNEL = {"ipykernel"}
# Only these themselves import the folder that imports them.
LOADED_BY = {"jupyter-server", "jupyterhub"}
# Of the extra `lab`: `wardian course check` says what to install, `make book` has it.
WITH_LAB = {"nbclient", "nbconvert", "nbformat"}


def imported_packages() -> set[str]:
    """Top-level names of what is not ours and not Python's."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"wardian", GUEST_PACKAGE}


def declared_distributions() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    direct = {canonicalize_name(Requirement(one).name) for one in project["dependencies"]}
    indirect = {
        canonicalize_name(re.split(r"[^\w.-]", one, maxsplit=1)[0])
        for package in WITH_IPYKERNEL
        for one in requires(package) or ()
        if "extra ==" not in one
    }
    return direct | indirect | LOADED_BY | WITH_LAB


def test_every_import_is_of_a_declared_dependency() -> None:
    providers = packages_distributions()
    declared = declared_distributions()
    undeclared = {
        name
        for name in imported_packages()
        if not {canonicalize_name(one) for one in providers.get(name, ())} & declared
    }
    assert not undeclared


def test_every_declared_dependency_is_pinned_for_development() -> None:
    pinned = {
        canonicalize_name(line.split("==")[0])
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    wanted = {Requirement(one).name for one in sum(extras, project["dependencies"])}
    assert {canonicalize_name(name) for name in wanted} - {"wardian"} <= pinned
