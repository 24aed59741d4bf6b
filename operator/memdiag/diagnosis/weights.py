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
    "floor_climbs": (0.8, 0.4, -0.8),
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
    "one_life": (-1.4, 0.3, 0.0),
    "same_pace": (0.2, -0.3, 0.1),
    "other_pace": (-0.8, 0.2, 0.2),
    "start_levels": (-1.2, 2.0, -1.0),
    "revision_step": (-1.0, 2.4, -0.8),
    "revision_rise": (1.0, 0.0, -0.3),
    "replicas_rise": (0.6, 0.1, -0.3),
    "replicas_level": (-0.7, 0.0, 0.1),
    "runtime_cap": (0.8, 0.0, -1.0),
    "heap_above_limit": (-1.2, 0.0, 1.5),
    "heap_unknown": (-0.5, 0.0, 0.2),
    "heap_below_limit": (0.5, 0.0, -0.3),
}
"""What is known without any trace: what each observation means. The fit is drawn towards it."""

WEIGHTS: Weights = {
    "follows_age": (0.93, -0.12, -0.01),
    "comes_to_rest": (-2.13, -0.57, 2.3),
    "no_end": (0.67, -0.15, -0.73),
    "follows_growing_load": (-1.8, 2.39, 0.0),
    "follows_level_load": (-2.01, 0.26, 1.65),
    "age_not_load": (0.85, -1.02, 0.37),
    "follows_calendar": (-1.59, 2.9, -0.91),
    "stays_level": (-1.7, -0.67, 1.57),
    "follows_nothing": (-0.74, -0.08, 0.62),
    "load_unknown": (0.17, 0.29, 0.15),
    "load_level": (0.21, -1.11, 0.2),
    "load_rose_with_age": (0.0, 0.97, 0.03),
    "floor_rises": (0.98, 0.19, -0.97),
    "floor_level": (-1.77, -0.68, 0.85),
    "little_room": (0.01, -0.02, 0.81),
    "floor_between": (-0.2, -0.48, 0.38),
    "floor_climbs": (0.88, 0.25, -0.73),
    "wanders": (-1.04, -0.03, 0.48),
    "slackens": (-0.63, -0.24, 0.76),
    "goes_on": (0.0, 0.04, 0.16),
    "jump": (-1.03, -0.55, 1.37),
    "returns": (-0.53, 0.2, 0.34),
    "falls": (-0.64, 0.11, 0.43),
    "dies_starting": (-1.21, 0.43, 0.68),
    "start_peak": (-0.96, -0.6, 1.96),
    "one_way_up": (-2.14, -0.25, 0.79),
    "reset": (-0.11, -0.93, 0.43),
    "not_reset": (-1.69, 1.55, 0.14),
    "sooner": (-1.11, 0.89, -0.18),
    "same_age": (0.17, -0.46, 0.2),
    "one_life": (-1.62, -0.12, 0.64),
    "same_pace": (0.26, -0.47, 0.21),
    "other_pace": (-0.77, 0.21, 0.16),
    "start_levels": (-0.99, 1.78, -0.99),
    "revision_step": (-0.99, 2.41, -0.82),
    "revision_rise": (1.16, -0.02, -0.43),
    "replicas_rise": (0.6, 0.1, -0.3),
    "replicas_level": (-0.7, 0.0, 0.1),
    "runtime_cap": (0.8, 0.0, -1.0),
    "heap_above_limit": (-1.11, -0.13, 1.54),
    "heap_unknown": (-0.5, 0.0, 0.2),
    "heap_below_limit": (0.43, -0.07, -0.16),
}
"""What `python -m bench.verdict.fit` found on the recorded and the simulated traces."""
