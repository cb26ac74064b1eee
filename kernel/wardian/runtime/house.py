"""Every container of one state root: created, started, ended, removed, adopted, swept."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from wardian.cgroups.limits import Limits
from wardian.errors import FailedPrecondition, SetupError, WardianError
from wardian.linux import process
from wardian.linux.clock import boot_id
from wardian.runtime import apparmor, groups, ids, lending, state, sysctls
from wardian.runtime import messages as m
from wardian.runtime.confinement import allowed_capabilities, seccomp_program
from wardian.runtime.description import describe
from wardian.runtime.groups import Groups
from wardian.runtime.health import Health
from wardian.runtime.health_monitor import HealthMonitors
from wardian.runtime.history import History
from wardian.runtime.ledger import Ledger
from wardian.runtime.limit_hits import LimitHits
from wardian.runtime.live import Live
from wardian.runtime.loop import Loop
from wardian.runtime.nursery import Nursery
from wardian.runtime.orphans import Orphans
from wardian.runtime.plugs import UNPLUGGED, Plugged, Plugs
from wardian.runtime.restart_policy import RestartPolicy
from wardian.runtime.restarts import Restarts
from wardian.runtime.sandbox import Sandbox
from wardian.runtime.shelf import Shelf
from wardian.runtime.site import Site, Sites
from wardian.runtime.spec import ContainerSpec, Keep, UserNamespace
from wardian.runtime.state import Record, Records, Status
from wardian.runtime.zygote import Zygote
from wardian.storage.driver import Driver


def _nothing(_live: Live) -> None:
    """No orders."""


def _log(live: Live) -> None:
    """Order the main process, if there is one, its output to be kept in the log."""
    if main := live.record.spec.process:
        tty = live.record.spec.tty
        live.spawn_main(main, (), (), terminal=tty, done=lambda *_: None)


class House:
    """The containers below one state root and their life. Used by one thread only."""

    def __init__(self, root: Path, loop: Loop, zygote: Zygote) -> None:
        self._root = root
        self._loop = loop
        self._zygote = zygote
        self._disk = Records(root)
        self._sites = Sites(root, self._disk)
        self._groups = Groups(root, loop)
        self._live: dict[str, Live] = {}
        self._ledger = Ledger(self._disk, loop, self._follow)
        self.records = self._ledger.records
        self._nursery = Nursery(
            loop,
            zygote,
            self._groups,
            self._ledger.first_host_ids,
            reserve=self._sites.reserve,
            site=self._sites.of,
            release=self._release,
            may_guess=self._sites.driver is Driver.OVERLAY,
        )
        self.history = History()
        self._hits = LimitHits(loop, self._ledger, self.history)
        self.plugs = Plugs(root, loop, self._disk.home, self.records, self._enter, self.history)
        self.shelf = Shelf(root, self.records, self.history)
        self.restarts = Restarts(loop, self._ledger, start=partial(self.start, begin=_log))
        self.health = HealthMonitors(loop, self._ledger, self.history)
        self.orphans = Orphans(loop, self._ledger, discard=self._discard, stop=self._stop_orphan)

    @property
    def is_busy(self) -> bool:
        """Whether anything runs or is about to be ended."""
        return bool(self._live or self.orphans.are_there or self.restarts.are_due)

    def find(self, name: str) -> Record:
        """The container of this name or id; NotFound."""
        return state.find(self.records, name)

    def live(self, record: Record) -> Live:
        """The running container; FailedPrecondition if it does not run."""
        if live := self._live.get(record.id):
            return live
        raise FailedPrecondition(
            f"container {record.spec.name} is not running",
            hint=f"start it with `wardian start {record.spec.name}`",
        )

    # --- create and start ----------------------------------------------------------------

    def create(self, spec: ContainerSpec, *, to_start: bool = False) -> Record:
        """Reserve the name, the ids and the writable layer. Nothing half-made stays on failure.

        A container that is to start at once takes a prepared sandbox, if one suits it, and has its
        first record from `start`; until then it is nobody's.
        """
        state.ensure_free(self.records, spec.name)
        spec = lending.settle(spec, self.find)
        self.shelf.ensure(spec.volumes)
        sysctls.check(spec)
        apparmor.check(spec.apparmor)
        allowed_capabilities(spec)
        seccomp_program(spec)
        spare = self._nursery.reserve(spec, self._sites.lowers(spec)) if to_start else None
        container_id = spare.container_id if spare else state.new_id()
        maps = spare.sandbox.ids if spare else self._choose_ids(spec)
        record = Record(
            version=state.VERSION,
            id=container_id,
            spec=replace(spec, hostname=spec.hostname or state.usual_hostname(container_id)),
            status=Status.CREATED,
            created_at=time.time(),
            first_host_id=maps.first_host_id if maps else None,
        )
        try:
            if spare is None:
                self._sites.reserve(container_id, maps)
            self._disk.create(record, is_known=not to_start)
        except BaseException:
            self._release(container_id)
            raise
        self.records[container_id] = record
        self.history.note("create", record)
        return record

    def _choose_ids(self, spec: ContainerSpec) -> ids.IdMaps | None:
        if spec.user_namespace is UserNamespace.HOST:
            if os.geteuid() != 0:
                raise SetupError(
                    "only root can run a container without a user namespace",
                    hint="leave out --userns=host",
                )
            return None
        if (lender := lending.lender_of(spec, self.find)) is not None:
            return ids.of(lender)
        return ids.choose(chain(self._ledger.first_host_ids(), self._nursery.first_host_ids()))

    def _enter(self, record: Record, kind: str) -> AbstractContextManager[int]:
        return self.live(record).namespace(kind)

    def _release(self, container_id: str) -> None:
        """Take a reservation back."""
        if sandbox := self._nursery.take(container_id):
            sandbox.discard()
            self._groups.remove(sandbox.cgroup)
        self._sites.release(container_id)

    def start(self, record: Record, begin: Callable[[Live], None]) -> Live:
        """Make the container run. ``begin`` gives init its first orders while it still sets up."""
        live = self._taken_over(record, begin) or self._start(self.records[record.id], begin)
        self.history.note("start", live.record)
        return live

    def _taken_over(self, record: Record, begin: Callable[[Live], None]) -> Live | None:
        """It as it runs for borrowers, for itself from now on; None if it does not, or its end."""
        live = self._live.get(record.id)
        if live is None or live.before is None:
            return None
        if not live.borrowers:
            live.wait_for_end()
            self._note_end(live)
            return None
        begin(live)
        live.before = None
        self._ledger.store(live.record, **state.beginning())
        self.health.watch(live)
        return live

    def _start(self, record: Record, begin: Callable[[Live], None]) -> Live:
        if record.id in self._live:
            raise FailedPrecondition(f"container {record.spec.name} is already running")
        sandbox = self._nursery.take(record.id)
        cgroup = sandbox.cgroup if sandbox else self._groups.of(record)
        live: Live | None = None
        try:
            warnings = groups.limit(cgroup, record.spec, is_new=sandbox is None)
            if sandbox is None:
                with lending.loan(record.spec, self.find, self._enter) as loan:
                    maps = ids.of(record)
                    network = record.spec.network
                    sandbox = Sandbox.create(self._zygote, network, maps, cgroup, loan, record.spec)
            if not sandbox.is_laid:
                sandbox.lay(self.site(record))
            plugged = self.plugs.attach(record, sandbox)
            shelved = self.shelf.attach(record, sandbox)
            init = sandbox.enter(record.spec, (*plugged.files, *shelved.binds))
            warnings = (*warnings, *sandbox.warnings, *shelved.warnings)
            running = self._note_start(record, sandbox, plugged, warnings)
            live = Live(self._loop, running, self._disk.home(record.id), cgroup, sandbox.pidfd)
            live.init = init
            sandbox.go()
            begin(live)
            borrowed = sandbox.wait_until_ready()
        except BaseException:
            if live is not None:
                live.give_up()
                self._put_back(record)
            self.plugs.detach(record)
            self.shelf.detach(record)
            if sandbox is not None:
                sandbox.discard()
            self._groups.remove(cgroup)
            raise
        live.connect(init)
        self._watch(live)
        live.watch_server(sandbox.take_server(live.home))
        if sandbox.warnings:
            self._nursery.guess_nothing()
        if borrowed:
            self._ledger.note(live.record, warnings=(*live.record.warnings, *borrowed))
        self._nursery.refill_soon()
        return live

    def lend(self, record: Record) -> Record:
        """Make it run with init alone, for somebody who wants its files; nothing is told of it.

        One that runs by itself is as it is.
        """
        live = self._live.get(record.id)
        if live is None:
            live = self._start(record, _nothing)
            live.before = record
            self.health.stop(record.id)
        live.borrowers += 1
        return live.record

    def give_back(self, container_id: str, done: Callable[[int], None]) -> None:
        """A borrower has seen enough; with the last, a container ends that does not run itself."""
        live = self._live.get(container_id)
        if live is not None:
            live.borrowers -= 1
        if live is None or live.before is None or live.borrowers:
            done(0)
            return
        live.on_stopped.append(done)
        live.kill()

    def _note_start(
        self, record: Record, sandbox: Sandbox, plugged: Plugged, warnings: tuple[str, ...]
    ) -> Record:
        return self._ledger.store(
            record,
            status=Status.RUNNING,
            host_pid=sandbox.host_pid,
            started_ticks=sandbox.started_ticks,
            **state.beginning(),
            finished_at=None,
            exit_code=None,
            exit_reason="",
            health=(record.health or Health()).started() if record.spec.healthcheck else None,
            hits=state.NO_HITS,
            warnings=(*warnings, *plugged.warnings),
            **plugged.changes,
        )

    def _put_back(self, record: Record) -> None:
        """A start has failed: the container is what it was before."""
        with suppress(WardianError):
            self._ledger.store(record)

    def _watch(self, live: Live) -> None:
        self._live[live.record.id] = live
        self._hits.watch(live.record.id, live.cgroup)
        self._loop.watch(live.pidfd, lambda: self._note_end(live))
        self.health.watch(live)

    def site(self, record: Record) -> Site:
        """Where the container's files lie on the host."""
        return self._sites.of(record.id, self._sites.lowers(record.spec))

    # --- end and removal -----------------------------------------------------------------

    def _note_end(self, live: Live) -> None:
        """Init has ended, and with it every process of the container."""
        code = process.reap(live.record.host_pid)
        live.hear_last_words()
        self.health.ended(live.record.id)
        was_oom = self._hits.forget(live.record.id, live.cgroup)
        record = live.record
        del self._live[record.id]
        exit_code = live.exits.get(m.MAIN_KEY, code)
        reason = live.stop_reason or ("out of memory" if was_oom and exit_code == 137 else "")
        live.close(exit_code)
        self.plugs.detach(record)
        self.shelf.detach(record)
        if live.before is not None:  # what it was, but for what was asked of it meanwhile
            asked = {"spec": record.spec, "was_stopped": record.was_stopped}
            self._ledger.note(live.before, **asked)
            self._groups.remove(live.cgroup)
            return
        record = self._store_end(record, exit_code, reason)
        (self._disk.home(record.id) / "init.sock").unlink(missing_ok=True)
        self.history.note("die", record, exit_code=exit_code)
        self._groups.remove(live.cgroup)
        if record.spec.remove_on_exit:
            self.remove(record)
            return
        self.restarts.ended(record, exit_code)

    def _store_end(self, record: Record, exit_code: int, reason: str) -> Record:
        return self._ledger.note(
            record,
            status=Status.EXITED,
            host_pid=None,
            finished_at=time.time(),
            exit_code=exit_code,
            exit_reason=reason,
            health=record.health.ended() if record.health else None,
            **UNPLUGGED,
        )

    def stop(
        self, record: Record, timeout_s: float, number: int, done: Callable[[int], None]
    ) -> None:
        """End the container's processes; ``done`` hears the exit code."""
        live = self.live(record)
        record = self.restarts.stopped(record)
        if record.status is Status.PAUSED:
            self.set_paused(record, paused=False)
        live.on_stopped.append(done)
        live.shut_down(timeout_s, number)

    def close(self) -> None:
        """The keeper leaves; what runs goes on, for the next one."""
        self._nursery.close()
        if not self._live:
            self._groups.close()

    def remove(self, record: Record, *, volumes: bool = False) -> None:
        """Forget a container that does not run, and its writable layer.

        Its anonymous volumes go with it if that is asked for, or if nobody had to ask to remove it.
        """
        if record.id in self._live:
            raise FailedPrecondition(
                f"container {record.spec.name} is running",
                hint=f"stop it first, or use `wardian rm --force {record.spec.name}`",
            )
        self.orphans.cancel(record.id)
        self.restarts.cancel(record.id)
        self._release(record.id)
        self.records.pop(record.id, None)
        self.history.note("destroy", record)
        is_its_end = record.spec.remove_on_exit or record.spec.keep is Keep.NEVER
        self.shelf.forsake(record, volumes=volumes or is_its_end)

    def kill_and_remove(
        self, record: Record, done: Callable[[int], None], *, volumes: bool = False
    ) -> None:
        """``rm --force``: end it at once, then remove it."""

        def gone(code: int) -> None:
            # The end is still being noted down; remove when that is done.
            finish = partial(self._finish_removal, record.id, code, done, volumes=volumes)
            self._loop.later(0, finish)

        live = self.live(record)
        self.restarts.stopped(record)
        live.on_stopped.append(gone)
        live.kill()

    def _finish_removal(
        self, container_id: str, code: int, done: Callable[[int], None], *, volumes: bool
    ) -> None:
        if record := self.records.get(container_id):
            self.remove(record, volumes=volumes)
        done(code)

    def set_paused(self, record: Record, *, paused: bool) -> Record:
        """Freeze or thaw every process of the container."""
        live = self.live(record)
        self.health.stop(record.id)
        try:
            if paused:
                with suppress(FailedPrecondition):  # then it cannot be entered while it is frozen
                    live.hold_namespaces()
                live.cgroup.freeze()
            else:
                live.cgroup.thaw()
            self._ledger.store(record, status=Status.PAUSED if paused else Status.RUNNING)
        finally:
            self.health.watch(live)
        self.history.note("pause" if paused else "unpause", record)
        return live.record

    def rename(self, record: Record, name: str) -> Record:
        """Another name, if it is free."""
        spec = replace(record.spec, name=name)
        state.ensure_free(self.records, name)
        changed = self._ledger.store(record, spec=spec)
        self.plugs.rename(changed)
        self.history.note("rename", changed)
        return changed

    def patch(self, record: Record, changes: dict[str, Any]) -> None:
        """Its networks have changed while it runs."""
        self._ledger.store(record, **changes)

    def update(
        self, record: Record, limits: Limits | None, restart: RestartPolicy | None
    ) -> Record:
        """Other limits, in force at once when it runs; another policy. None: as it is."""
        spec, warnings = record.spec, record.warnings
        if restart is not None:
            spec = self.restarts.changed(record, restart)
        if limits is not None:
            spec = replace(spec, limits=limits)
            if live := self._live.get(record.id):
                warnings = groups.change_limits(live.cgroup, record, limits)
        changed = self._ledger.store(record, spec=spec, warnings=warnings)
        self._hits.poll()
        self.history.note("update", changed)
        return changed

    # --- whose container is it -----------------------------------------------------------

    def held(self, record: Record, keep: Keep) -> None:
        """Somebody holds the container (again); ``keep`` is also for the keeper after this one."""
        self.orphans.cancel(record.id)
        if record.spec.keep is not keep:
            self._ledger.store(record, spec=replace(record.spec, keep=keep))

    def _stop_orphan(self, record: Record) -> None:
        if record.id in self._live:
            self.stop(record, record.spec.stop_timeout_s, record.spec.stop_signal, lambda _: None)

    def _discard(self, record: Record) -> None:
        if record.id in self._live:
            self.kill_and_remove(record, lambda _: None)
        else:
            self.remove(record)

    # --- a new keeper --------------------------------------------------------------------

    def adopt(self) -> None:
        """Take over what runs, note what has ended, sweep away what belongs to nothing."""
        self.records.update((record.id, record) for record in self._disk.load())
        for record in list(self.records.values()):
            if record.is_running:
                self._adopt_running(record)
            elif record.spec.keep is Keep.NEVER:
                self.remove(record)
            elif record.boot_id not in ("", boot_id()):
                self.restarts.booted(record)
        self.plugs.adopt()
        self.shelf.adopt()
        self._groups.sweep(self._live)
        self._nursery.refill_soon()
        self._sites.sweep(self.records)

    def _adopt_running(self, record: Record) -> None:
        cgroup = self._groups.of(record)
        try:
            live = Live.reconnect(self._loop, record, self._disk.home(record.id), cgroup)
        except OSError:
            self._hits.look(record.id, cgroup)
            with suppress(WardianError, OSError):
                cgroup.kill()
            record = self.records[record.id]
            record = self._store_end(record, 137, "ended while no keeper watched")
            if record.spec.keep is Keep.NEVER or record.spec.remove_on_exit:
                self.remove(record)
            else:
                self.restarts.ended(record, 137)
            return
        self._watch(live)
        self.orphans.adopted(record)

    # --- what others see -----------------------------------------------------------------

    def info(self, record: Record, *, in_brief: bool = False) -> m.ContainerInfo:
        """The container as clients see it; in brief without what its healthchecks said."""
        if in_brief and record.health:
            record = replace(record, health=record.health.in_brief())
        live = self._live.get(record.id)
        return describe(record, self.site(record), live.cgroup if live else None)

    def _follow(self, record: Record) -> None:
        if live := self._live.get(record.id):
            live.record = record
