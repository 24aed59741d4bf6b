"""Steps that run side by side where they can, shown one line each with the time taken and what is still to come."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TextIO

from testbed.shell import TestbedError

_BEAT_SECONDS = 15


@dataclass(frozen=True)
class Step:
    """One step: `act` does it and may return a remark; `usual` is its time in seconds where nothing is cached."""

    name: str
    act: Callable[[], str | None]
    after: tuple[str, ...] = ()
    usual: float | None = None
    cached: Callable[[], bool] = lambda: False


class Progress:
    """Runs steps by their order of need and writes how they go; a failed step ends the run, its message first."""

    def __init__(self, steps: Sequence[Step], out: TextIO = sys.stdout, workers: int = 4) -> None:
        self._steps = {step.name: step for step in steps}
        self._out = out
        self._workers = workers
        self._lock = threading.Lock()
        self._done: dict[str, float] = {}
        self._running: dict[str, float] = {}
        self._began = time.monotonic()

    def run(self) -> float:
        """Run every step and return the seconds it took. Raises TestbedError that names the step which failed."""
        with ThreadPoolExecutor(self._workers) as pool:
            futures: dict[Future[None], str] = {}
            waiting = dict(self._steps)
            try:
                while waiting or futures:
                    ready = [step for step in waiting.values() if all(name in self._done for name in step.after)]
                    for step in ready:
                        futures[pool.submit(self._one, step)] = step.name
                        del waiting[step.name]
                    finished, _ = wait(futures, timeout=_BEAT_SECONDS, return_when=FIRST_COMPLETED)
                    if not finished:
                        self._beat()
                    for future in finished:
                        del futures[future]
                        future.result()
            except BaseException:
                for future in futures:
                    future.cancel()
                if futures:
                    self._say("      waiting for what runs beside it to end")
                raise
        return time.monotonic() - self._began

    def _one(self, step: Step) -> None:
        began = time.monotonic()
        is_cached = step.cached()
        usual = "" if is_cached or step.usual is None else f"  (about {step.usual:.0f} s)"
        with self._lock:
            self._running[step.name] = began
        if not is_cached:
            self._say(f"{self._clock()} ...  {step.name}{usual}")
        try:
            remark = step.act()
        except TestbedError as error:
            self._say(f"{self._clock()} FAIL {step.name}")
            raise type(error)(f"{step.name}: {error}") from error
        finally:
            with self._lock:
                self._running.pop(step.name, None)
        took = time.monotonic() - began
        with self._lock:
            self._done[step.name] = took
            count = len(self._done)
        note = "cached" if is_cached else remark or ""
        self._say(f"{self._clock()} ok   {step.name:<34} {took:6.1f} s  {count:>2}/{len(self._steps)}  {note}".rstrip())

    def _beat(self) -> None:
        with self._lock:
            now = time.monotonic()
            running = ", ".join(f"{name} {now - began:.0f} s" for name, began in self._running.items())
            left = [name for name in self._steps if name not in self._done and name not in self._running]
        self._say(f"{self._clock()}      now: {running}; to come: {', '.join(left) or 'nothing more'}")

    def _clock(self) -> str:
        seconds = int(time.monotonic() - self._began)
        return f"[{seconds // 60:>2}:{seconds % 60:02}]"

    def _say(self, line: str) -> None:
        with self._lock:
            print(line, file=self._out, flush=True)
