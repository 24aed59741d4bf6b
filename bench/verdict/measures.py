"""Measures of verdicts, with intervals from resampling whole families.

Seeds of one family are no independent trials.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LEAK = "Leak"
GROWTH = "Growth"
LOW = "UnderestimatedLimit"
INCONCLUSIVE = "Inconclusive"
_BINS = 10
_TRIALS = 1000


@dataclass(frozen=True, slots=True)
class Outcome:
    """One verdict beside its label."""

    name: str
    family: str
    cause: str
    mechanism: str | None
    said: str
    said_mechanism: str | None
    confidence: float
    kills_until_right: int | None = None
    """None: never."""

    @property
    def right(self) -> bool:
        """Whether the cause is the label's."""
        return self.said == self.cause


Measure = Callable[[Sequence[Outcome]], float | None]


def share(found: Sequence[bool]) -> float | None:
    """Return the share of True, None of nothing."""
    return sum(found) / len(found) if found else None


def leak_precision(outcomes: Sequence[Outcome]) -> float | None:
    """Return the share of leak verdicts that are leaks."""
    return share([o.right for o in outcomes if o.said == LEAK])


def leak_recall(outcomes: Sequence[Outcome]) -> float | None:
    """Return the share of leaks that are called leaks."""
    return share([o.right for o in outcomes if o.cause == LEAK])


def leak_called_low(outcomes: Sequence[Outcome]) -> float | None:
    """Return the share of leaks that are called a low limit: the worst error."""
    return share([o.said == LOW for o in outcomes if o.cause == LEAK])


def coverage(outcomes: Sequence[Outcome]) -> float | None:
    """Return the share of verdicts that are not Inconclusive."""
    return share([o.said != INCONCLUSIVE for o in outcomes])


def accuracy(outcomes: Sequence[Outcome]) -> float | None:
    """Return the share of right causes among the verdicts that are not Inconclusive."""
    return share([o.right for o in outcomes if o.said != INCONCLUSIVE])


def mechanism_accuracy(outcomes: Sequence[Outcome]) -> float | None:
    """Return the share of right mechanisms where the cause is right and the label has one."""
    return share([o.said_mechanism == o.mechanism for o in outcomes if o.right and o.mechanism])


def calibration_error(outcomes: Sequence[Outcome]) -> float | None:
    """Return the expected calibration error over ten bins of equal width, of verdicts that are not Inconclusive."""
    said = [o for o in outcomes if o.said != INCONCLUSIVE]
    if not said:
        return None
    bins: dict[int, list[Outcome]] = {}
    for o in said:
        bins.setdefault(min(int(o.confidence * _BINS), _BINS - 1), []).append(o)
    gaps = (abs(sum(o.confidence - o.right for o in found)) for found in bins.values())
    return sum(gaps) / len(said)


def brier(outcomes: Sequence[Outcome]) -> float | None:
    """Return the mean squared difference of confidence and being right, of verdicts that are not Inconclusive."""
    said = [o for o in outcomes if o.said != INCONCLUSIVE]
    return sum((o.confidence - o.right) ** 2 for o in said) / len(said) if said else None


def kills_until_right(outcomes: Sequence[Outcome]) -> float | None:
    """Return the mean number of kills after which the cause was right first, of those where it ever was."""
    known = [o.kills_until_right for o in outcomes if o.kills_until_right is not None]
    return sum(known) / len(known) if known else None


def right_after_one(outcomes: Sequence[Outcome]) -> float | None:
    """Return the share of traces whose cause was right after the first kill."""
    return share([o.kills_until_right == 1 for o in outcomes])


MEASURES: dict[str, Measure] = {
    "leak precision": leak_precision,
    "leak recall": leak_recall,
    "leak called low": leak_called_low,
    "coverage": coverage,
    "cause accuracy": accuracy,
    "mechanism": mechanism_accuracy,
    "ECE": calibration_error,
    "Brier": brier,
    "kills until right": kills_until_right,
    "right after one": right_after_one,
}


def interval(outcomes: Sequence[Outcome], measure: Measure, seed: int = 1) -> tuple[float, float] | None:
    """Return the 95 % interval of a measure from resampled families, None where it cannot be had."""
    rng = random.Random(seed)  # noqa: S311 - resampling, no secret
    families: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        families.setdefault(outcome.family, []).append(outcome)
    groups = list(families.values())
    found: list[float] = []
    for _ in range(_TRIALS):
        value = measure([o for group in rng.choices(groups, k=len(groups)) for o in group])
        if value is not None:
            found.append(value)
    found.sort()
    return (found[int(0.025 * len(found))], found[int(0.975 * len(found)) - 1]) if len(found) >= _TRIALS / 2 else None
