"""The page on sizes: its figures are those of its inputs, and fit the values."""

from __future__ import annotations

import re

from tests.benchmarks import sizing
from tests.hub.values import HUB, given

TEXT = (HUB / "sizing.md").read_text()


def test_page_is_what_its_figures_and_the_values_come_to() -> None:
    assert sizing.page(sizing.read(TEXT)) == TEXT


def test_session_fits_what_is_guaranteed_and_its_volume() -> None:
    session, single = sizing.read(TEXT), given("jupyterhub", "restricted")["singleuser"]
    assert session.memory_mib * sizing.MIB < sizing.size_bytes(single["memory"]["guarantee"])
    disk_mib = session.first_disk_mib + session.next_disk_mib
    assert disk_mib * sizing.MIB < sizing.size_bytes(single["storage"]["capacity"])


def test_nodes_are_as_many_as_the_guarantees_or_the_pods_need() -> None:
    guarantee = 512 * 1000**2
    nodes, why = sizing.nodes_for(2_000, guarantee)
    fit = min(sizing.NODE_MEMORY_BYTES // guarantee, sizing.NODE_PODS)
    assert fit * (nodes - 1) < 2_000 <= fit * nodes
    assert why == "pods a node"
    assert sizing.nodes_for(2_000, sizing.GIB) == (32, "memory")
    assert re.search(r"^\| 20,000 \|", TEXT, re.MULTILINE)
