"""The bench's arithmetic on known values, and a few committed traces of a real kernel through the diagnosis."""

import json
from dataclasses import replace

import pytest

from bench.verdict import baselines, corpus, measures
from bench.verdict.__main__ import left_out, threshold
from bench.verdict.baselines import DETECTORS, Series
from bench.verdict.measures import Outcome
from memdiag.diagnosis import diagnose
from memdiag.model.verdict import Cause
from testbed.workloads.families import FAMILIES, labels
from tests.diagnosis.lives import container, life

ENTRIES = json.loads(corpus.MANIFEST.read_text(encoding="utf-8"))["traces"]
LEAKS = [
    family for family in dict.fromkeys(entry["family"] for entry in ENTRIES) if labels()[family]["cause"] == "Leak"
]


def outcome(cause: str, said: str, confidence: float = 0.9, family: str = "f", kills: int | None = 1) -> Outcome:
    return Outcome("x", family, cause, None, said, None, confidence, kills)


SOME = [
    outcome("Leak", "Leak"),
    outcome("Leak", "Inconclusive"),
    outcome("Growth", "Leak", 0.6),
    outcome("UnderestimatedLimit", "UnderestimatedLimit", 0.8, "g", 3),
]


@pytest.mark.parametrize(
    ("measure", "value"),
    [
        (measures.leak_precision, 1 / 2),
        (measures.leak_recall, 1 / 2),
        (measures.leak_called_low, 0),
        (measures.coverage, 3 / 4),
        (measures.accuracy, 2 / 3),
        (measures.brier, (0.01 + 0.36 + 0.04) / 3),
        (measures.calibration_error, (0.1 + 0.6 + 0.2) / 3),
        (measures.kills_until_right, 6 / 4),
        (measures.right_after_one, 3 / 4),
    ],
)
def test_measures(measure: measures.Measure, value: float) -> None:
    assert measure(SOME) == pytest.approx(value)


def test_nothing_measured_is_not_zero() -> None:
    assert measures.leak_precision([]) is None
    assert measures.calibration_error([outcome("Leak", "Inconclusive")]) is None


def test_an_interval_holds_its_value_and_is_the_same_each_time() -> None:
    found = measures.interval(SOME, measures.coverage)
    assert found is not None
    assert found[0] <= 3 / 4 <= found[1]
    assert found == measures.interval(SOME, measures.coverage)


def test_the_threshold_suspects_the_wanted_share_and_no_more_than_it_must() -> None:
    values = [0.9, 0.8, 0.7, 0.6, 0.0, 0.0, 0.95, 0.5, 0.85, 0.65]
    at = threshold(values, 0.7)
    assert sum(value >= at for value in values) == 7


def test_a_left_out_family_is_judged_by_the_threshold_of_the_others() -> None:
    assert left_out([("a", 0.9), ("a", 0.9), ("b", 0.5), ("b", 0.5)]) == 0.5


def series(*y: float) -> Series:
    return Series(tuple(float(t) for t in range(len(y))), tuple(y), 100.0)


RISE = series(*(20 + 1.5 * i for i in range(50)))
LEVEL = series(*(50 - 0.1 * i + (i * 7919 % 13) - 6 for i in range(50)))


@pytest.mark.parametrize("name", [name for name in DETECTORS if name != "always underestimated"])
def test_baselines_know_a_line_from_noise(name: str) -> None:
    assert baselines.alarms(DETECTORS[name], RISE)
    assert not baselines.alarms(DETECTORS[name], LEVEL)


def test_mann_kendall_s_and_variance_of_a_known_series() -> None:
    s, variance = baselines._mann_kendall([1, 2, 2, 3, 5])
    assert (s, variance) == (9, (5 * 4 * 15 - 2 * 1 * 9) / 18)


def test_every_committed_trace_has_a_label_and_every_label_a_family() -> None:
    assert set(labels()) == set(FAMILIES)
    assert {entry["family"] for entry in ENTRIES} <= set(labels())
    assert {f"{entry['family']}-{entry['seed']}.jsonl.gz" for entry in ENTRIES} == {
        path.name for path in corpus.TRACES.glob("*.jsonl.gz")
    }


@pytest.mark.parametrize("family", LEAKS)
def test_no_recorded_leak_is_surely_called_a_low_limit(family: str) -> None:
    entry = next(entry for entry in ENTRIES if entry["family"] == family)
    trace = corpus.read(corpus.TRACES / f"{family}-{entry['seed']}.jsonl.gz")
    assert sum(len(run.samples) for run in trace.runs) == entry["samples"]
    assert len(corpus.kills(trace)) == entry["kills"]
    found = diagnose(trace)
    assert not (found.cause is Cause.UNDERESTIMATED_LIMIT and found.confidence > 0.8)


def test_a_leak_cut_before_its_first_death_has_no_kill() -> None:
    entry = next(entry for entry in ENTRIES if entry["family"] in LEAKS and entry["kills"])
    trace = corpus.read(corpus.TRACES / f"{entry['family']}-{entry['seed']}.jsonl.gz")
    cut = corpus.before_first_death(trace)
    assert cut is not None
    assert not corpus.deaths(cut)
    assert diagnose(cut).cause is None


@pytest.mark.parametrize(
    ("cause", "kernel", "exit_code", "usable"),
    [
        ("Leak", True, 137, True),
        ("Leak", False, 0, False),
        ("Healthy", False, 0, True),
        ("Healthy", True, 137, False),
        ("NotKernelOOM", False, 137, True),
        ("NotKernelOOM", True, 137, False),
    ],
)
def test_a_trace_is_left_out_where_the_kernel_did_otherwise(
    cause: str, kernel: bool, exit_code: int, usable: bool
) -> None:
    run = life([10, 20, 30], killed=kernel)
    assert run.end is not None
    trace = container(replace(run, end=replace(run.end, exit_code=exit_code)))
    assert corpus.Case("x", "f", 0, cause, None, trace).as_meant is usable
