"""The system's resolver, where a name server does not answer."""

import asyncio
import socket
import threading
from typing import Any

import pytest

from app.delivery.webhooks.lines import Limits
from app.outbound.connecting import SystemResolver


async def test_names_that_are_never_resolved_hold_up_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """All places for webhooks, and as many look-ups again that have outlived their attempts."""
    answered, begun, real = threading.Event(), threading.Semaphore(0), socket.getaddrinfo
    hanging = 2 * Limits().in_all

    def look_up(host: str, *arguments: Any, **options: Any) -> Any:
        if host.startswith("silent"):
            begun.release()
            answered.wait(60)
        return real("127.0.0.1", *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    resolver = SystemResolver()
    try:
        silent = [asyncio.create_task(resolver.resolve(f"silent{number}.example", 443)) for number in range(hanging)]
        for _ in range(hanging):
            assert await asyncio.to_thread(begun.acquire, timeout=30)
        async with asyncio.timeout(30):
            assert await resolver.resolve("a.example", 443) == ["127.0.0.1"]
    finally:
        answered.set()
        resolver.close()
    await asyncio.gather(*silent)
