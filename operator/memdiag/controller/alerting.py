"""From changed diagnoses to Slack: what is due follows from the objects alone, so nothing is lost by a restart.

A new diagnosis waits a moment for others like it: a storm becomes one summary. Each channel has a lane of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from memdiag.alerts.budget import Budget
from memdiag.alerts.credential import Credential
from memdiag.alerts.routing import choose
from memdiag.alerts.settings import Method, Settings, load
from memdiag.alerts.steps import State, counts_more, occasion
from memdiag.alerts.storms import Group, Storms
from memdiag.controller.alertchart import chart_of
from memdiag.controller.alertfacts import View, state, told, view
from memdiag.controller.alertgates import hold, muted
from memdiag.controller.alertlane import BACKOFF, SPACING, Job, Lane
from memdiag.controller.alertsender import UNREACHED_PAUSE, Picture, Sender
from memdiag.controller.alertstore import AlertStore, Key
from memdiag.controller.alertwishes import Wishes
from memdiag.controller.events import Events
from memdiag.controller.metrics import Metrics
from memdiag.kube.api import Api, ApiError
from memdiag.model.occasion import Occasion
from memdiag.model.report import from_rfc3339
from memdiag.model.verdict import Cause

_log = logging.getLogger(__name__)
SETTLE = 0.5
"""Seconds for which a new diagnosis waits for others like it."""
UPDATE_PAUSE = 30.0
"""Seconds between two updates of one first message."""
_LONGEST_TIMER = 3600.0
_PICTURE_DUE = 3600.0
"""Seconds after a message for which a picture that is not in its thread is still added."""
_API_PAUSE = 5.0
_AT_ONCE = 8
_T = TypeVar("_T")
_FAREWELL = 6.0
"""Seconds that what is being sent has to be written down when the operator ends."""


class Alerting:
    """Belongs to the event loop, `changed` too."""

    def __init__(
        self,
        api: Api,
        settings: Settings,
        credential: Credential,
        *,
        events: Events,
        metrics: Metrics,
        instance: str,
        picture: Picture | None = None,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        settle: float = SETTLE,
        spacing: float = SPACING,
        backoff: float = BACKOFF,
        update_pause: float = UPDATE_PAUSE,
    ) -> None:
        self._settings = settings
        self._store = AlertStore(api)
        self._wishes = Wishes(api) if settings.allowed else None
        self._budget = Budget(settings.budget)
        self._storms = Storms(settings.storm_workloads, settings.storm_seconds)
        self._sender = Sender(
            self._store,
            settings,
            credential,
            self._budget,
            events=events,
            metrics=metrics,
            again=self.again,
            picture=picture,
            instance=instance,
            wall=wall,
            clock=clock,
        )
        self._pictures = picture is not None
        self._wall = wall
        self._clock = clock
        self._settle = settle
        self._spacing = spacing
        self._backoff = backoff
        self._update_pause = update_pause
        self._lanes: dict[str | None, Lane] = {}
        self._busy: set[Key] = set()
        self._dirty: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._updated: dict[Key, float] = {}
        self._settling: dict[Group, list[tuple[Key, tuple[str, ...]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._jobs: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(_AT_ONCE)

    def waiting(self) -> int:
        """Return of how many diagnoses something is under way."""
        return len(self._busy)

    def changed(self, item: Mapping[str, Any]) -> None:
        """Take in a diagnosis as it is now."""
        try:
            self._consider(view(item))
        except (KeyError, ValueError) as error:
            _log.warning("diagnosis cannot be read for its alert: %s", error)

    def again(self, key: Key, when: float) -> None:
        """Look at a diagnosis anew at a time (Unix seconds)."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        seconds = min(max(when - self._wall(), 0.0) + 0.01, _LONGEST_TIMER)
        self._timers[key] = asyncio.get_running_loop().call_later(seconds, self._look, key)

    async def run(self) -> None:
        """Send until cancelled; then let what is being sent be written down."""
        try:
            await asyncio.Event().wait()
        finally:
            for timer in self._timers.values():
                timer.cancel()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if self._jobs:
                await asyncio.wait(self._jobs, timeout=_FAREWELL)

    def _consider(self, found: View) -> None:
        """Begin what is due about a diagnosis, or leave it."""
        key, alert = found.key, found.alert
        if alert.sent:
            self._budget.note(found.namespace, found.name, map(from_rfc3339, alert.sent), self._wall())
        if key in self._busy:
            self._dirty.add(key)
            return
        now, last = state(found), told(found)
        if now is None:
            return
        why = occasion(now, last)
        if rest := self._sender.rests(key):
            if key not in self._timers:
                self.again(key, self._wall() + rest)
        elif why is not None or alert.claim is not None:
            self._start(key, partial(self._decide, found, now, why))
        elif self._behind(found, now, last):
            self._update(found)

    def _behind(self, found: View, now: State, last: State | None) -> bool:
        """Say whether the first message counts too few kills, or an operator ended before it added the picture."""
        alert = found.alert
        if alert.thread is None or alert.in_summary:
            return False
        young = bool(alert.sent) and self._wall() - from_rfc3339(alert.sent[-1]) < _PICTURE_DUE
        return counts_more(now, last) or (self._pictures and alert.picture is None and young)

    def _update(self, found: View) -> None:
        """Bring the first message up to date, not too often."""
        key, moment = found.key, self._clock()
        if self._settings.method is not Method.BOT or muted(found, self._wall()):
            return
        self._updated = {one: when for one, when in self._updated.items() if moment < when + self._update_pause}
        if key in self._updated:
            if key not in self._timers:
                self.again(key, self._wall() + self._updated[key] + self._update_pause - moment)
            return
        self._updated[key] = moment
        self._busy.add(key)
        self._lane(found.alert.channel).put(partial(self._touch, key, True), urgent=False)

    async def _decide(self, found: View, now: State, why: Occasion | None) -> None:
        """Hold the message back, gather it with others, or give it to its channel's lane."""
        key = found.key
        if why is not None:
            clock = self._wall()
            wait = hold(found, now, why, settings=self._settings, budget=self._budget, clock=clock)
            if wait is not None:
                await self._sender.held(found, wait)
                self._done(key)
                return
        if found.alert.thread is not None:
            self._lane(found.alert.channel).put(partial(self._message, key, None, ()), urgent=True)
            return
        channel, notices = await self._choose(found, now)
        if why is not Occasion.KILLED:
            self._lane(channel).put(partial(self._message, key, channel, notices), urgent=True)
            return
        group = await self._group(found, channel)
        if group not in self._settling:
            self._settling[group] = []
            clock = self._clock()
            until = self._storms.summary_until(group, clock) if self._settings.method is Method.WEBHOOK else None
            wait_for = self._settle if until is None else max(until - clock, self._settle)
            asyncio.get_running_loop().call_later(wait_for, self._gathered, group)
        self._settling[group].append((key, notices))

    async def _choose(self, found: View, now: State) -> tuple[str | None, tuple[str, ...]]:
        wish = None
        if self._wishes is not None:
            wish = await asyncio.to_thread(self._wishes.of, found.namespace, found.spec.target_ref)
        choice = choose(
            found.namespace,
            now.cause,
            now.severity,
            default=self._settings.channel,
            routes=self._settings.routes,
            allowed=self._settings.allowed,
            wish=wish,
        )
        if choice.refused is None:
            return choice.channel, ()
        text = f"The annotation asks for {choice.refused}, which alerts.slack.allowedChannels does not allow here."
        return choice.channel, (text,)

    async def _group(self, found: View, channel: str | None) -> Group:
        if found.status.cause is Cause.NODE_PRESSURE:
            incident = await asyncio.to_thread(self._store.incident, found)
            if incident is not None and incident.spec.node is not None:
                return Group(channel, node=incident.spec.node)
        return Group(channel, namespace=found.namespace)

    def _gathered(self, group: Group) -> None:
        """Begin to tell of the new diagnoses of a group: each alone, or all in a summary."""
        waiting = self._settling.pop(group)
        clock = self._clock()
        joins = self._storms.summary_until(group, clock) is not None
        if self._storms.is_storm(group, len(waiting), clock) and (joins or len(waiting) > 1):
            self._lane(group.channel).put(partial(self._summary, dict(waiting), group, joins), urgent=True)
            return
        for key, notices in waiting:
            self._lane(group.channel).put(partial(self._message, key, group.channel, notices), urgent=True)

    async def _message(self, key: Key, channel: str | None, notices: tuple[str, ...], lane: Lane) -> None:
        told = await self._guarded((key,), self._sender.message(lane, key, channel, notices))
        if told is not None and self._settings.method is Method.BOT:
            self._busy.add(key)
            lane.put(partial(self._touch, key, told is not Occasion.KILLED), urgent=False)

    async def _summary(self, notices: dict[Key, tuple[str, ...]], group: Group, joins: bool, lane: Lane) -> None:
        await self._guarded(tuple(notices), self._sender.summary(lane, notices, group, joins=joins))

    async def _touch(self, key: Key, stale: bool, lane: Lane) -> None:
        await self._guarded((key,), self._sender.touch(lane, key, stale=stale))

    async def _guarded(self, keys: tuple[Key, ...], work: Coroutine[Any, Any, _T]) -> _T | None:
        """Return what the work does, None when it failed; whatever happens, the diagnoses are free again afterwards."""
        try:
            return await work
        except Exception as error:  # noqa: BLE001  # one alert that fails must not stop the others
            self._failed(keys, error)
        finally:
            for key in keys:
                self._done(key)
        return None

    def _failed(self, keys: tuple[Key, ...], error: Exception) -> None:
        """Try later what failed: nothing is lost, however often it fails."""
        pause = _API_PAUSE if isinstance(error, ApiError) else UNREACHED_PAUSE
        if isinstance(error, ApiError):
            _log.warning("alert waits for the API server: %s", error)
        else:
            _log.error("alert of %s failed", keys[0], exc_info=error)
        for key in keys:
            self.again(key, self._wall() + pause)

    def _start(self, key: Key, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._busy.add(key)

        async def slot() -> None:
            async with self._slots:
                try:
                    await work()
                except Exception as error:  # noqa: BLE001  # as above
                    self._failed((key,), error)
                    self._done(key)

        self._keep(self._tasks, asyncio.create_task(slot(), name=f"alert of {key[1]}"))

    def _done(self, key: Key) -> None:
        self._busy.discard(key)
        if key in self._dirty:
            self._dirty.discard(key)
            if key not in self._timers:
                self.again(key, self._wall())

    def _look(self, key: Key) -> None:
        self._timers.pop(key, None)
        self._keep(self._tasks, asyncio.create_task(self._read(key), name=f"look at {key[1]}"))

    async def _read(self, key: Key) -> None:
        async with self._slots:
            try:
                found = await asyncio.to_thread(self._store.read, key)
            except ApiError:
                self.again(key, self._wall() + _API_PAUSE)
                return
        if found is not None:
            self._consider(found)

    def _lane(self, channel: str | None) -> Lane:
        name = None if self._settings.method is Method.WEBHOOK else channel
        if name not in self._lanes:
            lane = self._lanes[name] = Lane(spacing=self._spacing, backoff=self._backoff)
            self._keep(self._tasks, asyncio.create_task(self._work(lane), name=f"lane {name}"))
        return self._lanes[name]

    async def _work(self, lane: Lane) -> None:
        while True:
            job: Job = await lane.next()
            task = asyncio.create_task(job(lane), name="alert job")
            self._keep(self._jobs, task)
            with contextlib.suppress(Exception):
                await asyncio.shield(task)

    @staticmethod
    def _keep(tasks: set[asyncio.Task[None]], task: asyncio.Task[None]) -> None:
        tasks.add(task)
        task.add_done_callback(tasks.discard)


def alerting_of(
    api: Api, settings_file: Path, secret_file: Path, instance: str, *, events: Events, metrics: Metrics
) -> Alerting:
    """Return the alerts that a settings file asks for. Raises SettingsError."""
    settings = load(settings_file)
    credential = Credential(secret_file, settings.method, settings.base_url, settings.proxy)
    picture = chart_of(api) if settings.method is Method.BOT and settings.pictures else None
    return Alerting(api, settings, credential, events=events, metrics=metrics, instance=instance, picture=picture)
