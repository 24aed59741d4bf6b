"""Says over HTTP whether the agent is alive, from what it did last, never from its being there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from memdiag.agent.spool import SpoolCounts
from memdiag.pages import Page, PageServer

STALE_SAMPLE_SECONDS = 30.0
STUCK_DELIVERY_SECONDS = 120.0
LATE_REPORT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Signals:
    """What health and metrics are made of. Ages in seconds; None for what never was."""

    last_sample: float | None
    oldest_report: float | None
    """The oldest report that waits for delivery."""
    last_delivery_turn: float | None
    """Since the delivery thread last showed life."""
    containers: int
    kernel_log: str | None = None
    """Why the kernel log cannot be read, None when it can."""
    last_delivery: float | None = None
    """Since the API server last took a report."""
    spool_reports: int = 0
    spool_bytes: int = 0
    dead_letters: int = 0
    spool: SpoolCounts = field(default_factory=SpoolCounts)
    kills: int = 0
    kills_late: int = 0
    kills_missed: int = 0
    kills_outside: int | None = None
    trends: int = 0
    watches_refused: int = 0
    overflows: int = 0


def alive(signals: Signals) -> bool:
    """Return whether both threads turn: a restart helps when they do not. An absent API server is no reason."""
    sampled = signals.last_sample is not None and signals.last_sample < STALE_SAMPLE_SECONDS
    delivering = signals.last_delivery_turn is None or signals.last_delivery_turn < STUCK_DELIVERY_SECONDS
    return sampled and delivering


def ready(signals: Signals) -> bool:
    """Return whether kills would reach the operator: alive, and no report waits for a minute."""
    late = signals.oldest_report is not None and signals.oldest_report > LATE_REPORT_SECONDS
    return alive(signals) and not late


def body_of(found: Signals) -> bytes:
    """Return what /healthz and /readyz say beside their status."""
    return json.dumps(
        {
            "lastSampleSeconds": found.last_sample,
            "lastDeliverySeconds": found.last_delivery,
            "oldestUndeliveredSeconds": found.oldest_report,
            "spoolReports": found.spool_reports,
            "spoolBytes": found.spool_bytes,
            "deadLetters": found.dead_letters,
            "killsMissed": found.kills_missed,
            "containers": found.containers,
            "kernelLog": found.kernel_log or "readable",
        }
    ).encode("ascii")


class Health(PageServer):
    """Serves /healthz, /readyz and /metrics; a body of the first two says the signals."""

    def __init__(
        self, host: str, port: int, signals: Callable[[], Signals], metrics: Callable[[Signals], bytes], kind: str
    ) -> None:
        """Listen on an address; `metrics` makes what /metrics serves, of content type `kind`. Raises OSError."""

        def page(path: str) -> Page:
            found = signals()
            if path == "/metrics":
                return Page(200, kind, metrics(found))
            judge = {"/healthz": alive, "/readyz": ready}.get(path)
            status = 404 if judge is None else 200 if judge(found) else 503
            return Page(status, "application/json", body_of(found))

        super().__init__(host, port, page)
