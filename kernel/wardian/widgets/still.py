"""The static form of a view: what nbviewer, nbconvert, GitHub and a closed kernel show.

nbval compares a cell's text/html with that of the run before, so only what is the same in every
run of the same notebook goes in: names, marks, the tree of processes, the limits. Pids, sizes that
depend on the host, and the figures of the moment are for the live view (and for a recording).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape, unescape

from wardian.linux.namespaces import KINDS
from wardian.observe.build_frame import BuildFrame, BuildStep
from wardian.observe.frames import (
    Hit,
    Kind,
    LayersFrame,
    Limited,
    Mark,
    ProcessesFrame,
    ProcessRow,
    ResourcesFrame,
    UpperEntry,
)
from wardian.observe.image_frame import Compared, ImageFrame
from wardian.observe.listing import ContainersFrame
from wardian.observe.network_frame import NetworkFrame
from wardian.observe.wire import Frame
from wardian.storage.driver import Driver
from wardian.widgets.network_still import card_lines, drawing

_MAX_ROWS = 60
_MOST_FILES = 3
_KIB = 1024
_PIDS_WIDTH = 20
_TAG = re.compile("</?s>")
_MARKS = {Mark.ADDED: "+", Mark.MODIFIED: "~", Mark.DELETED: "-"}
_BOX = "border:1px solid #8884;border-radius:8px;padding:10px 14px;max-width:52em"
_CODE = "font-family:monospace;white-space:pre-wrap"


def still(frame: Frame, *, is_recorded: bool = False) -> str:
    """HTML of a frame, the same on every run that came to the same state.

    One that was recorded is the same anyway: it is shown with its pids and figures.
    """
    if isinstance(frame, NetworkFrame):
        return f'<div style="{_BOX}"><b>Network</b>{drawing(frame)}</div>'
    lines = _lines(frame, is_recorded=is_recorded)
    return _box(frame.view.capitalize(), frame.container, lines)


def text(frame: Frame) -> str:
    """The same of one that was recorded, as plain text."""
    if isinstance(frame, NetworkFrame):
        return "\n".join(card_lines(frame))
    lines = _lines(frame, is_recorded=True)
    return "\n".join(unescape(_TAG.sub("", line)) for line in lines)


def _lines(frame: Frame, *, is_recorded: bool) -> list[str]:
    """Each is HTML, with no tag but ``<s>``."""
    if isinstance(frame, LayersFrame):
        return [*_layers(frame), *(_copies(frame) if is_recorded else ())]
    if isinstance(frame, ProcessesFrame):
        return _processes(frame, with_pids=is_recorded)
    if isinstance(frame, ImageFrame):
        return _image(frame)
    if isinstance(frame, BuildFrame):
        return _build(frame)
    if isinstance(frame, ContainersFrame):
        return _containers(frame)
    assert isinstance(frame, ResourcesFrame)
    return [*(_figures(frame) if is_recorded else ()), *_resources(frame)]


def size(size_bytes: int | None) -> str:
    """A limit in the words of the views."""
    if size_bytes is None:
        return "no limit"
    figure, units = float(size_bytes), ["B", "KiB", "MiB", "GiB", "TiB"]
    while figure >= _KIB and len(units) > 1:
        figure /= _KIB
        units.pop(0)
    return f"{figure:.0f} {units[0]}" if figure == int(figure) else f"{figure:.1f} {units[0]}"


def _box(title: str, container: str, lines: Iterable[str]) -> str:
    head = f"<b>{title}</b> <code>{escape(container)}</code>"
    body = "\n".join(lines)
    return f'<div style="{_BOX}">{head}<div style="{_CODE}">{body}</div></div>'


def _layers(frame: LayersFrame) -> list[str]:
    names = [layer.name for layer in frame.layers]
    is_copy = frame.driver == Driver.NATIVE.value
    head = f"copy of {' → '.join(names[1:])}" if is_copy else " → ".join(["merged", *names])
    changed = [entry for entry in frame.entries if entry.mark is not Mark.UNCHANGED]
    entries = sorted(changed, key=lambda entry: entry.path)
    verb = "was of" if is_copy else "hides"
    return [head, *_capped([_entry(entry, verb) for entry in entries])]


def _copies(frame: LayersFrame) -> list[str]:
    """What overlayfs copied up, if it was recorded."""
    if not frame.copied_up:
        return []
    return [f"copied up: {frame.copied_up} files, {size(frame.copied_up_bytes)} at most"]


def _entry(entry: UpperEntry, verb: str) -> str:
    slash = "/" if entry.kind is Kind.DIRECTORY else ""
    hides = f"  ({verb} {entry.hides})" if entry.hides and not slash else ""
    path = escape(entry.path) + slash
    shown = f"<s>{path}</s>" if entry.mark is Mark.DELETED else path
    return f"{_MARKS[entry.mark]} {shown}{hides}"


def _processes(frame: ProcessesFrame, *, with_pids: bool) -> list[str]:
    alive = [row for row in frame.rows if row.ended_s is None]
    pids = {row.host_pid for row in alive}
    children: dict[int | None, list[ProcessRow]] = {}
    for row in sorted(alive, key=lambda row: (row.start_ticks, row.host_pid)):
        parent = row.parent_host_pid if row.parent_host_pid in pids else None
        children.setdefault(parent, []).append(row)
    lines: list[str] = _namespaces(frame) if with_pids else []
    width = _PIDS_WIDTH if with_pids else 0
    queue = [(row, 0) for row in reversed(children.get(None, []))]
    while queue:
        row, depth = queue.pop()
        twins = " ⇄ ".join(map(str, (row.host_pid, *row.container_pids))) if with_pids else ""
        others = [kind for kind in KINDS if kind in (row.namespaces or {})]
        badges = f"  [{' '.join(others)}]" if others else ""
        lines.append(f"{twins.ljust(width)}{'  ' * depth}{escape(row.comm)}{badges}")
        queue.extend((child, depth + 1) for child in reversed(children.get(row.host_pid, [])))
    return _capped(lines)


def _namespaces(frame: ProcessesFrame) -> list[str]:
    """The container's own; what a process has beside them stands behind its name."""
    inodes, shared = frame.namespaces, frame.host_namespaces
    own = [kind for kind in KINDS if kind in inodes and inodes[kind] != shared.get(kind)]
    return [f"namespaces of its own: {' '.join(own)}"] if own else []


def _resources(frame: ResourcesFrame) -> list[str]:
    if not frame.is_container:
        return ["plain processes of this host: no limit holds all of them together"]
    cpu = frame.cpu_limit_percent
    high = frame.memory_high_bytes
    lines = [
        f"memory limit     {size(frame.memory_limit_bytes)}",
        *([] if high is None else [f"memory high      {size(high)}"]),
        f"CPU limit        {'no limit' if cpu is None else f'{cpu:.0f} % of one core'}",
        f"processes limit  {'no limit' if frame.pids_limit is None else frame.pids_limit}",
    ]
    if frame.oom_kills:
        lines.append(f"killed for want of memory: {frame.oom_kills}")
    return lines


def _figures(frame: ResourcesFrame) -> list[str]:
    """What was used at that moment."""
    peak = frame.memory_peak_bytes
    figures = {
        "memory": frame.memory_current_bytes
        and size(frame.memory_current_bytes) + (f" (peak {size(peak)})" if peak else ""),
        "CPU": frame.cpu_percent is not None and f"{frame.cpu_percent:.0f} % of one core",
        "processes": frame.pids_current,
        "block IO": _io(frame),
        "pressure": ", ".join(
            f"{resource} {pressure.some_10:g} %"
            for resource, pressure in frame.pressure.items()
            if pressure.some_10 is not None
        ),
        "forks refused": frame.pids_refused,
    }
    lines = [f"{name:<16} {value}" for name, value in figures.items() if value]
    return [*lines, *(_killed(hit) for hit in frame.hits if hit.what is Limited.MEMORY)]


def _io(frame: ResourcesFrame) -> str:
    """Bytes a second; "" where they are not known."""
    read, written = frame.io_read_rate, frame.io_written_rate
    if read is None or written is None:
        return ""
    return f"{size(read)}/s read, {size(written)}/s written"


def _killed(hit: Hit) -> str:
    """Who was killed for want of memory, as far as that is known."""
    name = escape(hit.comm) or "a process"
    pid = "" if hit.container_pid is None else f" (pid {hit.container_pid})"
    cell = "" if hit.cell is None else f" while In [{hit.cell}] ran"
    return f"OOM: {name}{pid} killed{cell}"


def _image(frame: ImageFrame) -> list[str]:
    """What differs, if that was asked for; the step of each layer, and the largest of its files."""
    lines = [] if frame.compared is None else _compared(frame, frame.compared)
    # Without the digests of these two, which name the processor: a lesson's are saved everywhere.
    lines += ["manifest → config → layers"]
    for step in frame.steps:
        lines.append(escape(step.instruction or step.comment))
        if step.layer is None or step.layer >= len(frame.layers):
            continue
        layer = frame.layers[step.layer]
        counts = f"+{layer.added} ~{layer.modified} -{layer.deleted}"
        lines.append(
            f"  layer {layer.number} {layer.diff_id[7:19]} {counts} {size(layer.unpacked_bytes)}"
            + (f"  shared with {escape(', '.join(layer.users))}" if layer.users else "")
        )
        lines += [
            f"    {_MARKS[file.mark]} {escape(file.path)} {size(file.size_bytes)}"
            for file in layer.largest[:_MOST_FILES]
        ]
    return [*_capped(lines), f"efficiency {frame.efficiency:.1%}"]


def _build(frame: BuildFrame) -> list[str]:
    """Without times and digests, which are others on every run."""
    lines = [f"warning, line {line}: {escape(text)}" for line, text in frame.warnings]
    for step in frame.steps:
        stage = f"{escape(step.stage)} " if step.stage else ""
        lines.append(f"[{stage}{step.step}/{step.steps}] {escape(step.instruction)}")
        lines += [f"    {one}" for one in _outcome(step)]
    lines += [f"image {escape(name)}" for name in frame.names]
    return [*_capped(lines), *map(escape, frame.problem)]


def _outcome(step: BuildStep) -> Iterator[str]:
    if step.state == "cached":
        yield "cached"
    elif step.state == "done":
        told = f"layer of {step.changes_count} changes" if step.layer else "no layer"
        yield f"not cached: {escape(step.why)} · {told}"
    else:
        yield step.state
    for letter, path, _ in step.changes[:_MOST_FILES]:
        yield f"  {letter} /{escape(path)}"


def _containers(frame: ContainersFrame) -> list[str]:
    """Names, images and how each is: no ids, times or figures."""
    rows = [(row.name, row.image, row.status) for row in reversed(frame.rows)]
    widths = [max((len(row[at]) for row in rows), default=0) for at in range(2)]
    lines = [
        "  ".join(escape(cell.ljust(width)) for cell, width in zip(row, (*widths, 0), strict=True))
        for row in rows
    ]
    return _capped(lines) or ["no container"]


def _compared(frame: ImageFrame, old: Compared) -> list[str]:
    """The differences of two images, in the words of ``wardian image diff``."""
    shared = f"{old.shared_layers} of {old.layers} and {len(frame.layers)} layers shared"
    lines = [f"{escape(old.reference)} → {escape(frame.container)}: {shared}"]
    for file in old.files:
        what = f"   ({', '.join(file.what)})" if file.what else ""
        lines.append(f"{_MARKS[file.mark]} {escape(file.path)}{what}")
    if old.files_left_out:
        lines.append(f"… and {old.files_left_out} more")
    lines = _capped(lines)
    lines += [
        f"config {escape(name)}: {escape(before) or '(none)'} → {escape(after) or '(none)'}"
        for name, before, after in old.settings
    ]
    lines += [f"history - {escape(step)}" for step in old.old_steps]
    lines += [f"history + {escape(step)}" for step in old.new_steps]
    efficiency = f"efficiency {old.efficiency:.1%} → {frame.efficiency:.1%}"
    return [*lines, efficiency, ""]


def comparison(frame: ImageFrame) -> str:
    """What differs from the image that it was compared with, as plain text."""
    assert frame.compared is not None
    return "\n".join(unescape(line) for line in _compared(frame, frame.compared)[:-1])


def _capped(lines: Sequence[str]) -> list[str]:
    if len(lines) <= _MAX_ROWS:
        return list(lines)
    return [*lines[:_MAX_ROWS], f"… and {len(lines) - _MAX_ROWS} more"]
