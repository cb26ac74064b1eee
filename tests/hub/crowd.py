"""All users of a hub at once: they come, run the tour, and are looked at from outside."""

from __future__ import annotations

import asyncio
import json
import statistics
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from tornado.httpclient import AsyncHTTPClient, HTTPRequest

from tests.benchmarks.memory import pss_mib
from tests.hub.real_hub import RealHub, User, processes_of
from tests.hub.visitor import PATIENCE_S, Said, Visitor
from tests.reports import ROOT

TOUR = ROOT / "notebooks/en/00-tour.ipynb"


@dataclass(frozen=True, slots=True)
class Step:
    """A cell of the tour, and whether it ends in an error there."""

    code: str
    fails: bool


def tour() -> list[Step]:
    """The tour's code cells with their saved outcome."""
    cells = [one for one in json.loads(TOUR.read_text())["cells"] if one["cell_type"] == "code"]
    return [
        Step(
            "".join(one["source"]),
            any(output["output_type"] == "error" for output in one["outputs"]),
        )
        for one in cells
    ]


async def take_the_tour(visitor: Visitor, steps: Sequence[Step]) -> list[Said]:
    """All of it by one user, from the login on."""
    first, *others = steps
    begun = await visitor.come(first.code)
    return [begun, *[await visitor.run(step.code) for step in others]]


async def cull(hub: RealHub, users: Sequence[User]) -> None:
    """End sessions as the hub's culler does, by its API."""
    client = AsyncHTTPClient()
    headers = {"Authorization": f"token {hub.token}"}

    async def end(user: User) -> None:
        address = f"{hub.url}/hub/api/users/{user.name}/server"
        request = HTTPRequest(
            address,
            method="DELETE",
            headers=headers,
            connect_timeout=PATIENCE_S,
            request_timeout=PATIENCE_S,
        )
        answer = await client.fetch(request)
        while answer.code == 202:  # it is ending
            await asyncio.sleep(0.1)
            answer = await client.fetch(request, raise_error=False)
            if answer.code in (400, 404):  # it has ended
                return

    await asyncio.gather(*map(end, users))


def memory_mib(users: Sequence[User]) -> float:
    """What one user has on average, as PSS."""
    total = 0.0
    for host_pid in processes_of(users):
        with suppress(OSError, TypeError):  # it has ended
            total += pss_mib(host_pid)
    return total / len(users)


def percentile(values: Sequence[float], hundredths: int) -> float:
    """That of a few values."""
    return statistics.quantiles(values, n=100, method="inclusive")[hundredths - 1]
