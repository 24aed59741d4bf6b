"""The summary: one sentence, with its numbers, for someone who was just woken up."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from memdiag.diagnosis.features import Features
from memdiag.diagnosis.words import duration, human_bytes
from memdiag.model.verdict import Cause, Recommendation, Suspicion


def _limit(found: Features) -> str:
    return "its limit" if found.limit is None else f"its limit of {human_bytes(found.limit)}"


def _life(found: Features) -> float:
    return median(shape.series.life for shape in found.shapes) if found.shapes else 0.0


def _base(found: Features) -> str:
    return human_bytes(median(shape.base for shape in found.shapes)) if found.shapes else "its start"


def _leak(found: Features, _: Recommendation) -> str:
    pace = median(shape.slope for shape in found.shapes) * 60 if found.shapes else 0.0
    return (
        f"Memory leaks at about {human_bytes(pace)} a minute from {_base(found)} and reaches {_limit(found)} after "
        f"{duration(_life(found))}, whatever the load: fix the leak, a higher limit only delays the kill."
    )


def _growth(found: Features, advice: Recommendation) -> str:
    cause = "load" if found.load is not None and found.load.with_load >= 0.5 else "what it has to hold"
    raised = (
        "" if advice.limit_bytes is None else f"; {human_bytes(advice.limit_bytes)} gives room for as much growth again"
    )
    reset = found.restarts.reset if found.restarts is not None else None
    again = "" if reset is None or reset > 0.5 else ", and a restart does not make it smaller"
    return f"Memory grows with {cause} and has outgrown {_limit(found)}{again}{raised}."


def _low(found: Features, advice: Recommendation) -> str:
    raised = "" if advice.limit_bytes is None else f": raise it to {human_bytes(advice.limit_bytes)}"
    level = median(shape.floor_end for shape in found.shapes) if found.shapes else 0.0
    grows = f"Memory does not grow with age (level {human_bytes(level)})"
    return f"{grows}, but its peak does not fit into {_limit(found)}{raised}."


def _node(found: Features, _: Recommendation) -> str:
    return (
        "The node or a group above the container ran out of memory, not the container against "
        f"{_limit(found)}: move pods away or add memory."
    )


def _not_kernel(found: Features, _: Recommendation) -> str:
    words = found.kill.words if found.kill is not None else "nothing was seen"
    return f"Something killed the container with SIGKILL, but not the kernel's OOM killer ({words})."


def _unclear(found: Features, _: Recommendation) -> str:
    if found.kill is not None and found.kill.kernel is None:
        return "The container was killed with SIGKILL, and nothing shows whether the kernel's OOM killer did it."
    if not found.shapes:
        return f"The container was killed at {_limit(found)}, but too few samples were taken to say why."
    killed = f"The container was killed at {_limit(found)} after {duration(_life(found))}"
    return f"{killed}; the evidence does not single out one cause."


SENTENCES: dict[Cause, Callable[[Features, Recommendation], str]] = {
    Cause.LEAK: _leak,
    Cause.GROWTH: _growth,
    Cause.UNDERESTIMATED_LIMIT: _low,
    Cause.NODE_PRESSURE: _node,
    Cause.NOT_KERNEL_OOM: _not_kernel,
    Cause.INCONCLUSIVE: _unclear,
}


def no_kill(found: Features, suspicion: Suspicion | None) -> str:
    """Return the sentence for a trace in which nothing was killed."""
    seen = "" if not found.highest else f"; the highest demand was {human_bytes(found.highest)}"
    if suspicion is None:
        return f"Nothing was killed{seen}, and its shape gives no reason to worry."
    names = {Cause.LEAK: "a leak", Cause.GROWTH: "growth with load or data", Cause.UNDERESTIMATED_LIMIT: "a low limit"}
    return f"Nothing was killed{seen}, but its shape suggests {names.get(suspicion.cause, suspicion.cause.value)}."
