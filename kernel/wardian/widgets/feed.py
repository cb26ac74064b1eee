"""A feed: the frames of one view for whoever looks at it, by way of one comm.

The page says when a view is on screen; only then is anything sampled. Frames go out as bytes
(:mod:`wardian.observe.wire`): a binary buffer is passed on as it is, where a dict would be packed
as JSON once more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import msgspec

from wardian.errors import InvalidInput, NotFound, WardianError
from wardian.observe import wire
from wardian.observe.copied import layers_sampler
from wardian.observe.frames import ResourcesFrame
from wardian.observe.history import History
from wardian.observe.layers import LayersSampler
from wardian.observe.listing import Choice, ContainersFrame, ContainersSampler
from wardian.observe.network_frame import NetworkFrame
from wardian.observe.packet import way
from wardian.observe.processes import ProcessesSampler
from wardian.observe.pulse import Pulse, Sampler, Watch
from wardian.observe.resources import ResourcesSampler
from wardian.observe.subject import Subject
from wardian.observe.surroundings import Surroundings, observe, sampler
from wardian.observe.wire import Frame
from wardian.runtime.container import Container
from wardian.widgets.layer_questions import LayerQuestions
from wardian.widgets.limiter import Limiter, Wish
from wardian.widgets.signaller import Freezer, Freezing, Order

PULSE = Pulse()
SILENT_S = 60.0  # a view that is seen speaks every 15 s (extension/src/attention.ts)
_HISTORY_FRAMES = 600
_HISTORY_FIELDS = (
    "time_s",
    "memory_current_bytes",
    "memory_limit_bytes",
    "cpu_percent",
    "cpu_limit_percent",
    "throttled_percent",
    "pids_current",
    "pids_limit",
    "oom_kills",
    "memory_high_bytes",
    "io_read_rate",
    "io_written_rate",
)
_MOST_CHARS, _MOST_PORT = 300, 65535
SAMPLERS: dict[str, Callable[[Any], Sampler[Any]]] = {
    LayersSampler.view: layers_sampler,
    ProcessesSampler.view: ProcessesSampler,
    ResourcesSampler.view: ResourcesSampler,
    NetworkFrame.view: sampler,
    ContainersFrame.view: ContainersSampler,
}
VIEWS = tuple(view for view in SAMPLERS if view != ContainersFrame.view)  # of one container
Sight = Subject | Surroundings | Choice


def sight(view: str, container: Container) -> Sight:
    """What a view of a container is a view of. Raises WardianError."""
    if view == NetworkFrame.view:
        return Surroundings.of(container)
    return Subject.of(container.info)


class AnyFeed(Protocol):
    """Where a view's frames come from."""

    history: History

    def hear(self, content: object) -> None:
        """Take in what the page says."""

    def close(self) -> None:
        """Send nothing more."""


class Feed:
    """Samples one of ``SAMPLERS`` while somebody looks, and remembers what was seen.

    ``locate`` finds what is looked at (`sight`) anew each time that somebody begins to look, since
    it may have been restarted meanwhile. ``send`` takes messages to the page; ``rest`` is told when
    nobody looks any more. Both may be called from the pulse's thread. With ``period_s`` a view
    looks no more often. With a ``limiter`` the page can change limits, with a ``freezer`` freeze.
    """

    def __init__(
        self,
        view: str,
        locate: Callable[[], Sight],
        send: Callable[[Sequence[bytes]], None],
        rest: Callable[[], None] = lambda: None,
        *,
        limiter: Limiter | None = None,
        freezer: Freezer | None = None,
        period_s: float = 0.0,
    ) -> None:
        self.history = History(view, "")
        self._limiter = limiter
        self._freezer = freezer
        self._limiting = threading.Lock()  # one wish after another: each is put over what there is
        self._view = view
        self._locate = locate
        self._send = send
        self._when_resting = rest
        self._period_s = period_s
        self._sampler: Sampler[Any] | None = None
        self._watch: Watch[Any] | None = None
        self._viewers: dict[str, float] = {}
        self._sent: Frame | None = None
        self._questions = LayerQuestions(self._send_json)

    def look_once(self, frame: Frame | None = None) -> None:
        """Take one frame at once, in this thread, before anybody looks, unless it is given."""
        found = self._locate()
        self.history.container = found.name
        if frame is None and isinstance(found, Surroundings):
            frame = observe(found)
        if frame is not None:
            self.history.append(frame)
            return
        looking = SAMPLERS[self._view](found)
        looking.open()
        try:
            frame = looking.sample()
        finally:
            looking.close()
        if frame is not None:
            self.history.append(frame)

    def hear(self, content: object) -> None:
        """Take in what the page says. It can be anything, so nothing of it is trusted."""
        if not isinstance(content, dict):
            return
        kind, viewer = content.get("kind"), content.get("id")
        if kind == "visible" and isinstance(viewer, str):
            self._notice_viewer(viewer, is_visible=content.get("visible") is True)
        elif isinstance(self._sampler, LayersSampler):
            if self._watch is not None:
                self._questions.hear(content, self._watch, self._sampler)
        elif kind == "ancestry":
            self._answer_ancestry()
        elif kind == "way":
            self._answer_way(content)
        elif kind == "limit" and (wish := Wish.of(content)) is not None:
            # Not in this thread, which is the kernel's: to lower a memory limit, pages are freed.
            threading.Thread(target=self._fulfil, args=(wish,), daemon=True).start()
        elif kind == "signal" and (order := Order.of(content)) is not None:
            threading.Thread(target=self._signal, args=(order,), daemon=True).start()
        elif kind == "freeze" and (freezing := Freezing.of(content)) is not None:
            threading.Thread(target=self._freeze, args=(freezing,), daemon=True).start()

    def close(self) -> None:
        """Stop sampling."""
        self._viewers.clear()
        self._rest()

    def _notice_viewer(self, viewer: str, *, is_visible: bool) -> None:
        if not is_visible:
            self._viewers.pop(viewer, None)
            if not self._viewers:
                self._rest()
            return
        is_new = viewer not in self._viewers
        self._viewers[viewer] = time.monotonic()
        if self._watch is None:
            self._begin()
        elif is_new and self._sent is not None:
            self._send([*self._beginning(), wire.full(self._sent)])

    def _begin(self) -> None:
        self._sent = None
        try:
            self._sampler = SAMPLERS[self._view](self._locate())
        except WardianError as error:
            self._fail(error)
            return
        if beginning := self._beginning():
            self._send(beginning)
        self._watch = PULSE.watch(
            self._sampler,
            self._publish,
            self._fail,
            self._is_wanted,
            interval_s=self._period_s,
        )

    def _rest(self) -> None:
        watch, self._watch = self._watch, None
        self._questions.close()
        if watch is not None:
            watch.close()
            self._when_resting()

    def _is_wanted(self) -> bool:
        oldest = time.monotonic() - SILENT_S
        for viewer, heard_s in list(self._viewers.items()):
            if heard_s < oldest:
                self._viewers.pop(viewer, None)
        if not self._viewers:
            self._rest()
        return bool(self._viewers)

    def _publish(self, frame: Frame) -> None:
        before, self._sent = self._sent, frame
        self.history.append(frame)
        self._send([wire.full(frame) if before is None else wire.delta(before, frame)])

    def _fail(self, error: WardianError) -> None:
        self._watch = None
        self._send_json({"kind": "error", "what": error.what, "hint": error.hint})

    def _beginning(self) -> list[bytes]:
        """The figures that charts begin with."""
        if self._view != ResourcesSampler.view:
            return []
        frames = [frame for frame in self.history if isinstance(frame, ResourcesFrame)]
        frames = frames[-_HISTORY_FRAMES:]
        columns = {name: [getattr(frame, name) for frame in frames] for name in _HISTORY_FIELDS}
        hits = {(hit.what, hit.number): hit for frame in frames for hit in frame.hits}
        told = {"kind": "history", "columns": columns, "hits": list(hits.values())}
        return [msgspec.json.encode(told)]

    def _answer_ancestry(self) -> None:
        looking, watch = self._sampler, self._watch
        if watch is None or not isinstance(looking, ResourcesSampler):
            return

        def answer() -> None:
            self._send_json({"kind": "ancestry", **msgspec.to_builtins(looking.ancestry())})

        watch.ask(answer)

    def _answer_way(self, content: dict[str, Any]) -> None:
        """Compute a packet's way from what was seen last."""
        frame = self._sent or self.history.last
        source, destination = (content.get(name) for name in ("source", "destination"))
        port, protocol = content.get("port"), content.get("protocol")
        if not (
            isinstance(frame, NetworkFrame)
            and isinstance(source, str)
            and isinstance(destination, str)
            and max(len(source), len(destination)) <= _MOST_CHARS
            and isinstance(port, int)
            and 0 < port <= _MOST_PORT
            and protocol in ("tcp", "udp")
        ):
            return
        asked = {"source": source, "destination": destination, "port": port, "protocol": protocol}
        try:
            found = msgspec.to_builtins(
                way(frame, source, destination, port, protocol=str(protocol))
            )
        except (InvalidInput, NotFound) as error:
            ends = {"text": "%1", "values": [error.what]}
            found = {"hops": [], "arrives": False, "ends": ends}
        self._send_json({"kind": "way", **asked, **found})

    def _fulfil(self, wish: Wish) -> None:
        """Change a limit. The page is told after a frame that shows what is in force then."""
        limiter, watch, looking = self._limiter, self._watch, self._sampler
        if limiter is None or watch is None or not isinstance(looking, ResourcesSampler):
            return
        problem, warnings = "", []
        try:
            with self._limiting:
                warnings = limiter.limit(wish.over(limiter.limits))
        except WardianError as error:
            problem = f"{error.what} ({error.hint})" if error.hint else error.what

        def answer() -> None:
            with suppress(WardianError):  # it has ended: the watch says so itself
                frame = looking.sample()
                self._publish(frame)
                is_missed = not problem and not wish.is_in_force(frame)
                said = "; ".join(warnings) if is_missed else problem
                told = {"kind": "limited", "what": wish.what, "number": wish.number}
                self._send_json({**told, "problem": said})

        watch.ask(answer)

    def _signal(self, order: Order) -> None:
        def act() -> None:
            found = self._locate()
            assert isinstance(found, Subject)
            order.carry_out(found)

        self._obey(order.number, act)

    def _freeze(self, freezing: Freezing) -> None:
        self._obey(freezing.number, lambda: freezing.carry_out(self._freezer))

    def _obey(self, number: int, act: Callable[[], None]) -> None:
        """Do something to the processes; the page is told after a frame that shows what came."""
        watch, looking = self._watch, self._sampler
        if watch is None or not isinstance(looking, ProcessesSampler):
            return
        problem = ""
        try:
            act()
        except WardianError as error:
            problem = f"{error.what} ({error.hint})" if error.hint else error.what

        def answer() -> None:
            with suppress(WardianError):  # it has ended: the watch says so itself
                if (frame := looking.sample()) is not None:
                    self._publish(frame)
            self._send_json({"kind": "obeyed", "number": number, "problem": problem})

        watch.ask(answer)

    def _send_json(self, message: object) -> None:
        self._send([msgspec.json.encode(message)])
