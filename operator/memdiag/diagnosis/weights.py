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
    "one_life": (-1.4, 0.3, 0.0),
    "same_pace": (0.2, -0.3, 0.1),
    "other_pace": (-0.8, 0.2, 0.2),
    "start_levels": (-1.2, 2.0, -1.0),
    "revision_step": (-1.0, 2.4, -0.8),
    "revision_rise": (1.0, 0.0, -0.3),
    "replicas_rise": (0.6, 0.1, -0.3),
    "replicas_level": (-0.7, 0.0, 0.1),
    "runtime_cap": (0.8, 0.0, -1.0),
    "heap_above_limit": (-0.9, 0.0, 1.1),
    "heap_unknown": (-0.5, 0.0, 0.2),
    "heap_below_limit": (0.5, 0.0, -0.3),
}
"""What is known without any trace: what each observation means. The fit is drawn towards it."""

WEIGHTS: Weights = {
    "follows_age": (0.93, -0.11, -0.03),
    "comes_to_rest": (-2.14, -0.58, 2.31),
    "no_end": (0.72, -0.15, -0.77),
    "follows_growing_load": (-1.8, 2.39, 0.01),
    "follows_level_load": (-2.01, 0.27, 1.64),
    "age_not_load": (0.88, -1.07, 0.39),
    "follows_calendar": (-1.57, 2.86, -0.89),
    "stays_level": (-1.68, -0.65, 1.53),
    "follows_nothing": (-0.75, -0.04, 0.59),
    "load_unknown": (0.11, 0.33, 0.16),
    "load_level": (0.18, -1.19, 0.3),
    "load_rose_with_age": (0.0, 0.98, 0.02),
    "floor_rises": (0.84, 0.21, -0.85),
    "floor_level": (-1.76, -0.67, 0.84),
    "little_room": (0.01, -0.02, 0.81),
    "floor_between": (-0.12, -0.38, 0.2),
    "wanders": (-1.03, 0.01, 0.43),
    "slackens": (-0.57, -0.31, 0.78),
    "goes_on": (-0.08, 0.15, 0.13),
    "jump": (-1.02, -0.56, 1.37),
    "returns": (-0.52, 0.2, 0.32),
    "falls": (-0.76, 0.22, 0.44),
    "dies_starting": (-1.14, 0.42, 0.62),
    "start_peak": (-0.95, -0.6, 1.96),
    "one_way_up": (-2.15, -0.28, 0.83),
    "reset": (-0.11, -0.96, 0.47),
    "not_reset": (-1.78, 1.6, 0.18),
    "sooner": (-1.22, 0.97, -0.15),
    "same_age": (0.3, -0.51, 0.12),
    "one_life": (-1.47, -0.05, 0.42),
    "same_pace": (0.26, -0.46, 0.2),
    "other_pace": (-0.85, 0.24, 0.22),
    "start_levels": (-1.02, 1.82, -1.0),
    "revision_step": (-0.99, 2.4, -0.81),
    "revision_rise": (1.2, -0.09, -0.4),
    "replicas_rise": (0.6, 0.1, -0.3),
    "replicas_level": (-0.7, 0.0, 0.1),
    "runtime_cap": (0.8, 0.0, -1.0),
    "heap_above_limit": (-1.2, -0.04, 1.45),
    "heap_unknown": (-0.5, 0.0, 0.2),
    "heap_below_limit": (0.42, -0.08, -0.14),
}
"""What `python -m bench.verdict.fit` found on the recorded and the simulated traces."""
