"""What the operator counts of itself: Prometheus metrics with bounded labels, every series there from the start."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from memdiag.model.kill import KillKind, LimitHit
from memdiag.model.verdict import Cause

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
API_CODES = ("none", "401", "403", "404", "409", "410", "422", "429", "4xx", "5xx")
"""`none` is an answer that never came."""
COLLECTIONS = ("pods", "memorydiagnoses", "namespaces")
"""What the operator follows by its own list and watch."""
_HISTOGRAM = (
    "memdiag_kill_to_diagnosis_seconds",
    "Seconds from a kill to the diagnosis that counts it; kills older than the installation are left out.",
)
_ALERT_HISTOGRAM = (
    "memdiag_kill_to_alert_seconds",
    "Seconds from the last kill to Slack's acceptance of a diagnosis's first message, outside a storm.",
)
_GAUGES = {
    "memdiag_report_queue_depth": "Reports that are under way.",
    "memdiag_report_queue_age_seconds": "For how long a report has been due, or failed again and again, at most.",
    "memdiag_pods": "Pods that the operator follows.",
    "memdiag_events_waiting": "Events that wait to be written.",
    "memdiag_alerts_waiting": "Diagnoses whose message waits to be sent.",
}
_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)


class ReportOutcome(StrEnum):
    """What became of a report."""

    INCIDENT = "incident"
    KNOWN = "known"
    REFUSED = "refused"
    DESELECTED = "deselected"
    NAMESPACE_GONE = "namespace_gone"
    POD_GONE = "pod_gone"
    FORECAST = "forecast"
    NO_ALARM = "no_alarm"
    STALE = "stale"


class SuspectOutcome(StrEnum):
    """What became of a container that ended with 137 and that the API does not call OOMKilled."""

    SEEN = "seen"
    KERNEL_KILL = "kernel_kill"
    DIAGNOSED = "diagnosed"


class EventOutcome(StrEnum):
    """What became of an Event."""

    WRITTEN = "written"
    DROPPED = "dropped"
    REFUSED = "refused"


class AlertKind(StrEnum):
    """What was to be sent to Slack."""

    MESSAGE = "message"
    SUMMARY = "summary"
    UPDATE = "update"
    PICTURE = "picture"


class AlertOutcome(StrEnum):
    """What became of it: an attempt that is retried counts as busy or uncertain, and once more for how it ends."""

    SENT = "sent"
    REPEATED = "repeated"
    REFUSED = "refused"
    BUSY = "busy"
    UNCERTAIN = "uncertain"


class WatchEnd(StrEnum):
    """Why a watch was begun anew."""

    TIMEOUT = "timeout"
    ERROR = "error"
    EXPIRED = "expired"


class Retention(StrEnum):
    """Which bound an incident was beyond, or that a diagnosis was too old."""

    WORKLOAD = "workload"
    NAMESPACE = "namespace"
    CLUSTER = "cluster"
    AGE = "age"


class Resolution(StrEnum):
    """How the condition `Resolved` changed."""

    CHANGED = "changed"
    UNDONE = "undone"
    RESOLVED = "resolved"
    REOPENED = "reopened"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric as the documentation lists it."""

    name: str
    kind: str
    labels: Mapping[str, Sequence[str]]
    """Each label with all of its values."""
    series: int
    """Series that a scrape shows of it, buckets of a histogram counted as one."""
    text: str


class Metrics:
    """All metrics of one operator, in a registry of its own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library gives it no type
        self.registry = CollectorRegistry()
        self.families: list[Family] = []
        ProcessCollector(registry=self.registry)
        self._gauges = {name: Gauge(name, text, registry=self.registry) for name, text in _GAUGES.items()}
        self.families += [Family(name, "gauge", {}, 1, text) for name, text in _GAUGES.items()]
        self.incidents = self._counter(
            "memdiag_incidents", "Kills that were written as incidents.", kind=KillKind, limit_hit=LimitHit
        )
        self.diagnoses = self._counter("memdiag_diagnoses", "Verdicts written because of a kill.", cause=Cause)
        name, text = _HISTOGRAM
        self.kill_to_diagnosis = Histogram(name, text, buckets=_SECONDS, registry=self.registry)
        self.families.append(Family(name, "histogram", {}, 1, text))
        name, text = _ALERT_HISTOGRAM
        self.kill_to_alert = Histogram(name, text, buckets=_SECONDS, registry=self.registry)
        self.families.append(Family(name, "histogram", {}, 1, text))
        self.reports = self._counter("memdiag_reports", "Reports that were worked off.", outcome=ReportOutcome)
        self.suspects = self._counter(
            "memdiag_suspects", "Containers that ended with 137 and are not called OOMKilled.", outcome=SuspectOutcome
        )
        self.events = self._counter("memdiag_events", "Kubernetes Events.", outcome=EventOutcome)
        self.alerts = self._counter("memdiag_alerts", "What was sent to Slack.", kind=AlertKind, outcome=AlertOutcome)
        self.watch_restarts = self._counter(
            "memdiag_watch_restarts", "Watches that were begun anew.", collection=COLLECTIONS, reason=WatchEnd
        )
        self.api_errors = self._counter(
            "memdiag_api_errors", "Answers of the API server that were no success.", code=API_CODES
        )
        self.retention = self._counter(
            "memdiag_retention_deleted", "Incidents and diagnoses deleted, by the bound.", bound=Retention
        )
        self.resolutions = self._counter("memdiag_resolutions", "Changes of the condition Resolved.", change=Resolution)

    def read_gauge(self, name: str, read: Callable[[], float]) -> None:
        """Say how one of the gauges is read when somebody asks. Raises KeyError when there is none of that name."""
        self._gauges[name].set_function(read)

    def expose(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, **labels: Iterable[str]) -> Counter:
        values = {label: tuple(str(each) for each in every) for label, every in labels.items()}
        made = Counter(name, text, tuple(values), registry=self.registry)
        combinations = list(itertools.product(*values.values()))
        for combination in combinations:
            made.labels(*combination)
        self.families.append(Family(f"{name}_total", "counter", values, len(combinations), text))
        return made


def api_code(status: int | None) -> str:
    """Return the label of an answer's status: a closed list, whatever a server answers."""
    if status is None:
        return "none"
    text = str(status)
    return text if text in API_CODES else f"{text[0]}xx" if text[0] in "45" else "none"
