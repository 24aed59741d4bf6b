"""What more memory could hide: when a low limit is no verdict, for a leak is not ruled out."""

from __future__ import annotations

from collections.abc import Mapping

from memdiag.diagnosis.features import Features

MOST_LEAK = {"few samples": 0.03, "heap above the limit": 0.1, "one life": 0.1, "several lives": 0.2}
"""A low limit is no verdict while a leak is likelier than this, by what was seen."""
MANY_SAMPLES = 24
"""Samples of a life from which its shape is well known."""

_CLIMBS = 0.4
"""Nor while the floor climbs all the time under the peaks, with this strength."""
_ADDED = 0.15
"""Nor while age surely adds more than this share of the way to the limit to what load explains."""
_GOES_ON = 0.5
"""Nor while the floor rises to the limit and went on to the end, both with this strength."""
_BOUNDED = ("comes_to_rest", "held_more", "start_peak")
"""What tells where such a rise ends, if it is as strong."""


def seen_as(found: Features) -> str:
    """Return how well a leak can be ruled out by what was seen, as a key of MOST_LEAK."""
    if found.samples < MANY_SAMPLES:
        return "few samples"
    if found.runtime.cap_above_limit:
        return "heap above the limit"  # a leak inside such a heap looks like its garbage
    return "one life" if found.restarts is None else "several lives"


def may_hide_leak(found: Features, strengths: Mapping[str, float], leak: float) -> bool:
    """Say whether a leak is not ruled out; `strengths` are of the observations, `leak` is its probability."""
    if leak > MOST_LEAK[seen_as(found)] or strengths.get("floor_climbs", 0.0) >= _CLIMBS:
        return True
    if any(strengths.get(name, 0.0) >= _GOES_ON for name in _BOUNDED):
        return False
    goes_on = min(strengths.get("floor_rises", 0.0), strengths.get("goes_on", 0.0)) >= _GOES_ON
    return goes_on or found.added_by_age > _ADDED
