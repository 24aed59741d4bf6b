"""Plans of workloads are what their labels and the recorder need; what thinning leaves is what the kernel said."""

import argparse
import random

import pytest

from memdiag.model.verdict import Cause, Mechanism
from testbed.workloads import postgres
from testbed.workloads.draws import room
from testbed.workloads.families import FAMILIES, labels, plan
from testbed.workloads.plan import MIB, Load
from testbed.workloads.record import seeds
from testbed.workloads.thin import Thinner


def test_labels_use_the_words_of_the_verdict() -> None:
    for label in labels().values():
        assert label["cause"] in {*(cause.value for cause in Cause), "Healthy"}
        assert label.get("mechanism") is None or Mechanism(label["mechanism"])
        assert label["why"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_plan_is_the_same_for_the_same_seed_and_fits_its_program(family: str) -> None:
    assert plan(family, 3) == plan(family, 3)
    assert plan(family, 3) != plan(family, 4)
    for seed in range(20):
        found = plan(family, seed)
        assert found.program == labels()[family]["program"].lower()
        assert 2 * MIB <= found.limit <= 256 * MIB
        assert found.parameters.get("base", 0) < (found.limit_before or found.limit)
        assert all(value >= 0 for value in found.parameters.values())


def test_load_comes_at_its_rate() -> None:
    load = Load(6, 120, wave=0.5, ramp=1)
    rng = random.Random(1)  # noqa: S311 - load, no secret
    sent = sum(load.requests(turn / 4, rng) for turn in range(480))
    meant = sum(load.rate(turn / 4) / 4 for turn in range(480))
    assert sent == pytest.approx(meant, rel=0.1)


def test_load_in_steps_keeps_to_each_for_its_stretch() -> None:
    load = Load(10, 90, steps=(1, 3, 0.5))
    assert [load.rate(t) for t in (0, 29, 31, 59, 61, 89, 95)] == [10, 10, 30, 30, 5, 5, 5]


def test_sessions_of_a_room_fill_what_is_free_in_the_peak_that_was_asked_for() -> None:
    assert room(1200, 12, 0) == 100
    assert room(1200, 12, 2) < 100


def test_the_client_of_postgresql_speaks_its_protocol() -> None:
    rng = random.Random(1)  # noqa: S311 - load, no secret
    prepared = postgres.requests("prepare", {"each": 300}, rng)
    first, second = next(prepared), next(prepared)
    assert first.startswith(b"Q")
    assert int.from_bytes(first[1:5], "big") == len(first) - 1
    assert b"PREPARE s1 AS SELECT" in first
    assert b"PREPARE s2 AS SELECT" in second
    sort = next(postgres.requests("sorts", {"large": 1e6, "chance": 1}, rng))
    assert b"ORDER BY m" in sort
    assert int.from_bytes(postgres.greeting()[:4], "big") == len(postgres.greeting())


def test_seeds_are_read_from_a_range_or_a_list() -> None:
    assert seeds("0-3") == [0, 1, 2, 3]
    assert seeds("1,4-5") == [1, 4, 5]
    with pytest.raises(argparse.ArgumentTypeError, match="expected seeds such as"):
        seeds("many")


def test_thinning_keeps_values_and_drops_only_what_nobody_reads() -> None:
    thinner = Thinner()
    line = {
        "type": "sample",
        "t": 1.23456,
        "memory.current": 7,
        "memory.stat": {"anon": 5, "thp_fault_alloc": 1},
        "node": {"MemTotal": 9, "Bounce": 1},
    }
    first, second = thinner.thin(line), thinner.thin(line)
    assert first == {
        "type": "sample",
        "t": 1.235,
        "memory.current": 7,
        "memory.stat": {"anon": 5},
        "node": {"MemTotal": 9},
    }
    assert "node" not in second
    assert line["memory.stat"] == {"anon": 5, "thp_fault_alloc": 1}
