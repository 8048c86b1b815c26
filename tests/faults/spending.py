"""Submitters who always try to have more than their quotas allow, and a watch from outside on what they have."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.client import OVER, message
from tests.faults.invariants import looking_into

AT_ONCE = 3
"""Submissions of one submitter under way at once."""

PAUSE_S = 0.03
RESULT_BYTES = len('{"attempt":100}')


@dataclass
class Spender:
    """One submitter, with a client for each replica. `quota` is what an admin has set for it."""

    name: str
    quota: dict[str, Any]
    clients: Sequence[httpx.AsyncClient]
    ledger: Path
    draw: random.Random
    cpu: float = 0.2
    accepted: set[str] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    erased: set[str] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)
    samples: int = 0
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def spend(self, stopping: asyncio.Event) -> None:
        """Submits, erases what is over and watches, until told to stop."""
        workers = [self._submit_on(stopping) for _ in range(AT_ONCE)]
        await asyncio.gather(*workers, self._erase_on(stopping), self._watch_on(stopping))

    async def _submit_on(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            seconds = self.draw.uniform(0.1, 0.5)
            parameters = {"ledger": str(self.ledger), "seconds": seconds, "steps": 1}
            number = f"{self.name}-{next(self._numbers)}"
            await self._submit(message("recorded", parameters, message_id=number, resources={"cpu": self.cpu}))
            await asyncio.sleep(PAUSE_S)

    async def _submit(self, sent: dict[str, Any]) -> None:
        """Until it is accepted or a quota stands against it; a kill in between leaves the outcome open, so again."""
        while True:
            response = await self._ask("POST", "/v1/tasks", json=sent)
            if response is not None and response.status_code in (200, 202):
                self.accepted.add(response.json()["body"]["details"]["task_id"])
                return
            if response is not None and response.status_code == httpx.codes.TOO_MANY_REQUESTS:
                self.refused.update(response.json()["violated-policies"])
                return
            await asyncio.sleep(PAUSE_S)

    async def _erase_on(self, stopping: asyncio.Event) -> None:
        """What is kept counts until it is erased."""
        while not stopping.is_set():
            for task_id in sorted(self.accepted - self.erased):
                response = await self._ask("DELETE", f"/v1/tasks/{task_id}/content")
                if response is not None and response.status_code == httpx.codes.OK:
                    self.erased.add(task_id)
                if stopping.is_set():
                    break
                await asyncio.sleep(PAUSE_S)
            await asyncio.sleep(PAUSE_S)

    async def _watch_on(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            told = await self._ask("GET", "/v1/quota")
            if told is not None and told.status_code == httpx.codes.OK:
                self.violations += self._beyond(told.json()["used"])
                self.samples += 1
            listed = await self._ask("GET", "/v1/tasks?status=Executing&limit=200&view=summary")
            if listed is not None and listed.status_code == httpx.codes.OK:
                details = [item["body"]["details"] for item in listed.json()["items"]]
                cpu = round(sum(each["resources"]["allocated"]["cpu"] for each in details), 6)
                self.violations += self._beyond({"running": len(details), "held": {"cpu": cpu}})

    def _beyond(self, used: dict[str, Any]) -> list[str]:
        """What of it is beyond the quota.

        What runs goes back to what waits when its node dies, which is never refused, and an end with its result
        neither: the sum of waiting and running tasks is bounded, and so are the messages.
        """
        quota = self.quota
        bounds = {
            "running": (used["running"], quota.get("running")),
            "held": (used["held"].get("cpu", 0), quota.get("held", {}).get("cpu")),
        }
        if "queued" in quota and "queued" in used:
            bounds["queued"] = used["queued"] + used["running"], quota["queued"] + quota["running"]
        if "stored_bytes" in quota and "stored_bytes" in used:
            kept = len(self.accepted) + AT_ONCE - len(self.erased)
            bounds["stored_bytes"] = used["stored_bytes"], quota["stored_bytes"] + RESULT_BYTES * kept
        return [
            f"{self.name}: {name} was {amount} of {most}"
            for name, (amount, most) in bounds.items()
            if most is not None and amount > most
        ]

    async def _ask(self, method: str, path: str, **arguments: Any) -> httpx.Response | None:
        """The answer of any replica; None where it was killed meanwhile."""
        try:
            response = await self.draw.choice(self.clients).request(method, path, **arguments)
        except httpx.TransportError:
            return None
        if response.status_code >= 500 and "retry-after" not in response.headers:
            self.violations.append(f"{self.name}: {method} {path} was answered {response.status_code}")
        return response


async def miscounted(database_url: str, spenders: Sequence[Spender]) -> list[str]:
    """Whose counted use is not what its tasks add up to, and what of theirs is lost or not over."""
    found = []
    async with looking_into(database_url) as connection:
        for spender in spenders:
            rows = await connection.fetch(
                "SELECT task_id::text AS id, state, allocated, octet_length(submission::text) AS sent, "
                "coalesce(octet_length(result::text), 0) AS result FROM tasks WHERE submitter = $1",
                spender.name,
            )
            counted = await connection.fetchrow("SELECT * FROM quota_usage WHERE submitter = $1", spender.name)
            assert counted is not None
            use = counted["queued"], counted["running"], counted["held"], counted["stored_bytes"]
            stored = sum(row["sent"] + row["result"] for row in rows)
            if use != (0, 0, "{}", stored):
                found.append(f"{spender.name}: {use} counted, nothing waits or runs, and {stored} bytes are kept")
            if not all(row["state"] in OVER and row["allocated"] == "{}" for row in rows):
                found.append(f"{spender.name}: not all is over")
            if missing := spender.accepted - {row["id"] for row in rows}:
                found.append(f"{spender.name}: {len(missing)} accepted tasks are lost")
    return found
