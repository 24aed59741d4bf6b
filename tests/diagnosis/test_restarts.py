"""Restarts: lives are compared from the end of their starts on, where their starts end alike."""

from __future__ import annotations

import pytest

from memdiag.diagnosis.restarts import Restarts
from tests.diagnosis.lives import BEGIN, container, life, seen

RISE = [40 + 0.3 * place for place in range(190)]


def lives(*starts: list[float]) -> Restarts:
    runs = [life([*start, *RISE], begin=BEGIN + place * 1e5) for place, start in enumerate(starts)]
    found = seen(container(*runs)).restarts
    assert found is not None
    return found


def started(steps: int) -> list[float]:
    return [40 * place / steps for place in range(steps)]


@pytest.mark.parametrize("steps", [5, 10, 20])
def test_a_slower_start_makes_no_other_life_of_it(steps: int) -> None:
    found = lives(started(20), started(steps))
    assert found.quicker is not None
    assert found.quicker == pytest.approx(1, abs=0.05)
    assert found.reset is not None
    assert found.reset > 0.9


def test_what_a_restart_brings_back_is_no_reset() -> None:
    runs = life([*started(5), *RISE]), life([*started(5), *RISE[120:]], begin=BEGIN + 1e5)
    found = seen(container(*runs)).restarts
    assert found is not None
    assert found.reset is not None
    assert found.reset < 0.4
    assert found.quicker is not None
    assert found.quicker < 0.5
