"""What is measured in a round, and the rounds."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from time import perf_counter

from tests.benchmarks.amounts import CLIENTS, CONNECTIONS, LIGHT_PER_S, Amounts
from tests.benchmarks.figures import Figures
from tests.benchmarks.load import Journeys, flood, to_completion, trickle
from tests.benchmarks.processes import BareEndpoint, ProcessorTime
from tests.benchmarks.requests import GATE, gatekeeper, submissions
from tests.benchmarks.stored import Stored
from tests.support.service import Service


class Bench:
    """Both servers under the same loads, in turns."""

    def __init__(self, bare: BareEndpoint, service: Service, stored: Stored, amounts: Amounts) -> None:
        self._token = service.token("bench", "submitter")
        self._bare, self._service, self._stored = bare, service, stored
        self._amounts = amounts
        self._to_bare = submissions(bare.path, self._token)
        self._to_service = submissions("/v1/tasks", self._token)

    async def rounds(self) -> list[Figures]:
        """The figures of each round."""
        self._bare_time = ProcessorTime(self._bare.process_id)
        self._service_time = ProcessorTime(self._service.process_id, await self._stored.backend_id())
        begin = datetime.now(UTC)
        await flood(self._bare.port, self._to_bare, CONNECTIONS, self._amounts.warm_up)
        await flood(self._service.port, self._to_service, CONNECTIONS, self._amounts.warm_up)
        await self._stored.idle()
        rounds = [await self._round() for _ in range(self._amounts.rounds)]
        await self._stored.check_completed(begin)
        return rounds

    async def _round(self) -> Figures:
        return {
            "bare": await self._bare_flood(),
            **await self._flood(),
            "polling": await self._to_completion(held=False),
            "held": await self._to_completion(held=True),
            "light": await self._light(),
        }

    async def _bare_flood(self) -> Figures:
        self._bare_time.since()
        figures = await flood(self._bare.port, self._to_bare, CONNECTIONS, self._amounts.flood)
        return {**figures, "processor_us": self._bare_time.since(self._amounts.flood)}

    async def _flood(self) -> Figures:
        """Tasks a second until the last of them is committed as Completed; and how long the answers took meanwhile."""
        self._service_time.since()
        begin = perf_counter()
        answered = await flood(self._service.port, self._to_service, CONNECTIONS, self._amounts.flood)
        completed = {"per_s": round(self._amounts.flood / (await self._stored.idle() - begin))}
        taken = self._service_time.since(self._amounts.flood)
        return {"flood": {**answered, **completed, "processor_us": taken}}

    async def _to_completion(self, *, held: bool) -> Figures:
        self._service_time.since()
        journeys = Journeys(self._to_service, self._token, held=held)
        figures = await to_completion(journeys, self._service.port, CLIENTS, self._amounts.journeys_s)
        await self._stored.idle()
        return {**figures, "processor_us": self._service_time.since(figures["tasks"])}

    async def _light(self) -> Figures:
        begin = datetime.now(UTC)
        journeys = Journeys(self._to_service, self._token, held=True)
        figures = await trickle(journeys, self._service.port, LIGHT_PER_S, self._amounts.light_s)
        await self._stored.idle()
        return {**figures, **await self._stored.pickup(begin)}


async def in_turns(bare: BareEndpoint, service: Service, url: str, amounts: Amounts) -> list[Figures]:
    """The rounds on a running service, whose database is looked into meanwhile."""
    async with looking_into(url) as stored:
        return await Bench(bare, service, stored, amounts).rounds()


async def submit_alone(bare: BareEndpoint, service: Service, amounts: Amounts) -> list[Figures]:
    """Answers a second where no task is executed meanwhile: each asks for a unit that is taken, and is stored."""
    token = service.token("bench", "submitter")
    with service.blocking_client("bench") as client:
        client.post("/v1/tasks", json=gatekeeper()).raise_for_status()
    to_bare = submissions(bare.path, token, GATE)
    to_service = submissions("/v1/tasks", token, GATE)
    time = ProcessorTime(service.process_id)
    rounds = []
    for count in (amounts.warm_up, *[amounts.flood] * amounts.rounds):
        empty = await flood(bare.port, to_bare, CONNECTIONS, count)
        time.since()
        stored = await flood(service.port, to_service, CONNECTIONS, count)
        rounds.append({"beside": empty, "submit": {**stored, "processor_us": time.since(count)}})
    return rounds[1:]


async def store(url: str, count: int) -> None:
    """Puts a backlog into the database of a service that does not run."""
    async with looking_into(url) as stored:
        await stored.store(count)


async def drained(url: str, since: datetime) -> Figures:
    """How fast a service that has just come up gets through what was stored since then."""
    async with looking_into(url) as stored:
        return await stored.drain(since)


@asynccontextmanager
async def looking_into(url: str) -> AsyncIterator[Stored]:
    """A connection to the database beside the service's own."""
    stored = await Stored.at(url)
    try:
        yield stored
    finally:
        await stored.close()
