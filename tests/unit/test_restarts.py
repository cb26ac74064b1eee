"""When containers that ended start again, and when nothing tries any more."""

from __future__ import annotations

from pathlib import Path

from wardian.errors import SetupError
from wardian.linux.clock import since_boot_s
from wardian.runtime import state
from wardian.runtime.ledger import Ledger
from wardian.runtime.loop import Loop
from wardian.runtime.restart_policy import RestartPolicy
from wardian.runtime.restarts import Restarts
from wardian.runtime.spec import ContainerSpec
from wardian.runtime.state import Record, Records, Status

RAN_WELL = Record(
    version=state.VERSION,
    id="f00d",
    spec=ContainerSpec(
        name="box", image="", lowers=(), restart=RestartPolicy.parse("on-failure:2")
    ),
    status=Status.EXITED,
    created_at=0.0,
    # What the time of day says of it is wrong: somebody has set the clock meanwhile.
    started_at=7200.0,
    finished_at=60.0,
    started_boot_s=since_boot_s() - 60.0,
)


class House:
    """Has one container, and cannot start it."""

    def __init__(self, root: Path) -> None:
        self.loop = Loop()
        disk = Records(root)
        disk.reserve(RAN_WELL.id)
        disk.create(RAN_WELL)
        self.ledger = Ledger(disk, self.loop, lambda _: None)
        self.ledger.note(RAN_WELL)
        self.tries = 0
        self.restarts = Restarts(self.loop, self.ledger, start=self.start)

    @property
    def record(self) -> Record:
        return self.ledger.records[RAN_WELL.id]

    def start(self, _record: Record) -> None:
        self.tries += 1
        raise SetupError("no image")

    def run(self, seconds: float) -> None:
        self.loop.later(seconds, self.loop.stop)
        self.loop.run()


def test_starts_that_fail_after_a_good_run_count_against_the_limit(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.restarts.ended(RAN_WELL, 1)
    house.run(1.0)  # 0.1 s, then 0.2 s; without a limit many more would fit
    assert (house.tries, house.record.restart_count) == (2, 2)
    assert house.record.exit_reason == "no image"
    assert not house.restarts.are_due


def test_a_restart_that_is_due_waits_for_who_looks_at_the_files(tmp_path: Path) -> None:
    house, tries = House(tmp_path), list[int]()
    house.restarts.ended(RAN_WELL, 1)
    house.ledger.note(house.record, status=Status.RUNNING)

    def give_back() -> None:
        tries.append(house.tries)
        house.ledger.note(house.record, status=Status.EXITED)

    house.loop.later(0.25, give_back)
    house.run(1.0)
    assert (tries, house.tries) == ([0], 2)
