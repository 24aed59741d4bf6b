"""What a unit of load costs."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from memdiag.diagnosis.per_unit import PerUnit, per_unit_of
from memdiag.model.trace import Trace
from tests.diagnosis.lives import MIB, container, life, seen

WAVES = [0.5 + 0.4 * math.sin(n / 5) for n in range(120)]


def with_packets(trace: Trace, loads: list[float]) -> Trace:
    run = trace.runs[0]
    total, samples = 0.0, []
    for sample, load in zip(run.samples, loads, strict=True):
        total += 60 * load
        samples.append(replace(sample, net={"rx_packets": int(total)}))
    return replace(trace, runs=(replace(run, samples=tuple(samples)),))


def test_packets_tell_more_than_cpu() -> None:
    packets = [4000 * load for load in WAVES]
    trace = container(life([10 + 80 * load for load in WAVES], busy=[1.0] * 120))
    found = per_unit_of(seen(with_packets(trace, packets)))
    assert found is not None
    assert found.unit == "1,000 packets a second"
    assert found.each == pytest.approx(20 * MIB, rel=0.05)
    assert found.base == pytest.approx(10 * MIB, rel=0.25)


@pytest.mark.parametrize(
    "trace",
    [
        container(life([50.0] * 120)),
        container(life([50.0] * 120, busy=[1.0] * 120)),
        container(life([90 - 50 * load for load in WAVES], busy=WAVES)),
        container(life([50.0] * 5, busy=[1.0] * 5)),
    ],
    ids=["no load recorded", "level load", "falls with load", "too short"],
)
def test_what_does_not_rise_with_load_has_no_cost_of_load(trace: Trace) -> None:
    assert per_unit_of(seen(trace)) is None


def test_the_words_are_for_people() -> None:
    found = PerUnit("packet a second", 10 * MIB, 2**16, 900.0)
    assert found.words(600 * MIB) == (
        "It needs about 10 MiB and 64 KiB for each packet a second, "
        "so 600 MiB bears 9,440 of these (highest seen: 900)."
    )
    assert found.borne(5 * MIB) == 0
