"""Whatever happens between two frames, the messages carry it."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from wardian.network.ruleset import Rule
from wardian.observe import wire
from wardian.observe.frames import (
    Ancestor,
    Kind,
    Layer,
    LayersFrame,
    Mark,
    ProcessesFrame,
    ProcessRow,
    ResourcesFrame,
    Source,
    State,
    UpperEntry,
)
from wardian.observe.history import History
from wardian.observe.label import label
from wardian.observe.network_frame import LinkRow, NamespaceRow, NetworkFrame, NetworkRow
from wardian.observe.replica import Replica
from wardian.observe.wire import Frame

entries = st.builds(
    UpperEntry,
    path=st.sampled_from(["/a", "/b", "/b/c", "/한", "/\\x1b"]),
    mark=st.sampled_from(Mark),
    kind=st.sampled_from(Kind),
    size_bytes=st.integers(0, 1 << 40),
    mode=st.integers(0, 0o7777),
    changed_s=st.floats(0, 2e9),
    is_opaque=st.booleans(),
    hides=st.none() | st.just("lower 0"),
    hidden_bytes=st.none() | st.integers(0, 1 << 40),
    is_copied_up=st.booleans(),
)
layers_frames = st.builds(
    LayersFrame,
    time_s=st.floats(0, 2e9),
    container=st.just("web"),
    source=st.sampled_from(Source),
    layers=st.just((Layer(name="upper", host_path="/u"), Layer(name="lower 0", host_path="/l"))),
    work_host_path=st.just("/w"),
    merged_host_path=st.just("/m"),
    entries=st.lists(entries, unique_by=lambda entry: entry.path).map(tuple),
    left_out=st.integers(0, 9),
    unreadable=st.integers(0, 9),
    added=st.integers(0, 9),
    modified=st.integers(0, 9),
    deleted=st.integers(0, 9),
    upper_bytes=st.integers(0, 1 << 40),
    copied_up=st.integers(0, 9),
    copied_up_bytes=st.integers(0, 1 << 40),
)
NAMED: dict[str, Any] = {
    "family": st.just("inet"),
    "table": st.just("t"),
    "chain": st.sampled_from(["forward", "input"]),
    "handle": st.integers(1, 3),
}
rows = st.builds(
    ProcessRow,
    host_pid=st.integers(1, 5),
    start_ticks=st.integers(1, 3),
    container_pids=st.lists(st.integers(1, 9), max_size=3).map(tuple),
    parent_host_pid=st.none() | st.integers(1, 5),
    state=st.sampled_from(State),
    comm=st.text(max_size=5).map(label),
    args=st.text(max_size=5).map(label),
    uid=st.none() | st.integers(0, 9),
    host_uid=st.none() | st.integers(0, 9),
    threads=st.none() | st.integers(1, 9),
    rss_bytes=st.none() | st.integers(0, 1 << 40),
    cpu_percent=st.none() | st.floats(0, 400),
    namespaces=st.none() | st.dictionaries(st.sampled_from(["net", "uts"]), st.integers(1, 3)),
    ignored=st.lists(st.integers(1, 19), max_size=2).map(tuple),
)
ancestors = st.builds(
    Ancestor,
    host_pid=st.integers(1, 3),
    parent_host_pid=st.integers(0, 3),
    comm=st.sampled_from(["keeper", "systemd"]),
)
processes_frames = st.builds(
    ProcessesFrame,
    time_s=st.floats(0, 2e9),
    container=st.just("web"),
    source=st.sampled_from(Source),
    init_host_pid=st.just(1),
    rows=st.lists(rows, unique_by=lambda row: row.key).map(tuple),
    left_out=st.integers(0, 9),
    running=st.integers(0, 9),
    ancestors=st.lists(ancestors, max_size=3).map(tuple),
    is_frozen=st.none() | st.booleans(),
)


links = st.builds(
    LinkRow,
    namespace=st.sampled_from(["host", "web"]),
    name=st.sampled_from(["eth0", "lo"]),
    index=st.integers(1, 3),
    kind=st.just("veth"),
    mac=st.just(""),
    mtu=st.just(1500),
    is_up=st.booleans(),
    addresses=st.lists(st.sampled_from(["10.0.0.2/24", "::1/128"]), max_size=2).map(tuple),
    bridge=st.just(""),
    peer=st.just(""),
    received_bytes=st.integers(0, 9),
    sent_bytes=st.integers(0, 9),
)
networks = st.builds(
    NetworkRow,
    name=st.just("lab"),
    bridge=st.just("br-lab"),
    subnets=st.just(("10.0.0.0/24",)),
    rules=st.lists(st.builds(Rule, packets=st.none() | st.integers(0, 9), **NAMED), max_size=2).map(
        tuple
    ),
    words=st.just(()),
    iptables=st.just(()),
    sets=st.dictionaries(st.sampled_from(["ports", "ips"]), st.just(("veth-web",))),
)
network_frames = st.builds(
    NetworkFrame,
    time_s=st.floats(0, 2e9),
    source=st.just(Source.POLLING),
    networks=st.lists(networks, max_size=2).map(tuple),
    namespaces=st.just((NamespaceRow(name="host", routes=(), neighbours=()),)),
    links=st.lists(links, max_size=3).map(tuple),
)


def unordered(frame: Frame) -> Frame:
    """The frame with its rows in the order of their keys: deltas keep no order."""
    if frame.rows_field is None:
        return frame
    rows = sorted(getattr(frame, frame.rows_field), key=lambda row: str(row.key))
    changes: dict[str, Any] = {frame.rows_field: tuple(rows)}
    return replace(frame, **changes)


def check_deltas(frames: list[Frame]) -> None:
    page = Replica(frames[0].view)
    page.take(json.loads(wire.full(frames[0])))
    for before, after in pairwise(frames):
        page.take(json.loads(wire.delta(before, after)))
        assert unordered(page.frame) == unordered(after)


@given(st.lists(layers_frames, min_size=2, max_size=4))
def test_deltas_lead_from_any_layers_to_any_others(frames: list[Frame]) -> None:
    check_deltas(frames)


@given(st.lists(processes_frames, min_size=2, max_size=4))
def test_deltas_lead_from_any_processes_to_any_others(frames: list[Frame]) -> None:
    check_deltas(frames)


@given(st.lists(network_frames, min_size=2, max_size=4))
def test_deltas_lead_from_any_networks_to_any_others(frames: list[Frame]) -> None:
    check_deltas(frames)


def resources_frame(**changes: Any) -> ResourcesFrame:
    figures: dict[str, Any] = dict.fromkeys(
        name
        for name in ResourcesFrame.__struct_fields__
        if name not in ("view", "rows_field", "source")
    )
    figures |= {"time_s": 1.0, "container": "web", "source": Source.POLLING, "cgroup": "v1"}
    figures |= {"is_container": True, "cgroup_host_paths": {}, "pressure": {}, "hits": ()}
    return ResourcesFrame(**(figures | changes))


def test_a_delta_holds_only_what_changed() -> None:
    before = resources_frame(memory_current_bytes=1, pids_current=2)
    after = resources_frame(memory_current_bytes=1, pids_current=3)
    assert json.loads(wire.delta(before, after))["set"] == {"pids_current": 3}


def test_a_counter_of_a_rule_is_all_that_a_delta_says_of_it() -> None:
    rule = Rule(family="inet", table="t", chain="forward", handle=1, packets=1, octets=60)
    network = NetworkRow(
        name="lab", bridge="b", subnets=(), rules=(rule,), words=(), iptables=(), sets={}
    )
    before = NetworkFrame(
        time_s=1.0, source=Source.POLLING, networks=(network,), namespaces=(), links=()
    )
    after = replace(before, networks=(replace(network, rules=(replace(rule, packets=2),)),))
    message = json.loads(wire.delta(before, after))
    assert (message["set"], message["patch"]) == ({}, [[["networks", 0, "rules", 0, "packets"], 2]])


@given(layers_frames)
def test_layers_that_were_recorded_before_copies_were_counted_can_be_read(
    frame: LayersFrame,
) -> None:
    message = json.loads(wire.full(frame))
    for name in ("copied_up", "copied_up_bytes"):
        del message["frame"][name]
    for row in message["frame"]["entries"]:
        del row["is_copied_up"]
    replica = Replica("layers")
    replica.take(message)
    read = replica.frame
    assert isinstance(read, LayersFrame)
    assert (read.copied_up, {entry.path for entry in read.entries}) == (
        0,
        {entry.path for entry in frame.entries},
    )


def test_a_history_keeps_the_latest_frames() -> None:
    history = History("resources", "web", max_frames=3)
    for n in range(10):
        history.append(resources_frame(pids_current=n))
    assert [frame.pids_current for frame in history if isinstance(frame, ResourcesFrame)] == [
        7,
        8,
        9,
    ]
