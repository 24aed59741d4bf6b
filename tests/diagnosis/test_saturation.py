"""Where a rise that slows down would have come to rest."""

from __future__ import annotations

import math
import random

import pytest

from memdiag.diagnosis.saturation import asymptote_of


def filling(bend: float, noise: float = 0.0, seen: float = 1.0, count: int = 200) -> list[tuple[float, float]]:
    rng = random.Random(7)  # noqa: S311  # a simulation, no secret
    ages = [seen * place / count for place in range(count)]
    return [(age * 1e4, 100 + 400 * (1 - math.exp(-bend * age)) + rng.gauss(0, noise)) for age in ages]


@pytest.mark.parametrize("bend", [2.0, 4.0, 8.0])
def test_the_asymptote_of_a_clean_rise_is_found(bend: float) -> None:
    found = asymptote_of(filling(bend))
    assert found is not None
    assert found.level == pytest.approx(500, rel=0.03)


@pytest.mark.parametrize("bend", [2.0, 3.0, 5.0])
def test_the_range_of_a_noisy_rise_holds_the_truth(bend: float) -> None:
    found = asymptote_of(filling(bend, noise=8.0))
    assert found is not None
    assert found.high is not None
    assert found.low * 0.97 <= 500 <= found.high * 1.03
    assert found.low <= found.level <= found.high


def test_a_line_has_no_end() -> None:
    found = asymptote_of([(float(age), 100 + 3.0 * age) for age in range(100)])
    assert found is not None
    assert found.high is None


@pytest.mark.parametrize(
    "points",
    [[], [(0.0, 1.0)] * 50, [(float(age), 9.0) for age in range(5)], [(float(age), 500.0 - age) for age in range(90)]],
)
def test_what_is_too_short_or_does_not_rise_has_no_asymptote(points: list[tuple[float, float]]) -> None:
    assert asymptote_of(points) is None
