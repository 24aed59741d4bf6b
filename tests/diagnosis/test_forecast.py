"""When the limit is reached, and how high demand will be."""

from __future__ import annotations

import random

import pytest

from memdiag.diagnosis.forecast import forecast, slope_interval, trend_of
from tests.diagnosis.lives import BEGIN, MIB, container, life, seen

DAY = 86400.0


def growing(days: int, pace: float, noise: float = 2.0, seed: int = 1, first: float = 100) -> list[float]:
    rng = random.Random(seed)  # noqa: S311  # a simulation, no secret
    return [first + pace * hour / 24 + rng.gauss(0, noise) for hour in range(24 * days)]


def test_the_bound_at_the_horizon_is_above_almost_all_that_comes() -> None:
    above = 0
    for seed in range(40):
        levels = growing(20, 5.0, noise=6.0, seed=seed)
        trace = container(life(levels[: 24 * 10], step=3600, limit=400, killed=False, alive=True), limit=400)
        trend = trend_of(seen(trace))
        assert trend is not None
        assert trend.horizon == pytest.approx(14 * DAY)
        bound = trend.upper(trend.now + 10 * DAY) / MIB
        assert 195 < bound < 240
        above += max(levels[-24:]) > bound
    assert above <= 8


def test_a_short_trace_is_not_extrapolated_far() -> None:
    trend = trend_of(seen(container(life([float(n) for n in range(10, 70)], killed=False, alive=True))))
    assert trend is not None
    assert trend.horizon == pytest.approx(2 * 59 * 60)


def test_what_a_limit_held_down_does_not_bend_the_line() -> None:
    first = life(growing(10, 10.0), step=3600, limit=200)
    looping = [life([195.0] * 5, limit=200, begin=BEGIN + (10 + n) * DAY) for n in range(10)]
    trend = trend_of(seen(container(first, *looping, limit=200)))
    assert trend is not None
    assert trend.slope * DAY / MIB == pytest.approx(10, rel=0.1)
    assert trend.reached == pytest.approx(BEGIN + 10 * DAY)
    assert trend.now > BEGIN + 19 * DAY


def test_how_long_a_size_lasts_is_where_the_bound_reaches_it() -> None:
    trend = trend_of(seen(container(life(growing(10, 5.0), step=3600, killed=False, alive=True, limit=400), limit=400)))
    assert trend is not None
    held = trend.lasts(180 * MIB)
    assert held is not None
    assert trend.upper(trend.now + held) == pytest.approx(180 * MIB, rel=1e-6)
    assert trend.lasts(1e12) is None


def test_the_slope_interval_is_that_of_sen() -> None:
    # Sen's example has no noise to speak of here: exact line plus two outliers
    points = [(float(x), 3.0 * x) for x in range(12)]
    points[3], points[8] = (3.0, 30.0), (8.0, 5.0)
    found = slope_interval(points)
    assert found is not None
    low, middle, high = found
    assert middle == pytest.approx(3.0)
    assert low <= middle <= high
    assert slope_interval([(1.0, 2.0), (1.0, 3.0)]) is None


def test_a_living_rise_is_forecast_with_its_range_and_a_dead_or_level_one_is_not() -> None:
    levels = growing(6, 10.0, noise=1.0)
    found = forecast(seen(container(life(levels, step=3600, limit=200, killed=False, alive=True), limit=200)))
    assert found is not None
    assert found.seconds_to_limit == pytest.approx(4 * DAY, rel=0.1)
    assert found.low is not None
    assert found.high is not None
    assert found.seconds_to_limit is not None
    assert found.low <= found.seconds_to_limit <= found.high
    assert forecast(seen(container(life(levels, step=3600, limit=200), limit=200))) is None
    level = life([100.0, 101.0] * 40, step=3600, limit=200, killed=False, alive=True)
    assert forecast(seen(container(level, limit=200))) is None
    full = life([min(x, 150) for x in growing(6, 10.0, noise=0.1)], step=3600, limit=140, killed=False, alive=True)
    reached = forecast(seen(container(full, limit=140)))
    assert reached is not None
    assert reached.seconds_to_limit == 0
