"""Read and write what people were told, in the status of the diagnoses. Every method blocks and raises ApiError."""

from __future__ import annotations

from collections.abc import Callable

from memdiag.alerts.budget import HOUR, recent
from memdiag.controller.alertfacts import View, view
from memdiag.controller.traces import Incident, read
from memdiag.kube.alert import MOST_SENT, Alert
from memdiag.kube.api import Api, ConflictError, NotFoundError, TransientError
from memdiag.kube.kinds import DIAGNOSIS, INCIDENT
from memdiag.kube.memory_diagnosis import Condition, ConditionStatus
from memdiag.model.report import from_rfc3339, rfc3339

ALERTED = "Alerted"
_ATTEMPTS = 8

Key = tuple[str, str]
"""Namespace and name of a diagnosis."""


class AlertStore:
    """The diagnoses as far as alerts go."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def read(self, key: Key) -> View | None:
        """Return a diagnosis, None when it is gone or cannot be read."""
        try:
            return view(self._api.get(DIAGNOSIS.path(*key)))
        except (NotFoundError, ValueError):
            return None

    def incident(self, found: View) -> Incident | None:
        """Return the newest incident of a diagnosis, None when it is not kept any more."""
        kills = found.status.kills
        if kills is None or not kills.recent:
            return None
        try:
            return read(self._api.get(INCIDENT.path(found.namespace, kills.recent[0].incident)))
        except (NotFoundError, ValueError):
            return None

    def write(self, found: View, alert: Alert, condition: Condition | None = None) -> View:
        """Write the alert of a diagnosis that did not change since it was read. Raises ConflictError when it did."""
        conditions = found.status.conditions
        if condition is not None:
            conditions = (*(one for one in conditions if one.type != ALERTED), condition)
        kept = None if alert == Alert() else alert
        status = found.status.model_copy(update={"alert": kept, "conditions": conditions})
        path = f"{DIAGNOSIS.path(*found.key)}/status"
        return view(self._api.replace(path, {**found.item, "status": status.to_api()}))

    def settle(self, key: Key, change: Callable[[View], tuple[Alert, Condition | None]]) -> View | None:
        """Write what `change` makes of a diagnosis, reading it anew as often as it changes; None when it is gone."""
        for _ in range(_ATTEMPTS):
            found = self.read(key)
            if found is None:
                return None
            try:
                return self.write(found, *change(found))
            except NotFoundError:
                return None
            except ConflictError:
                continue
        raise TransientError(f"diagnosis {key[0]}/{key[1]} kept changing while its alert was written")


def alerted(found: View, status: ConditionStatus, reason: str, message: str, now: float) -> Condition:
    """Return the condition `Alerted`; while its status stays it keeps the time of its last change."""
    before = next((one for one in found.status.conditions if one.type == ALERTED), None)
    same = before is not None and before.status is status
    return Condition(
        type=ALERTED,
        status=status,
        reason=reason,
        message=message[:1024],
        last_transition_time=before.last_transition_time if before is not None and same else rfc3339(now),
        observed_generation=found.item["metadata"].get("generation"),
    )


def says(found: View, reason: str, message: str) -> bool:
    """Say whether the condition `Alerted` says this already."""
    before = next((one for one in found.status.conditions if one.type == ALERTED), None)
    return before is not None and (before.reason, before.message) == (reason, message[:1024])


def sent_at(alert: Alert, now: float) -> tuple[str, ...]:
    """Return the times of the messages of the last hour with one of now."""
    kept = [moment for moment in alert.sent if recent([from_rfc3339(moment)], now, HOUR)]
    return (*kept, rfc3339(now))[-MOST_SENT:]
