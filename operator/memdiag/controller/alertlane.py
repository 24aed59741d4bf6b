"""One channel's way out: jobs one after the other, a message a second, longer when Slack asks for it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from memdiag.alerts.failures import BusyError, UncertainError

SPACING = 1.05
"""Seconds between two messages: Slack takes about one a second and channel."""
BACKOFF = 0.5
"""Seconds that double with each attempt, where Slack names none itself."""
BUSY_ATTEMPTS = 6
UNCERTAIN_ATTEMPTS = 2
"""A message whose answer was lost is sent once more, not oftener: it may have been delivered."""
_LONGEST_PAUSE = 30.0
_T = TypeVar("_T")

Job = Callable[["Lane"], Coroutine[Any, Any, None]]


class Lane:
    """Belongs to the event loop."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        spacing: float = SPACING,
        backoff: float = BACKOFF,
    ) -> None:
        self._backoff = backoff
        self._clock = clock
        self._pause = pause
        self._spacing = spacing
        self._free = clock()
        self._order = itertools.count()
        self._jobs: asyncio.PriorityQueue[tuple[int, int, Job]] = asyncio.PriorityQueue()

    def put(self, job: Job, *, urgent: bool) -> None:
        """Take in a job; messages go before updates of messages."""
        self._jobs.put_nowait((0 if urgent else 1, next(self._order), job))

    async def next(self) -> Job:
        """Return the next job."""
        return (await self._jobs.get())[2]

    async def turn(self) -> None:
        """Wait until the channel takes another message."""
        while (wait := self._free - self._clock()) > 0:
            await self._pause(wait)

    async def send(self, call: Callable[[], _T], tried: Callable[[BusyError | UncertainError], None]) -> _T:
        """Do what blocks in a thread, again within bounds; `tried` hears of each attempt that is not the last.

        Raises AlertError.
        """
        busy = uncertain = 0
        while True:
            await self.turn()
            try:
                return await self._do(call)
            except BusyError as error:
                busy += 1
                if busy >= BUSY_ATTEMPTS:
                    raise
                tried(error)
                self._later(error.after if error.after is not None else min(self._backoff * 2**busy, _LONGEST_PAUSE))
            except UncertainError as error:
                uncertain += 1
                if uncertain >= UNCERTAIN_ATTEMPTS:
                    raise
                tried(error)
                self._later(self._spacing * 2)

    async def _do(self, call: Callable[[], _T]) -> _T:
        """Do what blocks; the next turn is counted from its end, as nobody knows when within it Slack looked."""
        try:
            return await asyncio.to_thread(call)
        finally:
            self._free = self._clock() + self._spacing

    def _later(self, seconds: float) -> None:
        self._free = max(self._free, self._clock() + seconds)
