"""Who works: one takes a free Lease, another waits, takes over what nobody renews, and a holder that lost it ends."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor

import pytest

from memdiag.controller.lease import DURATION, Lease, LeaseLostError
from memdiag.kube.api import JsonObject, TransientError
from tests.controller.support import MemoryApi

PATH = "/apis/coordination.k8s.io/v1/namespaces/memdiag-system/leases/operator"


class Clock:
    """A clock that stands still unless told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def candidate(api: MemoryApi, name: str, clock: Clock) -> Lease:
    return Lease(api, "memdiag-system", "operator", name, clock=clock, wall=lambda: 1_700_000_000.0, renew=0.01)


async def acquired(lease: Lease, seconds: float = 20) -> bool:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(lease.acquire(asyncio.Event()), seconds)
    return lease.held


async def _one_holds_and_the_other_stands_by_until_nobody_renews() -> None:
    api, clock = MemoryApi(), Clock()
    first, second = candidate(api, "a", clock), candidate(api, "b", clock)
    assert await acquired(first)
    assert api.get(PATH)["spec"]["holderIdentity"] == "a"
    assert not await acquired(second, 0.5)
    clock.now += DURATION - 1
    assert not await acquired(second, 0.5)
    clock.now += 2
    assert await acquired(second)
    spec = api.get(PATH)["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("b", 1)
    with pytest.raises(LeaseLostError, match="took lease"):
        await first.keep()


async def _a_lease_that_is_renewed_is_never_taken() -> None:
    api, clock = MemoryApi(), Clock()
    first, second = candidate(api, "a", clock), candidate(api, "b", clock)
    assert await acquired(first)
    keeping = asyncio.create_task(first.keep())
    for _ in range(6):
        clock.now += DURATION / 2
        await asyncio.sleep(0.03)
        assert not await acquired(second, 0.03)
    keeping.cancel()


async def _a_lease_that_is_given_up_is_taken_at_once() -> None:
    api, clock = MemoryApi(), Clock()
    first, second = candidate(api, "a", clock), candidate(api, "b", clock)
    assert await acquired(first)
    first.release()
    assert await acquired(second)
    first.release()
    assert api.get(PATH)["spec"]["holderIdentity"] == "b", "only the holder gives up"


async def _a_holder_that_cannot_renew_ends_before_another_may_take_over() -> None:
    class Down(MemoryApi):
        down = False

        def get(self, path: str, query: object = None) -> JsonObject:
            if self.down:
                raise TransientError("away", 503)
            return super().get(path, query)

    api, clock = Down(), Clock()
    lease = candidate(api, "a", clock)
    assert await acquired(lease)
    api.down = True
    keeping = asyncio.create_task(lease.keep())
    await asyncio.sleep(0.05)
    assert not keeping.done()
    assert lease.age() == 0
    clock.now += DURATION - 4
    with pytest.raises(LeaseLostError, match="could not be renewed"):
        await asyncio.wait_for(keeping, 20)


async def _a_holder_without_an_answer_ends_before_another_may_take_over() -> None:
    class Silent(MemoryApi):
        answers = threading.Event()

        def get(self, path: str, query: object = None) -> JsonObject:
            self.answers.wait()
            return super().get(path, query)

    api = Silent()
    api.answers.set()
    lease = Lease(api, "memdiag-system", "operator", "a", renew=0.01, duration=0.3)
    assert await acquired(lease)
    api.answers.clear()
    with pytest.raises(LeaseLostError, match="no answer"):
        await asyncio.wait_for(lease.keep(), 20)
    api.answers.set()


async def _threads_that_all_wait_do_not_cost_the_lease() -> None:
    busy, loop = threading.Event(), asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    loop.run_in_executor(None, busy.wait)
    lease = Lease(MemoryApi(), "memdiag-system", "operator", "a", renew=0.01, duration=3)
    assert await acquired(lease)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(lease.keep(), 2.3)
    busy.set()


async def _waiting_ends_when_the_operator_is_to_stop() -> None:
    api, clock = MemoryApi(), Clock()
    assert await acquired(candidate(api, "a", clock))
    stop = asyncio.Event()
    stop.set()
    second = candidate(api, "b", clock)
    await asyncio.wait_for(second.acquire(stop), 20)
    assert not second.held


@pytest.mark.parametrize(
    "scene",
    [
        _one_holds_and_the_other_stands_by_until_nobody_renews,
        _a_lease_that_is_renewed_is_never_taken,
        _a_lease_that_is_given_up_is_taken_at_once,
        _a_holder_that_cannot_renew_ends_before_another_may_take_over,
        _a_holder_without_an_answer_ends_before_another_may_take_over,
        _threads_that_all_wait_do_not_cost_the_lease,
        _waiting_ends_when_the_operator_is_to_stop,
    ],
)
def test_scene(scene: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(scene())
