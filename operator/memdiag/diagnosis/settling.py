"""Settling: what to watch or to try so that a doubtful verdict becomes a sure one, the surest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from memdiag.diagnosis.clamps import for_a_time
from memdiag.diagnosis.features import Features
from memdiag.diagnosis.runtime import SETTING_OF_CAP
from memdiag.diagnosis.words import duration, human_bytes
from memdiag.model.verdict import Cause

MOST = 4
SURE = 0.9
"""Confidence at which nothing more needs to be settled."""

_FEW_SAMPLES = 12
_TOGETHER = 0.85
_SHAPED = (Cause.LEAK, Cause.GROWTH, Cause.UNDERESTIMATED_LIMIT, Cause.INCONCLUSIVE)
"""The causes that the course of memory decides; the others are decided by which kill it was."""


def _witness(found: Features) -> Iterator[str]:
    if found.kill is not None and not found.kill.certain:
        yield (
            "The kernel's log of the node at that minute (`journalctl -k`, read by `memdiag explain`): it names the "
            "cgroup whose limit was hit."
        )


def _samples(found: Features) -> Iterator[str]:
    if not found.all_shapes:
        yield "One more run with memdiag's agent on the node from its start, so that there are samples of it."
    elif found.samples < _FEW_SAMPLES:
        life = found.typical(lambda shape: shape.series.life)
        yield f"A finer look: runs of {duration(life)} need a sample every {duration(max(life / 60, 1.0))}."
    if found.all_shapes and not found.all_shapes[-1].series.start_seen:
        yield "A run that is watched from its start: how low memory begins after a restart is not known."


def _restart(found: Features) -> Iterator[str]:
    if found.all_shapes and found.restarts is None:
        life = max(shape.series.life for shape in found.all_shapes)
        yield (
            f"One more restart, watched for {duration(life)}: memory that begins low and rises at the same pace leaks, "
            "memory that is soon back where it was has grown."
        )


def _load(found: Features) -> Iterator[str]:
    if not found.all_shapes or not found.rising:
        return
    if found.load is None:
        yield "A signal of load (network packets or CPU time of the container) beside memory."
    elif abs(found.load.collinear) >= _TOGETHER:
        yield "A time in which load falls while the container runs on: demand that falls with it is no leak."


def _heap(found: Features) -> Iterator[str]:
    runtime = found.runtime.runtime
    if runtime is not None and found.runtime.cap_unknown:
        yield f"The heap's cap of the {runtime}: set {SETTING_OF_CAP[runtime]} in the pod's spec, where it can be read."


def _temporary_limit(found: Features) -> Iterator[str]:
    limit = for_a_time(found)
    if limit is not None and found.all_shapes and found.kill is not None:
        yield (
            f"A limit of {human_bytes(limit)} for a time: memory that comes to rest "
            "below it needed that much, memory that reaches it by the same rise leaks or grows."
        )


_ALWAYS: tuple[Callable[[Features], Iterator[str]], ...] = (_witness,)
_BY_SHAPE: tuple[Callable[[Features], Iterator[str]], ...] = (_samples, _restart, _load, _heap)


def settle(found: Features, cause: Cause | None, confidence: float) -> tuple[str, ...]:
    """Return at most MOST things that would make the verdict surer, none for a sure one; no cause is "not killed"."""
    if cause is not None and cause is not Cause.INCONCLUSIVE and confidence >= SURE:
        return ()
    asked = list(_ALWAYS)
    if cause is None or cause in _SHAPED:
        asked += _BY_SHAPE
    if cause in (Cause.INCONCLUSIVE, Cause.UNDERESTIMATED_LIMIT):
        asked.append(_temporary_limit)
    return tuple(text for ask in asked for text in ask(found))[:MOST]
