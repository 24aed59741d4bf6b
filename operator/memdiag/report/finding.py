"""What is shown of one diagnosis, wherever it came from: verdict, traces, counted kills, the last kill's facts."""

from __future__ import annotations

from dataclasses import dataclass, field

from memdiag.model.kill import Task
from memdiag.model.process import Process
from memdiag.model.trace import Trace, Victim
from memdiag.model.verdict import Diagnosis


@dataclass(frozen=True, slots=True)
class Killed:
    """One of the last kills, as a row: Unix seconds, the pod, and how it is called."""

    time: float | None
    pod: str | None
    what: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class LastKill:
    """The newest kill of which the kernel told: what it said, and who held memory then. Sizes are bytes."""

    time: float | None = None
    pod: str | None = None
    node: str | None = None
    limit_hit: str | None = None
    explanation: str | None = None
    victims: tuple[Victim, ...] = ()
    tasks: tuple[Task, ...] = ()
    """Tasks of the victim's own pod."""
    processes: tuple[Process, ...] = ()
    """Processes of the container shortly before, the largest first, and how much each had grown."""
    others: tuple[int, int] | None = None
    """Tasks of other pods that a node-wide kill's table held, and their resident bytes."""
    kernel_log: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One diagnosis, ready to be shown. What is not known is None; sizes are bytes, times Unix seconds."""

    name: str
    """The diagnosis's or the trace file's."""
    diagnosis: Diagnosis
    traces: tuple[Trace, ...] = ()
    """One a pod, the most recently killed pod's first."""
    namespace: str | None = None
    workload_kind: str | None = None
    workload_name: str | None = None
    container: str | None = None
    limit: int | None = None
    request: int | None = None
    kills_total: int | None = None
    last_kill_time: float | None = None
    recent: tuple[Killed, ...] = ()
    """Newest first."""
    last_kill: LastKill = field(default_factory=LastKill)
    patch: str | None = None
    """The change of the workload that applies the recommendation, as JSON."""
    apply_command: str | None = None
    """What applies it from a terminal."""
    muted_until: float | None = None
    resolved: str | None = None
    """Why it is resolved; None while it is open."""

    @property
    def place(self) -> str:
        """Namespace, workload (or pod) and container, as far as they are known."""
        pod = self.traces[0].pod if self.traces else None
        return "/".join(part for part in (self.namespace, self.workload_name or pod, self.container) if part)

    @property
    def cause(self) -> str:
        """The cause with its mechanism and confidence, or what is suspected where nothing was killed."""
        found = self.diagnosis
        kind = "" if found.mechanism is None else f" ({found.mechanism.value})"
        if found.cause is not None:
            return f"{found.cause.value}{kind}, confidence {100 * found.confidence:.0f} %"
        if found.suspicion is None:
            return "none, nothing was killed"
        doubt = found.suspicion
        kind = "" if doubt.mechanism is None else f" ({doubt.mechanism.value})"
        return f"none, nothing was killed; suspicion: {doubt.cause.value}{kind}, {100 * doubt.confidence:.0f} %"
