"""Revisions: a step between two level revisions, a rise that the newest one brought, and what cannot be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from memdiag.diagnosis.revisions import Revision
from memdiag.model.trace import Run
from tests.diagnosis.lives import BEGIN, container, life, seen

STEADY = [30.0] * 40
HIGHER = [60.0] * 40
RISING = [30 + 1.6 * place for place in range(40)]


def run(levels: Sequence[float], revision: str | None, place: int, *, killed: bool = True) -> Run:
    return replace(life(levels, begin=BEGIN + place * 1e5, killed=killed), revision=revision)


def change(*runs: Run) -> Revision | None:
    return seen(container(*runs)).revision


def test_a_step_between_level_revisions() -> None:
    found = change(run(STEADY, "r1", 0, killed=False), run(HIGHER, "r2", 1))
    assert found is not None
    assert found.level
    assert found.ratio == pytest.approx(2)
    assert found.before == pytest.approx(0.3)


def test_a_rise_that_the_newest_revision_brought() -> None:
    found = change(run(STEADY, "r1", 0, killed=False), run(RISING, "r2", 1))
    assert found is not None
    assert not found.level
    assert found.before == pytest.approx(0.3)


def test_the_image_stands_in_for_the_revision() -> None:
    runs = [replace(run(STEADY, None, 0, killed=False), image="a"), replace(run(HIGHER, None, 1), image="b")]
    assert change(*runs) == change(run(STEADY, "r1", 0, killed=False), run(HIGHER, "r2", 1))


def test_only_the_last_two_revisions_count() -> None:
    found = change(run(HIGHER, "r0", 0), run(STEADY, "r1", 1, killed=False), run(HIGHER, "r2", 2))
    assert found is not None
    assert found.ratio == pytest.approx(2)


@pytest.mark.parametrize(
    "runs",
    [
        [run(STEADY, "r1", 0), run(HIGHER, "r1", 1)],
        [run(STEADY, None, 0), run(HIGHER, None, 1)],
        [run(RISING, "r1", 0), run(HIGHER, "r2", 1)],
        [run(STEADY, "r1", 0), run([60.0] * 3, "r2", 1, killed=False)],
        [],
    ],
    ids=["one revision", "not known", "rose before too", "too short", "no run"],
)
def test_what_cannot_be_compared(runs: list[Run]) -> None:
    assert change(*runs) is None
