"""Rules: every strength is a share, and every name that a rule yields is weighed, and the other way round."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest

from bench.verdict.corpus import MANIFEST, TRACES, kills, read, until
from bench.verdict.simulated import FAMILIES, simulate
from memdiag.diagnosis.evidence import observe
from memdiag.diagnosis.features import measure
from memdiag.diagnosis.observation import Observation, ramp
from memdiag.diagnosis.weights import CANDIDATES, PRIOR, WEIGHTS
from memdiag.model.surroundings import Surroundings
from memdiag.model.trace import Run, Trace, TraceKill, Victim
from tests.diagnosis.lives import BEGIN, MIB, container, life

SEEDS = range(4)
STEADY = [30.0] * 40
HIGHER = [60.0] * 40
RISING = [20 + 1.9 * place for place in range(40)]


def observed(trace: Trace, *siblings: Trace) -> tuple[Observation, ...]:
    return observe(measure(trace, siblings, None, Surroundings()))


def one(levels: list[float], revision: str, place: int = 0, *, killed: bool = True) -> Run:
    return replace(life(levels, begin=BEGIN + place * 1e5, killed=killed), revision=revision)


def by_hand() -> Iterator[tuple[Observation, ...]]:
    """Yield what is in no simulated or recorded trace, as these have one replica and one revision."""
    yield observed(container(one(STEADY, "r1", killed=False), one(HIGHER, "r2", 1)))
    yield observed(container(one(STEADY, "r1", killed=False), one(RISING, "r2", 1)))
    rising, level = container(one(RISING, "r1")), container(one(STEADY, "r1"))
    yield observed(rising, rising, rising)
    yield observed(rising, level, level)
    # CPU time that climbs at a level of memory near the limit: a full heap
    yield observed(container(life([90.0] * 60, busy=[0.2 + 0.05 * place for place in range(60)])))
    # a JVM known by its victim's name only, and one whose heap is larger or smaller than the limit
    (run,) = rising.runs
    killed = TraceKill(BEGIN + 40 * 60, victims=(Victim(comm="java"),))
    yield observed(replace(rising, runs=(replace(run, kills=(killed,)),)))
    for heap in (400, 50):
        yield observed(replace(rising, runtime={"-Xmx": float(heap * MIB)}))


@cache
def everything() -> tuple[Observation, ...]:
    found: list[Observation] = []
    for family in FAMILIES:
        for seed in SEEDS:
            for wanted, packets, samples in ((1, True, 100), (3, True, 100), (3, False, 20), (4, True, 40)):
                found += observed(simulate(family, seed, kills=wanted, packets=packets, samples=samples))
    for entry in json.loads(MANIFEST.read_text(encoding="utf-8"))["traces"]:
        if entry["seed"] == 0 and entry["samples"] < 1500:
            trace = read(TRACES / f"{entry['family']}-0.jsonl.gz")
            found += observed(trace)
            for death in kills(trace)[:1]:
                found += observed(until(trace, *death))
    for seen in by_hand():
        found += seen
    return tuple(found)


def test_every_strength_is_a_share_and_every_statement_a_sentence() -> None:
    for seen in everything():
        assert 0 < seen.strength <= 1, seen
        assert seen.statement.endswith(".")
        assert seen.statement[0].isupper() or seen.statement[0].isdigit()


def test_every_name_is_weighed_and_every_weight_has_a_rule() -> None:
    assert {seen.name for seen in everything()} == set(PRIOR)


def test_what_was_fitted_is_what_has_a_meaning() -> None:
    assert set(WEIGHTS) == set(PRIOR)
    assert all(len(row) == len(CANDIDATES) for row in (*WEIGHTS.values(), *PRIOR.values()))


@pytest.mark.parametrize(("value", "share"), [(-1, 0), (2, 0), (3, 0.5), (4, 1), (9, 1)])
def test_a_ramp_goes_from_none_to_all_either_way(value: float, share: float) -> None:
    assert ramp(value, 2, 4) == share
    assert ramp(value, 4, 2) == 1 - share
