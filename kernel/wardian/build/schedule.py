"""Work that needs other work done first: as much at once as may be, the first error ends all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait


def in_order(
    needs: Mapping[int, frozenset[int]],
    work: Callable[[int], None],
    *,
    at_once: int,
    stop: Callable[[], None],
) -> None:
    """Do each number's work after that of those it needs, which are lower ones.

    What goes wrong first is raised, after ``stop`` was called and all that ran has ended.
    """
    if at_once == 1 or len(needs) == 1:
        for number in sorted(needs):
            work(number)
        return
    waiting = dict(needs)
    done: set[int] = set()
    running: dict[Future[None], int] = {}
    with ThreadPoolExecutor(at_once, thread_name_prefix="stage") as pool:
        try:
            while waiting or running:
                ready = sorted(number for number, needed in waiting.items() if needed <= done)
                for number in ready[: at_once - len(running)]:
                    del waiting[number]
                    running[pool.submit(work, number)] = number
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    future.result()
                    done.add(running.pop(future))
        except BaseException:
            stop()
            raise
