"""Surroundings: what is known beside a container's trace that bounds or bends a recommendation. Sizes are bytes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bound:
    """Somebody's word on how large a container's memory limit may be; `source` names who, as people know it."""

    source: str
    """Such as `LimitRange defaults/memory`, `node allocatable` or `VerticalPodAutoscaler web maxAllowed`."""
    most: int | None = None
    least: int | None = None
    most_ratio: float | None = None
    """Largest limit over request, as a LimitRange's `maxLimitRequestRatio` has it."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Everything is optional: what is not known changes nothing."""

    headroom_percent: int | None = None
    """What the workload's owner wants above the expected peak; None leaves it to the recommendation."""
    bounds: tuple[Bound, ...] = ()
    scales_on_memory: str | None = None
    """Name of a HorizontalPodAutoscaler that scales on this container's memory: a new limit or request moves it."""
    limit_owner: str | None = None
    """Who else sets the limit, such as `VerticalPodAutoscaler web`; it would overwrite what a person sets."""
