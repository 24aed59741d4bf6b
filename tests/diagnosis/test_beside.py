"""Beside load: a trend with age is found under fluctuating load, and none is found where load alone moves demand."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest

from memdiag.diagnosis import diagnose
from memdiag.diagnosis.beside import Trend, trend_beside_load
from memdiag.diagnosis.evidence import observe
from memdiag.model.trace import Trace
from memdiag.model.verdict import Cause
from tests.diagnosis.lives import BEGIN, container, life, seen

LIFE = 600.0
PARTS = 16


def trend(leak: float, request: float, seed: int, *, lives: int = 3, known: bool = True) -> Trend:
    """Return what is found where each life leaks so much in all and each unit of load holds so much for a moment."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    rows = [(number, LIFE * part / PARTS, rng.uniform(0.5, 1.5)) for number in range(lives) for part in range(PARTS)]
    demand = [40.0 + leak * age / LIFE + request * load + rng.gauss(0, 1) for _, age, load in rows]
    loads = [load for _, _, load in rows] if known else None
    found = trend_beside_load([age for _, age, _ in rows], demand, loads, [number for number, _, _ in rows], LIFE)
    assert found is not None
    return found


def test_a_leak_under_requests_is_found_with_its_size() -> None:
    found = trend(leak=20.0, request=60.0, seed=1)
    assert found.rise == pytest.approx(20.0, abs=3 * found.error)
    assert found.sure > 10


def test_load_that_is_not_known_costs_certainty_and_not_truth() -> None:
    found = trend(leak=20.0, request=60.0, seed=1, known=False)
    assert found.rise == pytest.approx(20.0, abs=3 * found.error)
    assert found.sure < trend(leak=20.0, request=60.0, seed=1).sure


def test_without_a_leak_the_trend_is_nothing_within_its_error() -> None:
    off = [trend(leak=0.0, request=60.0, seed=seed).sure for seed in range(200)]
    assert sum(abs(value) > 2 for value in off) / len(off) < 0.1
    assert max(map(abs, off)) < 5


def test_neighbours_that_resemble_each_other_count_for_less() -> None:
    rng = random.Random(5)  # noqa: S311 - no secret
    wander, level = [], 0.0
    for _ in range(48):
        level = 0.8 * level + rng.gauss(0, 1)
        wander.append(level)
    shuffled = rng.sample(wander, len(wander))
    ages, lives = [float(place) for place in range(48)], [0] * 48
    slow, quick = (trend_beside_load(ages, values, None, lives, 48.0) for values in (wander, shuffled))
    assert slow is not None
    assert quick is not None
    assert slow.error > 1.5 * quick.error


def test_age_that_is_one_with_load_says_nothing() -> None:
    ages = [float(place) for place in range(20)]
    assert trend_beside_load(ages, ages, ages, [0] * 20, 20.0) is None
    assert trend_beside_load(ages[:5], ages[:5], None, [0] * 5, 20.0) is None


def lives_of(leak: float, revisions: tuple[str, ...]) -> Trace:
    """Return lives under load that moves, each of a revision, of which only those of the newest leak."""
    rng = random.Random(3)  # noqa: S311 - no secret
    runs = []
    for number, revision in enumerate(revisions):
        loads = [rng.uniform(0.2, 1.8) for _ in range(80)]
        held = [50 + (leak * place / 80 if revision == revisions[-1] else 0) for place in range(80)]
        demand = [base + 10 * (a + b) for base, (a, b) in zip(held, pairwise([1.0, *loads]), strict=True)]
        run = life(demand, begin=BEGIN + number * 900, step=10.0, busy=loads)
        runs.append(replace(run, revision=revision))
    return container(*runs)


def strengths(leak: float, revisions: tuple[str, ...]) -> dict[str, float]:
    """Return what is observed of such lives."""
    return {one.name: one.strength for one in observe(seen(lives_of(leak, revisions)))}


def test_the_rule_speaks_of_the_newest_revision() -> None:
    leaking = strengths(25.0, ("1", "2", "2"))
    assert leaking["rises_beside_load"] > 0.5
    assert "level_beside_load" not in leaking
    level = strengths(0.0, ("1", "2", "2"))
    assert level["level_beside_load"] > 0.5
    assert "rises_beside_load" not in level


def test_a_low_limit_is_no_verdict_while_age_adds_to_load() -> None:
    revisions = ("1",) * 3
    assert diagnose(lives_of(0.0, revisions)).cause is Cause.UNDERESTIMATED_LIMIT
    for leak in (12.0, 15.0, 20.0):
        assert diagnose(lives_of(leak, revisions)).cause in {Cause.INCONCLUSIVE, Cause.LEAK}


def test_a_life_that_held_nothing_has_no_trend() -> None:
    nothing = container(*(life([0.0] * 13, begin=BEGIN + n * 1e4, busy=[n % 2 for n in range(13)]) for n in range(2)))
    assert diagnose(nothing).cause is not None
