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
    "follows_growing_load": (-1.8, 2.8, -0.4),
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
    "held_more": (-2.0, -0.6, 2.4),
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
    "follows_age": (0.89, -0.12, 0.03),
    "comes_to_rest": (-2.12, -0.57, 2.29),
    "no_end": (0.59, -0.15, -0.65),
    "follows_growing_load": (-1.79, 2.66, -0.26),
    "follows_level_load": (-2.01, 0.23, 1.68),
    "age_not_load": (0.78, -1.02, 0.44),
    "follows_calendar": (-1.59, 2.9, -0.91),
    "stays_level": (-1.71, -0.71, 1.63),
    "follows_nothing": (-0.67, -0.11, 0.57),
    "load_unknown": (0.16, 0.3, 0.14),
    "load_level": (0.26, -1.08, 0.13),
    "load_rose_with_age": (0.0, 0.98, 0.02),
    "floor_rises": (1.04, 0.12, -0.96),
    "floor_level": (-1.77, -0.7, 0.86),
    "little_room": (0.01, -0.01, 0.8),
    "held_more": (-2.02, -0.62, 2.44),
    "floor_between": (-0.24, -0.39, 0.33),
    "floor_climbs": (0.75, 0.07, -0.42),
    "wanders": (-1.03, 0.01, 0.42),
    "slackens": (-0.61, -0.27, 0.78),
    "goes_on": (0.11, 0.09, 0.01),
    "jump": (-1.02, -0.57, 1.39),
    "returns": (-0.55, 0.11, 0.44),
    "falls": (-0.62, -0.01, 0.53),
    "dies_starting": (-1.15, 0.39, 0.65),
    "start_peak": (-0.96, -0.6, 1.96),
    "one_way_up": (-2.21, -0.24, 0.85),
    "reset": (-0.22, -0.93, 0.55),
    "not_reset": (-1.68, 1.45, 0.22),
    "sooner": (-1.04, 0.82, -0.18),
    "same_age": (0.13, -0.47, 0.24),
    "one_life": (-1.63, -0.18, 0.71),
    "same_pace": (0.28, -0.53, 0.25),
    "other_pace": (-0.79, 0.2, 0.19),
    "start_levels": (-0.93, 1.71, -0.97),
    "revision_step": (-0.99, 2.41, -0.82),
    "revision_rise": (1.15, -0.01, -0.44),
    "replicas_rise": (0.6, 0.1, -0.3),
    "replicas_level": (-0.7, 0.0, 0.1),
    "runtime_cap": (0.8, 0.0, -1.0),
    "heap_above_limit": (-1.04, -0.13, 1.48),
    "heap_unknown": (-0.5, 0.0, 0.2),
    "heap_below_limit": (0.46, -0.07, -0.19),
}
"""What `python -m bench.verdict.fit` found on the recorded and the simulated traces."""
