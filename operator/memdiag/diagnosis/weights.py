"""Weights: for and against which cause each observation speaks, as log-odds at full strength."""

from __future__ import annotations

from collections.abc import Mapping

from memdiag.model.verdict import Cause

CANDIDATES = (Cause.LEAK, Cause.GROWTH, Cause.UNDERESTIMATED_LIMIT)
"""The causes that shape, load and restarts tell apart, once it is known that the container's own limit was hit."""

Weights = Mapping[str, tuple[float, float, float]]

PRIOR: Weights = {
    # leak, growth, underestimated limit
    "follows_age": (1.2, 0.0, -0.4),
    "comes_to_rest": (-2.0, -0.6, 2.2),
    "no_end": (0.8, 0.0, -1.0),
    "follows_growing_load": (-1.8, 2.4, 0.0),
    "follows_level_load": (-2.0, 0.3, 1.6),
    "age_not_load": (1.2, -1.0, 0.0),
    "follows_calendar": (-1.6, 2.8, -0.8),
    "stays_level": (-1.6, -0.4, 1.2),
    "follows_nothing": (-0.8, 0.0, 0.6),
    "load_unknown": (0.0, 0.6, 0.0),
    "load_level": (0.5, -1.2, 0.0),
    "load_rose_with_age": (0.0, 1.0, 0.0),
    "floor_rises": (1.0, 0.4, -1.2),
    "floor_level": (-1.8, -0.8, 1.0),
    "little_room": (0.0, 0.0, 0.8),
    "floor_between": (-0.3, 0.0, 0.0),
    "wanders": (-1.0, 0.0, 0.4),
    "slackens": (-0.6, -0.3, 0.8),
    "goes_on": (0.6, 0.2, -0.6),
    "jump": (-1.0, -0.6, 1.4),
    "returns": (-0.6, 0.0, 0.6),
    "falls": (-1.0, 0.3, 0.6),
    "dies_starting": (-1.0, 0.3, 0.6),
    "start_peak": (-1.0, -0.6, 2.0),
    "one_way_up": (-2.0, -0.4, 0.8),
    "reset": (0.4, -1.4, 0.4),
    "not_reset": (-2.0, 1.8, 0.2),
    "sooner": (-1.2, 0.8, 0.0),
    "same_age": (0.2, -0.5, 0.2),
    "one_life": (-0.6, 0.2, 0.0),
    "same_pace": (0.2, -0.3, 0.1),
    "other_pace": (-0.8, 0.2, 0.2),
    "start_levels": (-1.2, 2.0, -1.0),
    "revision_step": (-1.0, 2.4, -0.8),
    "revision_rise": (1.0, 0.0, -0.3),
    "replicas_rise": (0.6, 0.1, -0.3),
    "replicas_level": (-0.7, 0.0, 0.1),
    "runtime_cap": (0.8, 0.0, -1.0),
    "heap_above_limit": (-1.5, 0.0, 1.8),
    "heap_unknown": (-0.5, 0.0, 0.2),
}

WEIGHTS: Weights = PRIOR
