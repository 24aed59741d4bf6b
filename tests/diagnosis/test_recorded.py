"""Verdicts on traces recorded on a real kernel (6.12, cgroup v2) from the programs in examples/, killed for real."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from memdiag.diagnosis import diagnose
from memdiag.model.history import HistoryRun, decode, encode
from memdiag.model.trace import Run, Trace
from memdiag.model.tracefile import parse
from memdiag.model.verdict import Action, Cause, Mechanism

FIXTURES = Path(__file__).parent / "fixtures"
TRUTH = {
    "leak": (Cause.LEAK, Mechanism.HEAP_LEAK, Action.FIX_LEAK),
    "growth": (Cause.GROWTH, Mechanism.LOAD_GROWTH, Action.RAISE_LIMIT),
    "low-limit": (Cause.UNDERESTIMATED_LIMIT, Mechanism.BURST, Action.RAISE_LIMIT),
}
RECORDED = sorted(FIXTURES.glob("*.jsonl.gz"))


def load(path: Path) -> Trace:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return parse(stream, path.name)


def until_kill(trace: Trace, number: int) -> Trace:
    ended = [index for index, run in enumerate(trace.runs) if run.end is not None]
    return replace(trace, runs=trace.runs[: ended[number - 1] + 1])


def as_history(trace: Trace) -> Trace:
    """Return the trace as the operator sees it: every third sample, all of the last seconds, few columns."""
    table = encode(
        [
            (
                HistoryRun(
                    run.container_id or "", run.started, run.end.t if run.end else None, True if run.end else None
                ),
                [s for i, s in enumerate(run.samples) if i % 3 == 0 or i > len(run.samples) - 8],
            )
            for run in trace.runs
        ]
    )
    runs = [
        replace(run, end=seen.end if run.end is None else replace(seen.end, killed=True) if seen.end else None)
        for run, seen in zip(decode(table), trace.runs, strict=True)
    ]
    return replace(trace, runs=tuple(runs))


def without_packets(run: Run) -> Run:
    return replace(run, samples=tuple(replace(sample, net={}) for sample in run.samples))


def test_there_are_recordings_of_every_example() -> None:
    assert {path.name.rpartition("-")[0] for path in RECORDED} == set(TRUTH)
    assert all(path.stat().st_size < 60 * 1024 for path in RECORDED)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name)
def test_the_verdict_is_right_from_the_first_kill_on(path: Path) -> None:
    trace = load(path)
    cause, mechanism, action = TRUTH[path.name.rpartition("-")[0]]
    kills = sum(run.end is not None for run in trace.runs)
    assert kills >= 2
    for number in range(1, kills + 1):
        found = diagnose(until_kill(trace, number))
        assert (found.cause, found.mechanism, found.recommendation.action) == (cause, mechanism, action)
        assert found.confidence >= 0.7
        assert any(piece.cause is cause and piece.weight > 0 for piece in found.evidence)
        if action is Action.FIX_LEAK:
            assert found.recommendation.limit_bytes is None
            assert found.recommendation.stop_gap is not None
        else:
            assert found.recommendation.limit_bytes is not None
            assert found.recommendation.limit_bytes > 96 * 2**20


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name)
def test_a_thin_history_without_packets_is_right_from_the_second_kill_on(path: Path) -> None:
    trace = load(path)
    trace = as_history(replace(trace, runs=tuple(without_packets(run) for run in trace.runs)))
    cause = TRUTH[path.name.rpartition("-")[0]][0]
    assert diagnose(until_kill(trace, 1)).cause in {cause, Cause.INCONCLUSIVE}
    assert diagnose(until_kill(trace, 2)).cause is cause


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name)
def test_names_and_times_do_not_matter(path: Path) -> None:
    trace = load(path)
    renamed = replace(trace, container="x", pod="y", workload_name="z", namespace="w")
    plain, other = diagnose(trace), diagnose(renamed)
    assert (plain.cause, plain.confidence, plain.evidence) == (other.cause, other.confidence, other.evidence)
