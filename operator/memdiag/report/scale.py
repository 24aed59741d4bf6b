"""The curve's scale: how much memory its height stands for, the round values, and which layers and lines it has."""

from __future__ import annotations

from memdiag.model.quantity import human_bytes
from memdiag.report.curve import LAYERS, Curve, Layer

_HEADROOM = 1.06
_LEAST = 2**20
_FARTHEST_ADVICE = 8.0
_FARTHEST_RANGE = 2.2
_FARTHEST_STOP_GAP = 1.4
"""How far, as a multiple of all else that is drawn, each advised value widens the scale; beyond, its name says so."""


def most_bytes(curve: Curve) -> float:
    """Return the bytes at the top of the scale: all that was held, the limit, and advice that is not far beyond."""
    held = [point.total for run in curve.runs for point in run.points] + [run.peak or 0 for run in curve.runs]
    limits = [point.limit for run in curve.runs for point in run.points if point.limit is not None]
    highest = max([*held, curve.limit or 0, 1])
    highest = max([highest, *(limit for limit in limits if limit <= 2 * highest)])
    advised = (
        (curve.recommended, _FARTHEST_ADVICE),
        (curve.allowed[1] if curve.allowed else None, _FARTHEST_RANGE),
        (curve.stop_gap, _FARTHEST_STOP_GAP),
    )
    near = [count for count, farthest in advised if count is not None and (highest <= 1 or count <= farthest * highest)]
    return max([highest, *near, _LEAST]) * _HEADROOM


def ticks(most: float) -> list[int]:
    """Return three to six round values up to `most`: multiples of a power of two."""
    step = 1
    while most / step > 6:
        step *= 2
    return [step * count for count in range(1, int(most // step) + 1)]


def layers_of(curve: Curve) -> list[Layer]:
    """Return the layers that the curve has anything of, in the order in which they are stacked."""
    points = [point for run in curve.runs for point in run.points]
    return [layer for place, layer in enumerate(LAYERS) if any(point.layers[place] for point in points)]


def lines_of(curve: Curve) -> list[tuple[str, int, str]]:
    """Return the horizontal lines beside the runs' own limits: role, bytes and name."""
    found: list[tuple[str, int, str]] = []
    if curve.limit is not None:
        found.append(("limit", curve.limit, f"limit {human_bytes(curve.limit)}"))
    if curve.recommended is not None and curve.recommended != curve.limit:
        found.append(("recommended", curve.recommended, f"recommended {human_bytes(curve.recommended)}"))
    if curve.stop_gap is not None and curve.stop_gap not in {curve.limit, curve.recommended}:
        found.append(("stopgap", curve.stop_gap, f"stop-gap {human_bytes(curve.stop_gap)}"))
    return found
