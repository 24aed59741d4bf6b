"""A message before any channel renders it: what is known of a diagnosis, and the lines that people read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from memdiag.model.kill import LimitHit
from memdiag.model.occasion import Severity
from memdiag.model.verdict import Action, Cause, Mechanism


class Colour(StrEnum):
    """What a message looks like from afar."""

    INFO = "Info"
    WARNING = "Warning"
    CRITICAL = "Critical"
    RESOLVED = "Resolved"


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do about the limit. Quantities are Kubernetes' own text, None where there is none."""

    action: Action = Action.NONE
    limit: str | None = None
    low: str | None = None
    high: str | None = None
    stop_gap: str | None = None
    """A temporary limit for a leak."""
    stop_gap_seconds: float | None = None
    """The uptime that it buys."""
    patch: str | None = None
    """A strategic merge patch of the workload, JSON."""
    next_step: str | None = None
    would_settle: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What a message may tell of one diagnosis. Times are Unix seconds; None is not known."""

    namespace: str
    workload_kind: str
    workload: str
    container: str
    diagnosis: str
    """The name of the MemoryDiagnosis."""
    cause: Cause
    confidence_percent: int
    severity: Severity
    kills: int
    """Since memdiag was installed."""
    cluster: str | None = None
    mechanism: Mechanism | None = None
    evidence: str | None = None
    """The strongest statement for the cause."""
    limit: str | None = None
    advice: Advice = Advice()
    last_kill: float | None = None
    pod: str | None = None
    node: str | None = None
    victim: str | None = None
    victim_rss: str | None = None
    limit_hit: LimitHit | None = None
    evicted: bool = False
    resolved: bool = False
    resolution: str | None = None
    """How it came to be resolved, in one sentence."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line: what it is about, the text, and a command to copy."""

    label: str
    text: str
    command: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent."""

    colour: Colour
    title: str
    lines: tuple[Line, ...]
    footer: str
