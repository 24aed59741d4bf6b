"""Rules about the class of memory: piled-up tasks and kernel objects are observed, and only where demand rises."""

from __future__ import annotations

from dataclasses import replace

import pytest

from memdiag.diagnosis.rules_class import RULES
from memdiag.model.trace import Run, Sample
from tests.diagnosis.lives import MIB, container, life, seen

RISING = [20 + place for place in range(80)]


def strengths(run: Run) -> dict[str, float]:
    found = seen(container(run))
    return {one.name: one.strength for rule in RULES for one in rule(found)}


def piled(run: Run, per_step: float) -> Run:
    def one(place: int, sample: Sample) -> Sample:
        count = 1 + int(place * per_step)
        stat = {**sample.level.stat, "kernel_stack": count * 16384, "pagetables": count * 40000}
        return replace(sample, level=replace(sample.level, pids=count, stat=stat))

    return replace(run, samples=tuple(one(place, sample) for place, sample in enumerate(run.samples)))


def test_tasks_that_pile_up_are_seen() -> None:
    assert strengths(piled(life(RISING), 1.0))["tasks_pile_up"] == pytest.approx(1)


def test_a_few_workers_are_no_pile() -> None:
    assert "tasks_pile_up" not in strengths(piled(life(RISING), 0.05))


def test_what_does_not_rise_is_not_spoken_of() -> None:
    assert strengths(piled(life([60.0] * 80), 1.0)) == {}


@pytest.mark.parametrize(("share", "strength"), [(0.3, None), (0.6, 0.5), (0.9, 1.0)])
def test_kernel_objects_count_by_their_share(share: float, strength: float | None) -> None:
    run = life(RISING)
    samples = tuple(
        replace(
            one,
            level=replace(
                one.level,
                stat={
                    "anon": int(20 * MIB + (1 - share) * (one.level.stat["anon"] - 20 * MIB)),
                    "shmem": 0,
                    "kernel": int(share * (one.level.stat["anon"] - 20 * MIB)),
                },
            ),
        )
        for one in run.samples
    )
    found = strengths(replace(run, samples=samples))
    if strength is None:
        assert "kernel_objects" not in found
    else:
        assert found["kernel_objects"] == pytest.approx(strength, abs=0.05)
