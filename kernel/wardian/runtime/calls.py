"""What clients can ask of the keeper: one method a call, its argument decoded and checked."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import msgspec

from wardian.errors import CommandFailed, FailedPrecondition, InvalidInput, WardianError
from wardian.runtime import event_messages as e
from wardian.runtime import messages as m
from wardian.runtime import volume_messages as v
from wardian.runtime.health import HealthStatus
from wardian.runtime.history import Execution
from wardian.runtime.house import House
from wardian.runtime.live import Live, Spawned
from wardian.runtime.loop import Loop, Timer
from wardian.runtime.relay import Tap
from wardian.runtime.spec import ContainerSpec, Keep
from wardian.runtime.state import Record, Status
from wardian.runtime.wire import Connection


class Reply:
    """Where the answer to one request goes, now or later."""

    def __init__(self, loop: Loop, client: Connection, request_id: int) -> None:
        self._loop = loop
        self.client = client
        self._id = request_id

    def send(self, value: Any, fds: tuple[int, ...] = ()) -> None:
        """Answer with a value and descriptors (the caller still owns those)."""
        answer = m.Answer(self._id, msgspec.Raw(m.encode(value)))
        self._loop.send(self.client, m.encode(answer), fds)

    def later(self, delay_s: float, act: Callable[[], None]) -> Timer:
        """Go on with the answer after a while."""
        return self._loop.later(delay_s, act)

    def fail(self, error: WardianError) -> None:
        """Answer with an error of the tree."""
        code = error.exit_code if isinstance(error, CommandFailed) else None
        failure = m.Failure(type(error).__name__, error.what, error.hint, code)
        self._loop.send(self.client, m.encode(m.Answer(self._id, failure=failure)))


Hold = Callable[[Connection, Record, Keep], None]
Handler = Callable[[Reply, Any, tuple[int, ...]], None]


class Calls:
    """Every call but ``attach``, which is about the connection itself."""

    def __init__(self, house: House, hold: Hold) -> None:
        self._house = house
        self._hold = hold
        self._listeners: dict[Connection, list[Callable[[e.Event], None]]] = {}
        self._leaving: dict[Connection, list[Callable[[], None]]] = {}
        self._awaited: dict[Connection, set[str]] = {}  # volumes, until a container has them
        self._borrowed: dict[Connection, list[str]] = {}  # containers, until they are given back
        self._handlers: dict[str, tuple[Any, Handler]] = {
            "create": (m.CreateCall, self._create),
            "run": (m.RunCall, self._run),
            "start": (m.StartCall, self._start),
            "spawn": (m.SpawnCall, self._spawn),
            "wait": (m.WaitCall, self._wait),
            "wait_healthy": (m.HealthCall, self._wait_healthy),
            "stop": (m.StopCall, self._stop),
            "kill": (m.KillCall, self._kill),
            "remove": (m.RemoveCall, self._remove),
            "pause": (m.NameCall, self._pause),
            "unpause": (m.NameCall, self._unpause),
            "update": (m.UpdateCall, self._update),
            "inspect": (m.NameCall, self._inspect),
            "list": (type(None), self._list),
            "lend": (m.NameCall, self._lend),
            "give_back": (m.NameCall, self._give_back),
            "enter": (m.NameCall, self._enter),
            "join": (m.JoinCall, self._join),
            "rename": (m.RenameCall, self._rename),
            "connect": (m.ConnectCall, self._connect),
            "disconnect": (m.DisconnectCall, self._disconnect),
            "create_network": (m.CreateNetworkCall, self._create_network),
            "remove_network": (m.NameCall, self._remove_network),
            "create_volume": (v.CreateVolumeCall, self._create_volume),
            "make_volumes": (v.MakeVolumesCall, self._make_volumes),
            "drop_volumes": (v.DropVolumesCall, self._drop_volumes),
            "settle_volume": (v.SettleVolumeCall, self._settle_volume),
            "remove_volume": (m.NameCall, self._remove_volume),
            "events": (e.EventsCall, self._events),
            "note": (e.NoteCall, self._note),
            "ping": (type(None), lambda reply, _call, _fds: reply.send("pong")),
        }

    def handle(self, request: m.Request, reply: Reply, fds: tuple[int, ...]) -> None:
        """Carry out one request; raises WardianError or msgspec.MsgspecError."""
        try:
            kind, handler = self._handlers[request.call]
        except KeyError:
            raise InvalidInput(f"unknown call: {request.call[:40]}") from None
        handler(reply, m.decode(request.body, kind), fds)

    def forget(self, client: Connection) -> None:
        """A client is gone: send it no more events, nor what containers print."""
        for listener in self._listeners.pop(client, ()):
            self._house.history.leave(listener)
        for leave in self._leaving.pop(client, ()):
            leave()
        for container_id in self._borrowed.pop(client, ()):
            self._house.give_back(container_id, lambda _: None)
        self._house.shelf.drop(sorted(self._awaited.pop(client, ())))

    def _create(self, reply: Reply, call: m.CreateCall, _fds: tuple[int, ...]) -> None:
        reply.send(self._house.info(self._create_record(reply.client, call.spec)))

    def _create_record(self, client: Connection, spec: ContainerSpec, **how: bool) -> Record:
        record = self._house.create(spec, **how)
        self._awaited.get(client, set()).difference_update(mount.name for mount in spec.volumes)
        return record

    def _run(self, reply: Reply, call: m.RunCall, fds: tuple[int, ...]) -> None:
        record = self._create_record(reply.client, call.spec, to_start=True)
        try:
            self._begin(record, reply, call, fds)
        except BaseException:
            self._house.remove(record)
            raise
        if call.spec.keep is not Keep.ALWAYS:
            self._hold(reply.client, record, call.spec.keep)

    def _start(self, reply: Reply, call: m.StartCall, fds: tuple[int, ...]) -> None:
        record = self._house.find(call.name)
        record = self._house.restarts.started(record)
        self._begin(record, reply, call, fds)

    def _begin(
        self,
        record: Record,
        reply: Reply,
        call: m.RunCall | m.StartCall,
        fds: tuple[int, ...],
    ) -> None:
        """Start it; the answer is its description, once the main process (if any) runs."""
        main = record.spec.process

        def begin(live: Live) -> None:
            if main is not None:
                terminal = call.terminal or record.spec.tty
                live.spawn_main(main, call.targets, fds, terminal=terminal, done=started)
                if call.attach:
                    taps.extend(self._tap(live, reply.client))

        def started(result: m.SpawnedProcess | WardianError, given: tuple[int, ...]) -> None:
            if isinstance(result, WardianError):
                reply.fail(result)
            else:
                ends = tuple(tap.reading_end for tap in taps)
                reply.send(self._house.info(live.record), (*ends, *given[1:]))
            for tap in taps:
                os.close(tap.reading_end)

        taps: list[Tap] = []
        try:
            live = self._house.start(record, begin)
        except BaseException:
            for tap in taps:
                os.close(tap.reading_end)
            raise
        if main is None:
            reply.send(self._house.info(live.record))

    def _tap(self, live: Live, client: Connection) -> list[Tap]:
        """What the main process prints, for a client as long as it is there."""
        taps = live.relay.attach(live.streams)
        self._leaving.setdefault(client, []).append(lambda: live.relay.detach(taps))
        return taps

    def _join(self, reply: Reply, call: m.JoinCall, _fds: tuple[int, ...]) -> None:
        record = self._house.find(call.name)
        if not record.is_running:
            raise FailedPrecondition(
                f"cannot attach to {record.spec.name}: it does not run",
                hint=f"start it with `wardian start {record.spec.name}`",
            )
        if record.status is Status.PAUSED:
            raise FailedPrecondition(
                f"cannot attach to {record.spec.name}: it is paused",
                hint=f"let it go on with `wardian unpause {record.spec.name}`",
            )
        live = self._house.live(record)
        ends = tuple(tap.reading_end for tap in self._tap(live, reply.client))
        self._house.history.note("attach", record)
        reply.send(None, (*ends, *live.inputs))
        for fd in ends:
            os.close(fd)

    def _spawn(self, reply: Reply, call: m.SpawnCall, fds: tuple[int, ...]) -> None:
        if len(call.targets) != len(fds) or len(set(call.targets)) != len(fds):
            raise InvalidInput("every descriptor needs a number of its own")
        record = self._house.find(call.name)
        live = self._house.live(record)
        answer = _answer(reply)
        execution = Execution(self._house.history, record, call.process.argv)

        def done(result: m.SpawnedProcess | WardianError, given: tuple[int, ...]) -> None:
            answer(result, given)
            if not isinstance(result, WardianError):
                execution.has_started()
                live.wait(result.key, execution.has_ended)

        execution.was_asked_for()
        live.spawn(call.process, call.targets, fds, terminal=call.terminal, done=done)

    def _wait(self, reply: Reply, call: m.WaitCall, _fds: tuple[int, ...]) -> None:
        record = self._house.find(call.name)
        if call.key in (None, m.MAIN_KEY) and not record.is_running:
            reply.send(record.exit_code or 0)
            return
        live = self._house.live(record)
        if call.key is None:
            live.on_stopped.append(reply.send)
        else:
            live.wait(call.key, reply.send)

    def _wait_healthy(self, reply: Reply, call: m.HealthCall, _fds: tuple[int, ...]) -> None:
        record = self._house.find(call.name)
        self._house.live(record)
        if record.spec.healthcheck is None:
            raise FailedPrecondition(
                f"container {record.spec.name} has no healthcheck",
                hint="give it one with --health-cmd, or its image one with HEALTHCHECK",
            )
        health, timers = self._house.health, list[Timer]()

        def told(status: HealthStatus | None) -> None:
            for timer in timers:
                timer.cancel()
            reply.send(m.HealthAnswer(status))

        def expire() -> None:
            health.leave(record.id, told)
            reply.send(m.HealthAnswer(HealthStatus.STARTING))

        if call.timeout_s is not None:
            timers.append(reply.later(call.timeout_s, expire))
        health.wait(record, told)

    def _stop(self, reply: Reply, call: m.StopCall, _fds: tuple[int, ...]) -> None:
        record = self._house.find(call.name)
        if not record.is_running:
            self._house.restarts.stopped(record)
            reply.send(record.exit_code or 0)
            return

        number = _signal(call.signal)
        if self._house.live(record).before is not None:  # it was only lent
            self._house.stop(record, call.timeout_s, number, reply.send)
            return

        def ended(exit_code: int) -> None:
            def tell() -> None:
                self._house.history.note("stop", record)
                reply.send(exit_code)

            reply.later(0, tell)  # that it has died is told first

        self._note_kill(record, number)
        self._house.stop(record, call.timeout_s, number, ended)

    def _note_kill(self, record: Record, number: int) -> None:
        self._house.history.note("kill", record, attributes={"signal": str(number)})

    def _kill(self, reply: Reply, call: m.KillCall, _fds: tuple[int, ...]) -> None:
        record = self._house.find(call.name)
        live = self._house.live(record)
        number = _signal(call.signal)
        if call.key in (None, m.MAIN_KEY):
            self._note_kill(record, number)
        if call.key is None and number == signal.SIGKILL:
            self._house.restarts.stopped(record)
            live.on_stopped.append(lambda _: reply.send(None))
            live.kill()
            return
        key = call.key
        if key is None and m.MAIN_KEY in live.running:
            key = m.MAIN_KEY
        live.signal(number, key)
        reply.send(None)

    def _remove(self, reply: Reply, call: m.RemoveCall, _fds: tuple[int, ...]) -> None:
        record = self._house.find(call.name)
        if record.is_running and call.force:
            self._note_kill(record, signal.SIGKILL)
            self._house.kill_and_remove(record, lambda _: reply.send(None), volumes=call.volumes)
        else:
            self._house.remove(record, volumes=call.volumes)
            reply.send(None)

    def _pause(self, reply: Reply, call: m.NameCall, _fds: tuple[int, ...]) -> None:
        record = self._house.set_paused(self._house.find(call.name), paused=True)
        reply.send(self._house.info(record))

    def _unpause(self, reply: Reply, call: m.NameCall, _fds: tuple[int, ...]) -> None:
        record = self._house.set_paused(self._house.find(call.name), paused=False)
        reply.send(self._house.info(record))

    def _update(self, reply: Reply, call: m.UpdateCall, _fds: tuple[int, ...]) -> None:
        record = self._house.find(call.name)
        record = self._house.update(record, call.limits, call.restart)
        reply.send(self._house.info(record))

    def _inspect(self, reply: Reply, call: m.NameCall, _fds: tuple[int, ...]) -> None:
        reply.send(self._house.info(self._house.find(call.name)))

    def _list(self, reply: Reply, _call: None, _fds: tuple[int, ...]) -> None:
        """One answer a container, then a null: no answer grows with the number of containers."""
        for record in sorted(self._house.records.values(), key=lambda record: record.created_at):
            reply.send(self._house.info(record, in_brief=True))
        reply.send(None)

    def _lend(self, reply: Reply, call: m.NameCall, _fds: tuple[int, ...]) -> None:
        record = self._house.lend(self._house.find(call.name))
        self._borrowed.setdefault(reply.client, []).append(record.id)
        reply.send(self._house.info(record))

    def _give_back(self, reply: Reply, call: m.NameCall, _fds: tuple[int, ...]) -> None:
        record = self._house.find(call.name)
        borrowed = self._borrowed.get(reply.client, [])
        if record.id not in borrowed:
            raise FailedPrecondition(f"container {record.spec.name} was not lent")
        borrowed.remove(record.id)
        self._house.give_back(record.id, lambda _: reply.send(None))

    def _enter(self, reply: Reply, call: m.NameCall, _fds: tuple[int, ...]) -> None:
        live = self._house.live(self._house.find(call.name))
        with live.namespace("user") as user, live.namespace("mnt") as mounts:
            reply.send(None, (user, mounts))

    def _rename(self, reply: Reply, call: m.RenameCall, _fds: tuple[int, ...]) -> None:
        record = self._house.rename(self._house.find(call.name), call.new_name)
        reply.send(self._house.info(record))

    def _connect(self, reply: Reply, call: m.ConnectCall, _fds: tuple[int, ...]) -> None:
        record = self._house.live(self._house.find(call.name)).record
        self._house.patch(record, self._house.plugs.connect(record, call.attachment))
        reply.send(None)

    def _disconnect(self, reply: Reply, call: m.DisconnectCall, _fds: tuple[int, ...]) -> None:
        record = self._house.live(self._house.find(call.name)).record
        self._house.patch(record, self._house.plugs.disconnect(record, call.network))
        reply.send(None)

    def _create_network(
        self, reply: Reply, call: m.CreateNetworkCall, _fds: tuple[int, ...]
    ) -> None:
        reply.send(m.NetworkInfo(self._house.plugs.create_network(call.request)))

    def _remove_network(self, reply: Reply, call: m.NameCall, _fds: tuple[int, ...]) -> None:
        reply.send(m.NetworkInfo(self._house.plugs.remove_network(call.name)))

    def _create_volume(self, reply: Reply, call: v.CreateVolumeCall, _fds: tuple[int, ...]) -> None:
        reply.send(v.VolumeInfo(self._house.shelf.create(call.request)))

    def _make_volumes(self, reply: Reply, call: v.MakeVolumesCall, _fds: tuple[int, ...]) -> None:
        made = self._house.shelf.make(call.mounts)
        anonymous = {mount.name for mount in made.mounts if mount.is_anonymous}
        self._awaited.setdefault(reply.client, set()).update(anonymous & set(made.new))
        reply.send(made)

    def _drop_volumes(self, reply: Reply, call: v.DropVolumesCall, _fds: tuple[int, ...]) -> None:
        self._house.shelf.drop(call.names)
        reply.send(None)

    def _settle_volume(self, reply: Reply, call: v.SettleVolumeCall, _fds: tuple[int, ...]) -> None:
        self._house.shelf.settle(call.name, call.staging)
        reply.send(None)

    def _remove_volume(self, reply: Reply, call: m.NameCall, _fds: tuple[int, ...]) -> None:
        self._house.shelf.remove(call.name)
        reply.send(None)

    def _events(self, reply: Reply, call: e.EventsCall, _fds: tuple[int, ...]) -> None:
        """One answer an event; a null when no more are wanted."""
        history = self._house.history
        for event in [] if call.since is None else history.since(call.since):
            if call.until is None or event.time <= call.until:
                reply.send(event)
        rest_s = None if call.until is None else call.until - time.time()
        if rest_s is not None and rest_s <= 0:
            reply.send(None)
            return
        history.listen(reply.send)
        self._listeners.setdefault(reply.client, []).append(reply.send)
        if rest_s is not None:
            reply.later(rest_s, lambda: self._end_events(reply))

    def _note(self, reply: Reply, call: e.NoteCall, _fds: tuple[int, ...]) -> None:
        record = self._house.find(call.name)
        self._house.history.note(call.action, record, attributes=call.attributes)
        reply.send(None)

    def _end_events(self, reply: Reply) -> None:
        self._house.history.leave(reply.send)
        reply.send(None)


def _answer(reply: Reply) -> Spawned:
    def done(result: m.SpawnedProcess | WardianError, fds: tuple[int, ...]) -> None:
        if isinstance(result, WardianError):
            reply.fail(result)
        else:
            reply.send(result, fds)

    return done


def _signal(number: int) -> int:
    if number not in signal.valid_signals():  # real-time ones, too
        raise InvalidInput(f"not a signal: {number}", hint="`kill -l` lists them")
    return number
