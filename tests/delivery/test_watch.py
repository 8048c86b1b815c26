"""Waiting for news of a task."""

import asyncio

from app.delivery.watch import Watch

LONG_S = 30.0


async def test_a_change_wakes_those_who_wait_for_that_task() -> None:
    watch = Watch()
    with watch.subscribe("a") as one, watch.subscribe("a") as two, watch.subscribe("b") as other:
        watch.changed(["a", "unknown"])
        assert await one.wait(LONG_S)
        assert await two.wait(LONG_S)
        assert not await other.wait(0)


async def test_anything_wakes_everyone() -> None:
    watch = Watch()
    with watch.subscribe("a") as one, watch.subscribe("b") as two:
        watch.changed(None)
        assert await one.wait(LONG_S)
        assert await two.wait(LONG_S)


async def test_a_change_before_the_wait_is_not_missed_and_counts_once() -> None:
    watch = Watch()
    with watch.subscribe("a") as subscription:
        watch.changed(["a"])
        watch.changed(["a"])
        assert await subscription.wait(0)
        assert not await subscription.wait(0)
        watch.changed(["a"])
        assert await subscription.wait(LONG_S)


async def test_a_wait_under_way_is_woken() -> None:
    watch = Watch()
    with watch.subscribe("a") as subscription:
        waiting = asyncio.create_task(subscription.wait(LONG_S))
        await asyncio.wait([waiting], timeout=0.01)
        assert not waiting.done()
        watch.changed(["a"])
        assert await waiting


async def test_those_who_have_gone_leave_nothing_behind() -> None:
    watch = Watch()
    with watch.subscribe("a") as one:
        with watch.subscribe("a"):
            pass
        watch.changed(["a"])
        assert await one.wait(LONG_S)
    assert watch._waiting == {}
    watch.changed(["a"])
    watch.changed(None)


async def test_a_cancelled_wait_does_not_disturb_the_others() -> None:
    watch = Watch()
    with watch.subscribe("a") as stays:
        with watch.subscribe("a") as gone:
            waiting = asyncio.create_task(gone.wait(LONG_S))
            await asyncio.wait([waiting], timeout=0.01)
            waiting.cancel()
            await asyncio.wait([waiting])
        watch.changed(["a"])
        assert await stays.wait(LONG_S)
