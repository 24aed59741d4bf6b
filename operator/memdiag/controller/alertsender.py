"""Send what is due in one channel: claim, send, write down that it was accepted, whatever is interrupted.

The claim stands in the diagnosis before Slack is asked, so after a crash it is known what may not have been sent: that
is sent again. A message is lost by no crash, and each crash repeats at most one of a diagnosis.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from memdiag.alerts import compose
from memdiag.alerts.blocks import Rendered, render
from memdiag.alerts.budget import Budget
from memdiag.alerts.credential import Credential
from memdiag.alerts.failures import AlertError, BusyError, MissingThreadError, RefusedError, Scope, UncertainError
from memdiag.alerts.message import Facts
from memdiag.alerts.settings import Settings
from memdiag.alerts.slack import Bot, Delivery, Receipt
from memdiag.alerts.steps import State, counts_more, occasion
from memdiag.alerts.storms import Group
from memdiag.controller.alertfacts import View, as_told, facts, state, told
from memdiag.controller.alertgates import Hold, hold, muted
from memdiag.controller.alertlane import Lane
from memdiag.controller.alertstore import ALERTED, AlertStore, Key, alerted, says, sent_at
from memdiag.controller.events import Events, notice
from memdiag.controller.metrics import AlertKind, AlertOutcome, Metrics
from memdiag.kube.alert import Alert, AlertClaim, AlertPicture, AlertRefusal
from memdiag.kube.api import ApiError, ConflictError, NotFoundError
from memdiag.kube.memory_diagnosis import Condition, ConditionStatus
from memdiag.model.occasion import Occasion
from memdiag.model.report import from_rfc3339, rfc3339

_log = logging.getLogger(__name__)
MOST_ATTEMPTS = 3
"""Operators that may end while they send the same message; then it counts as sent."""
UNREACHED_PAUSE = 120.0
"""Seconds after which a message is tried again that Slack did not take in several attempts."""
CREDENTIAL_PAUSE = 60.0
"""Seconds for which Slack is not asked with a credential that it refused."""
MOST_SUMMARIES = 32
_API_PAUSE = 2.0
REASON_REFUSED = "AlertRefused"
NOT_ALLOWED = "ChannelNotAllowed"
NO_PICTURE = "PictureRefused"

Picture = Callable[[View], bytes | None]
"""From a diagnosis to its chart as PNG, None when there is nothing to draw. Blocks; may raise ApiError."""


@dataclass(slots=True)
class _Summary:
    """A summary that was posted a moment ago, which later diagnoses of the same storm are added to."""

    receipt: Receipt
    told: list[Facts] = field(default_factory=list)


class Sender:
    """Belongs to the event loop; `again` asks for a diagnosis to be looked at anew at a time (Unix seconds)."""

    def __init__(
        self,
        store: AlertStore,
        settings: Settings,
        credential: Credential,
        budget: Budget,
        *,
        events: Events,
        metrics: Metrics,
        again: Callable[[Key, float], None],
        picture: Picture | None,
        instance: str,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._settings = settings
        self._credential = credential
        self._budget = budget
        self._events = events
        self._metrics = metrics
        self._again = again
        self._picture = picture
        self._instance = instance
        self._wall = wall
        self._clock = clock
        self._summaries: OrderedDict[Group, _Summary] = OrderedDict()
        self._blocked: tuple[Delivery, RefusedError, float] | None = None
        self._rests: dict[Key, float] = {}

    def rests(self, key: Key) -> float:
        """Return for how many seconds a diagnosis is left alone after Slack did not take its message."""
        self._rests = {one: end for one, end in self._rests.items() if end > self._clock()}
        return max(self._rests.get(key, 0.0) - self._clock(), 0.0)

    async def message(
        self, lane: Lane, key: Key, channel: str | None, notices: tuple[str, ...] = ()
    ) -> Occasion | None:
        """Send the message that is due about one diagnosis; return what it told, None when none was accepted."""
        await lane.turn()
        due = await self._due(key)
        if due is None:
            return None
        found, now, why = due
        claimed = await self._claim(found, why)
        if claimed is None:
            return None
        incident = await asyncio.to_thread(self._store.incident, claimed)
        about = facts(claimed, now, incident, self._settings.cluster)
        last = told(claimed)
        said = (
            compose.head(about, pictured=False)
            if why is Occasion.KILLED
            else compose.change(about, why, None if last is None else last.cause)
        )
        message = render(said, (*notices, *self._last_one(found.namespace)))
        thread = claimed.alert.thread
        to = claimed.alert.channel_id or claimed.alert.channel or channel if thread is not None else channel
        loud = why in {Occasion.ESCALATED, Occasion.REOPENED}
        receipt = await self._send(lane, [claimed], AlertKind.MESSAGE, partial(self._post, to, message, thread, loud))
        if receipt is None:
            return None
        await self._accepted(claimed, now, receipt, channel if thread is None else None, notices, counts=True)
        if why is Occasion.KILLED and claimed.alert.claim is not None and claimed.alert.claim.attempt == 1:
            self._measure(about)
        return why

    async def summary(self, lane: Lane, notices: Mapping[Key, tuple[str, ...]], group: Group, *, joins: bool) -> None:
        """Tell of several new diagnoses, each with its notices, in one message.

        `joins`: add them to the summary of a moment ago.
        """
        await lane.turn()
        claimed: list[tuple[View, State]] = []
        for key in notices:
            due = await self._due(key)
            if due is None:
                continue
            found, now, why = due
            if why is not Occasion.KILLED:
                self._again(key, self._wall())
                continue
            view = await self._claim(found, why)
            if view is not None:
                claimed.append((view, now))
        if not claimed:
            return
        incidents = await asyncio.gather(*(asyncio.to_thread(self._store.incident, view) for view, _ in claimed))
        fresh = [
            facts(view, now, incident, self._settings.cluster)
            for (view, now), incident in zip(claimed, incidents, strict=True)
        ]
        views = [view for view, _ in claimed]
        before = self._summaries.get(group) if joins else None
        every = [*(before.told if before is not None else ()), *fresh]
        message = render(compose.summary(every, group.node), self._last_one(views[0].namespace))
        call = partial(self._post_or_update, group.channel, message, None if before is None else before.receipt)
        receipt = await self._send(lane, views, AlertKind.SUMMARY, call)
        if receipt is None:
            self._summaries.pop(group, None)  # perhaps somebody deleted it: what is tried again is not added to it
            return
        if receipt.ts is not None:
            self._summaries[group] = _Summary(receipt, every)
            self._summaries.move_to_end(group)
            while len(self._summaries) > MOST_SUMMARIES:
                self._summaries.popitem(last=False)
        for number, (view, now) in enumerate(claimed):
            counts = number == 0 and before is None
            said = notices[view.key]
            await self._accepted(view, now, receipt, group.channel, said, counts=counts, in_summary=True)

    async def touch(self, lane: Lane, key: Key, *, stale: bool) -> None:
        """Add the chart to a thread that has none yet; `stale`: bring the first message up to date."""
        found = await asyncio.to_thread(self._store.read, key)
        if found is not None and not muted(found, self._wall()):
            await self._touch(lane, found, head=stale)

    async def held(self, found: View, why: Hold) -> None:
        """Write down why a message waits, and ask for another look when it may be sent. Raises ApiError."""
        if why.until is not None:
            self._again(found.key, why.until)
        if not why.silent and not says(found, why.reason, why.message):
            condition = alerted(found, ConditionStatus.FALSE, why.reason, why.message, self._wall())
            try:
                await asyncio.to_thread(self._store.write, found, found.alert, condition)
            except (ConflictError, NotFoundError) as error:
                _log.debug("diagnosis changed meanwhile: %s", error)

    async def _due(self, key: Key) -> tuple[View, State, Occasion] | None:
        """Return the diagnosis as it is now, what is so, and why a message is due; settle what is not."""
        found = await asyncio.to_thread(self._store.read, key)
        now = None if found is None else state(found)
        if found is None or now is None:
            return None
        why = occasion(now, told(found))
        claim = found.alert.claim
        if why is None or (claim is not None and claim.attempt >= MOST_ATTEMPTS):
            if claim is not None:
                await self._given_up(found, now, unconfirmed=why is not None)
            return None
        clock = self._wall()
        wait = hold(found, now, why, settings=self._settings, budget=self._budget, clock=clock)
        if wait is not None:
            await self.held(found, wait)
            return None
        return found, now, why

    async def _claim(self, found: View, why: Occasion) -> View | None:
        """Write down that a message is about to be sent; None when the diagnosis changed, or Slack cannot be asked."""
        before = found.alert.claim
        attempt = 1 if before is None else before.attempt + 1
        claim = AlertClaim(occasion=why, time=rfc3339(self._wall()), attempt=attempt)
        try:
            self._credential_works()
            return await asyncio.to_thread(
                self._store.write, found, found.alert.model_copy(update={"claim": claim, "refusal": None})
            )
        except RefusedError as error:
            await self._refused([found], error)
        except ConflictError:
            self._again(found.key, self._wall())
        except NotFoundError:
            _log.debug("diagnosis %s/%s is gone", *found.key)
        return None

    def _credential_works(self) -> None:
        """Raise RefusedError without asking Slack, where the same credential was refused a moment ago."""
        delivery = self._credential.delivery()
        if self._blocked is not None and self._blocked[0] is delivery and self._clock() < self._blocked[2]:
            raise self._blocked[1]

    def _post(self, channel: str | None, message: Rendered, thread: str | None, loud: bool) -> Receipt:
        delivery = self._credential.delivery()
        if isinstance(delivery, Bot):
            return delivery.post(channel, message, thread=thread, broadcast=loud)
        delivery.post(message)
        return Receipt()

    def _post_or_update(self, channel: str | None, message: Rendered, before: Receipt | None) -> Receipt:
        delivery = self._credential.delivery()
        if before is not None and isinstance(delivery, Bot) and before.channel_id and before.ts:
            delivery.update(before.channel_id, before.ts, message)
            return before
        return self._post(channel, message, None, loud=False)

    async def _send(
        self, lane: Lane, views: Sequence[View], kind: AlertKind, call: Callable[[], Receipt]
    ) -> Receipt | None:
        """Return where the message is, None when it was not accepted: then that is written down."""
        try:
            receipt = await lane.send(call, partial(self._tried, kind))
        except RefusedError as error:
            self._count(kind, AlertOutcome.REFUSED)
            if error.scope is Scope.CREDENTIAL and error.code != "no_credential":
                self._blocked = self._credential.delivery(), error, self._clock() + CREDENTIAL_PAUSE
            if error.scope is Scope.CHANNEL and all(view.alert.thread is not None for view in views):
                # archived, deleted or left: the remedy is another channel, and only a new thread begins there
                _log.warning("thread given up: %s", error)
                for view in views:
                    await self._forget_thread(view)
            else:
                await self._refused(views, error)
        except MissingThreadError:
            for view in views:
                await self._forget_thread(view)
        except (BusyError, UncertainError) as error:
            self._tried(kind, error)
            await self._unreached(views, error)
        else:
            again = any(view.alert.claim is not None and view.alert.claim.attempt > 1 for view in views)
            self._count(kind, AlertOutcome.REPEATED if again else AlertOutcome.SENT)
            return receipt
        return None

    def _tried(self, kind: AlertKind, error: AlertError) -> None:
        self._count(kind, AlertOutcome.UNCERTAIN if isinstance(error, UncertainError) else AlertOutcome.BUSY)
        _log.info("alert not accepted yet: %s", error)

    async def _accepted(
        self,
        claimed: View,
        now: State,
        receipt: Receipt,
        channel: str | None,
        notices: tuple[str, ...],
        *,
        counts: bool,
        in_summary: bool = False,
    ) -> None:
        moment = self._wall()

        def change(found: View) -> tuple[Alert, Condition]:
            before = found.alert
            first = {
                "channel": channel,
                "channel_id": receipt.channel_id,
                "thread": receipt.ts,
                "in_summary": in_summary,
            }
            alert = before.model_copy(
                update={
                    **(first if before.thread is None else {}),
                    "claim": None,
                    "refusal": None,
                    "told": as_told(now),
                    "sent": sent_at(before, moment) if counts else before.sent,
                }
            )
            where = f"in {alert.channel}" if alert.channel else "by the webhook"
            text = " ".join((f"Told {where}{' in a summary' if alert.in_summary else ''}.", *notices))
            earlier = next((one for one in found.status.conditions if one.type == ALERTED), None)
            if before.thread is not None and earlier is not None and earlier.reason in {NOT_ALLOWED, NO_PICTURE}:
                return alert, alerted(found, ConditionStatus.TRUE, earlier.reason, earlier.message, moment)
            return alert, alerted(found, ConditionStatus.TRUE, NOT_ALLOWED if notices else "Sent", text, moment)

        if counts:
            self._budget.note(claimed.namespace, claimed.name, [from_rfc3339(rfc3339(moment))], moment)
        await self._settled(claimed.key, change)

    async def _settled(self, key: Key, change: Callable[[View], tuple[Alert, Condition | None]]) -> None:
        """Write what must be written: while the API server is away, wait for it."""
        while True:
            try:
                await asyncio.to_thread(self._store.settle, key, change)
                break
            except ApiError as error:
                _log.warning("what was told of %s/%s cannot be written yet: %s", *key, error)
                await asyncio.sleep(_API_PAUSE)

    async def _refused(self, views: Sequence[View], error: RefusedError) -> None:
        moment = self._wall()

        def change(found: View) -> tuple[Alert, Condition]:
            refusal = AlertRefusal(code=error.code, time=rfc3339(moment))
            alert = found.alert.model_copy(update={"claim": None, "refusal": refusal})
            return alert, alerted(found, ConditionStatus.FALSE, _reason(error.code), str(error), moment)

        for view in views:
            self._events.put(notice(view.item, REASON_REFUSED, str(error), self._instance, moment))
            await self._settled(view.key, change)
        _log.warning("alert refused: %s", error)

    async def _unreached(self, views: Sequence[View], error: AlertError) -> None:
        """Write down that Slack did not take it: what was surely not delivered is claimed no more."""
        moment = self._wall()
        unsure = isinstance(error, UncertainError)

        def change(found: View) -> tuple[Alert, Condition]:
            alert = found.alert if unsure else found.alert.model_copy(update={"claim": None})
            status = ConditionStatus.UNKNOWN if unsure else ConditionStatus.FALSE
            reason = "AnswerLost" if unsure else "SlackUnreachable"
            return alert, alerted(found, status, reason, f"{error}. It is tried again.", moment)

        for view in views:
            await self._settled(view.key, change)
            self._rests[view.key] = self._clock() + UNREACHED_PAUSE
            self._again(view.key, moment + UNREACHED_PAUSE)
        _log.warning("alert not accepted, it is tried again in %.0f s: %s", UNREACHED_PAUSE, error)

    async def _forget_thread(self, view: View) -> None:
        """Take in that nothing can be added to the first message: the next one begins a thread where the values say."""
        gone = {"claim": None, "thread": None, "channel_id": None, "in_summary": False, "picture": None}
        await self._settled(view.key, lambda found: (found.alert.model_copy(update=gone), None))
        self._again(view.key, self._wall())

    async def _given_up(self, found: View, now: State, *, unconfirmed: bool) -> None:
        moment = self._wall()

        def change(view: View) -> tuple[Alert, Condition | None]:
            if not unconfirmed:
                return view.alert.model_copy(update={"claim": None}), None
            text = f"Sent {MOST_ATTEMPTS} times perhaps, but its acceptance could never be written down."
            alert = view.alert.model_copy(update={"claim": None, "told": as_told(now)})
            return alert, alerted(view, ConditionStatus.UNKNOWN, "Unconfirmed", text, moment)

        await self._settled(found.key, change)

    async def _touch(self, lane: Lane, found: View, *, head: bool) -> None:
        """Upload the chart where that was not tried yet, and update the first message. Failing is no loss."""
        alert, now = found.alert, state(found)
        if alert.thread is None or alert.channel_id is None or alert.in_summary or now is None or alert.told is None:
            return
        head = head or counts_more(now, told(found))
        picture, refused = alert.picture, None
        try:
            delivery = self._credential.delivery()
            if not isinstance(delivery, Bot):
                return
            if picture is None and self._picture is not None:
                picture, refused = await self._upload(lane, delivery, found)
                head = head or picture is AlertPicture.SENT
            if head:
                incident = await asyncio.to_thread(self._store.incident, found)
                about = facts(found, now, incident, self._settings.cluster)
                message = render(compose.head(about, pictured=picture is AlertPicture.SENT))
                call = partial(delivery.update, alert.channel_id, alert.thread, message)
                await lane.send(call, partial(self._tried, AlertKind.UPDATE))
                self._count(AlertKind.UPDATE, AlertOutcome.SENT)
        except MissingThreadError:
            await self._forget_thread(found)
            return
        except AlertError as error:
            self._count(AlertKind.UPDATE, AlertOutcome.REFUSED)
            _log.info("first message not brought up to date: %s", error)
        if counts_more(now, told(found)) or picture is not alert.picture:
            moment = self._wall()

            def change(view: View) -> tuple[Alert, Condition | None]:
                return _touched(view.alert, now, picture), _without_picture(view, refused, moment)

            await self._settled(found.key, change)

    async def _upload(self, lane: Lane, delivery: Bot, found: View) -> tuple[AlertPicture | None, AlertError | None]:
        """Return what became of the chart, and why Slack did not take it."""
        try:
            png = None if self._picture is None else await asyncio.to_thread(self._picture, found)
        except ApiError as error:
            _log.info("chart not drawn yet: %s", error)
            return None, None
        except Exception:  # noqa: BLE001  # a chart that cannot be drawn keeps no message from being sent or updated
            _log.exception("no chart of %s/%s", *found.key)
            return AlertPicture.NONE, None
        if png is None:
            return AlertPicture.NONE, None
        alert = found.alert
        title = f"Memory of {found.spec.container} in {found.namespace}/{found.spec.target_ref.name}"
        call = partial(
            delivery.picture,
            alert.channel_id or "",
            alert.thread or "",
            png,
            title=title,
            alt=found.status.summary or title,
        )
        try:
            await lane.send(call, partial(self._tried, AlertKind.PICTURE))
        except AlertError as error:
            self._count(AlertKind.PICTURE, AlertOutcome.REFUSED)
            _log.warning("chart not accepted: %s", error)
            return AlertPicture.REFUSED, error
        self._count(AlertKind.PICTURE, AlertOutcome.SENT)
        return AlertPicture.SENT, None

    def _last_one(self, namespace: str) -> tuple[str, ...]:
        if not self._budget.is_last(namespace, self._wall()):
            return ()
        most = self._settings.budget
        return (f"The last of {most} messages about namespace {namespace} in an hour: further ones wait.",)

    def _measure(self, about: Facts) -> None:
        if about.last_kill is not None:
            self._metrics.kill_to_alert.observe(max(self._wall() - about.last_kill, 0.0))

    def _count(self, kind: AlertKind, outcome: AlertOutcome) -> None:
        self._metrics.alerts.labels(kind, outcome).inc()


def _touched(alert: Alert, now: State, picture: AlertPicture | None) -> Alert:
    if alert.told is None:
        return alert
    kills = max(alert.told.kills, now.kills)
    return alert.model_copy(update={"told": alert.told.model_copy(update={"kills": kills}), "picture": picture})


def _without_picture(found: View, refused: AlertError | None, moment: float) -> Condition | None:
    """Return the condition with why there is no picture; None where nothing is to be added."""
    before = next((one for one in found.status.conditions if one.type == ALERTED), None)
    if refused is None or before is None or before.status is not ConditionStatus.TRUE:
        return None
    reason = before.reason if before.reason == NOT_ALLOWED else NO_PICTURE
    return alerted(found, before.status, reason, f"{before.message} No picture: {refused}.", moment)


def _reason(code: str) -> str:
    """Return Slack's code as a condition's reason: channel_not_found is ChannelNotFound."""
    words = "".join(word.capitalize() for word in code.split("_"))
    return words if words[:1].isalpha() else f"Slack{words}"
