"""Why a message that is due is held back for now: rules, mute, refusal, cooldown, budget. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

from memdiag.alerts.budget import Budget, recent
from memdiag.alerts.failures import is_own
from memdiag.alerts.routing import wanted
from memdiag.alerts.settings import Settings
from memdiag.alerts.steps import State
from memdiag.controller.alertfacts import View
from memdiag.model.occasion import Occasion
from memdiag.model.report import from_rfc3339, rfc3339

REFUSED_PAUSE = 600.0
"""Seconds after which what Slack refused is tried again: somebody may have invited the app meanwhile."""

OWN_PAUSE = 24 * 3600.0
"""The same where the message itself is at fault: only another one, or another memdiag, can mend that."""
OLDEST = 24 * 3600.0
"""Seconds after which a kill is no news any more, such as when alerts are switched on later."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Why, and until when (Unix seconds; None: until something changes)."""

    reason: str
    message: str
    until: float | None = None
    silent: bool = False
    """The condition stays as it is: people were told of this diagnosis before."""


def hold(found: View, now: State, why: Occasion, *, settings: Settings, budget: Budget, clock: float) -> Hold | None:
    """Return why the message must wait, None when it may be sent. `clock` is Unix seconds."""
    if not wanted(found.namespace, settings.include, settings.exclude):
        return Hold("NamespaceExcluded", "Alerts of this namespace are not wanted (alerts.slack.namespaces).")
    before = found.alert.told is not None
    if not before and now.severity.rank < settings.min_severity.rank:
        text = f"Severity {now.severity} is below {settings.min_severity} (alerts.slack.minSeverity)."
        return Hold("BelowSeverity", text)
    last = found.last_kill
    if why is Occasion.KILLED and last is not None and clock - last > OLDEST:
        return Hold("TooOld", f"The last kill is more than {OLDEST / 3600:.0f} hours old.")
    return (
        _muted(found, why, clock, silent=before) or _paused(found, why, settings, clock) or _spent(found, budget, clock)
    )


def muted(found: View, clock: float) -> bool:
    """Say whether the owner asked for quiet now."""
    until = found.muted_until
    return until is not None and clock < until


def _muted(found: View, why: Occasion, clock: float, *, silent: bool) -> Hold | None:
    until = found.muted_until
    if until is None:
        return None
    if clock < until:
        return Hold("Muted", f"Muted until {rfc3339(until)} (spec.mutedUntil).", until, silent)
    last = found.last_kill
    if why in {Occasion.KILLED, Occasion.REOPENED} and last is not None and last <= until:
        return Hold("Muted", f"No kill since it was muted until {rfc3339(until)}.", None, silent)
    return None


def _paused(found: View, why: Occasion, settings: Settings, clock: float) -> Hold | None:
    alert = found.alert
    if alert.refusal is not None:
        pause = OWN_PAUSE if is_own(alert.refusal.code) else REFUSED_PAUSE
        refused = from_rfc3339(alert.refusal.time)
        if recent([refused], clock, pause):
            return Hold("Refused", alert.refusal.code, refused + pause, silent=True)
    if alert.sent and why is not Occasion.KILLED:
        sent = from_rfc3339(alert.sent[-1])
        if recent([sent], clock, settings.cooldown):
            until = sent + settings.cooldown
            return Hold("Cooldown", f"The next message may be sent at {rfc3339(until)}.", until, silent=True)
    return None


def _spent(found: View, budget: Budget, clock: float) -> Hold | None:
    until = budget.free_at(found.namespace, clock)
    if until is None:
        return None
    text = (
        f"The namespace's messages of this hour are used up (alerts.slack.budgetPerHour); the next at {rfc3339(until)}."
    )
    return Hold("BudgetSpent", text, until)
