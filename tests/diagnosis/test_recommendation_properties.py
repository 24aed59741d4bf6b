"""What holds for every recommendation, whatever the container did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from memdiag.diagnosis.clamps import settle
from memdiag.diagnosis.recommendation import ADVICE, no_kill
from memdiag.diagnosis.sizing import size
from memdiag.diagnosis.stationary import WISHES
from memdiag.model.quantity import MEBIBYTE, round_up
from memdiag.model.surroundings import Bound, Surroundings
from memdiag.model.trace import Level, Run, Sample, Trace
from memdiag.model.verdict import Action, Cause, Recommendation
from tests.diagnosis.lives import BEGIN, container, life, seen

LIMITS = st.integers(40, 5000)
SIZING = (Cause.UNDERESTIMATED_LIMIT, Cause.GROWTH)


@st.composite
def lives(draw: st.DrawFn) -> Trace:
    """Up to three lives of up to 60 samples, each level a share of the limit in force, the last perhaps alive."""
    limit = draw(LIMITS)
    runs: list[Run] = []
    count = draw(st.integers(1, 3))
    for place in range(count):
        shares = draw(st.lists(st.floats(0.05, 0.99), min_size=4, max_size=60))
        if draw(st.booleans()):
            shares.sort()
        last = place == count - 1
        killed = draw(st.booleans()) if last else True
        peak = None if killed else max(shares) * limit * draw(st.floats(1.0, 1.3))
        runs.append(
            life(
                [share * limit for share in shares],
                limit=limit,
                begin=BEGIN + place * 1e5,
                step=60.0,
                killed=killed,
                alive=last and not killed,
                peak=None if peak is None else min(peak, limit),
            )
        )
        if not last and draw(st.booleans()):
            limit = int(limit * draw(st.floats(1.0, 2.5)))
    request = draw(st.none() | st.just(limit) | st.integers(10, limit))
    return container(*runs, limit=limit, request=request)


bound = st.builds(Bound, st.just("quota q"), most=st.none() | LIMITS.map(lambda mib: mib * MEBIBYTE))
around = st.builds(
    Surroundings,
    headroom_percent=st.none() | st.integers(0, 200),
    bounds=st.lists(bound, max_size=2).map(tuple),
    scales_on_memory=st.none() | st.just("web"),
)
FREE = Surroundings()


def all_advice(trace: Trace, surroundings: Surroundings) -> list[Recommendation]:
    found = seen(trace, surroundings)
    sized = size(found)
    advice = [ADVICE[cause](found) for cause in Cause]
    return [
        *advice,
        no_kill(found, suspected=False),
        *(settle(found, sized, wish(found, sized)) for wish in WISHES.values()),
    ]


@settings(max_examples=150, deadline=None)
@given(lives(), around)
def test_every_recommendation_may_be_set_as_it_is(trace: Trace, surroundings: Surroundings) -> None:
    found = seen(trace, surroundings)
    sized = size(found)
    equal = trace.request_bytes is not None and trace.request_bytes == trace.limit_bytes
    for advice in all_advice(trace, surroundings):
        limit, request = advice.limit_bytes, advice.request_bytes
        assert len(advice.basis) <= 512
        assert all(len(text) <= 512 for text in (*advice.clamps, *advice.warnings))
        if advice.action not in {Action.RAISE_LIMIT, Action.LOWER_LIMIT}:
            continue
        assert limit is not None
        assert advice.range_bytes is not None
        assert limit % MEBIBYTE == 0
        assert limit == round_up(limit) or advice.clamps
        assert limit >= sized.floor or advice.clamps
        assert limit >= sized.floor or advice.warnings
        assert advice.range_bytes[0] <= limit <= advice.range_bytes[1]
        for one in surroundings.bounds:
            assert one.most is None or advice.range_bytes[1] <= one.most
        if trace.request_bytes is not None:
            assert request is not None
            assert request <= limit
            assert request == limit or not equal
        assert (limit > (trace.limit_bytes or 0)) == (advice.action is Action.RAISE_LIMIT)


@settings(max_examples=100, deadline=None)
@given(lives(), around)
def test_a_leak_never_gets_a_limit(trace: Trace, surroundings: Surroundings) -> None:
    advice = ADVICE[Cause.LEAK](seen(trace, surroundings))
    assert (advice.action, advice.limit_bytes, advice.request_bytes) == (Action.FIX_LEAK, None, None)
    if advice.stop_gap is not None:
        assert advice.stop_gap.limit_bytes > (trace.limit_bytes or 0)
        assert advice.stop_gap.uptime_seconds > 0
        assert (
            advice.stop_gap.limit_bytes <= 2.1 * (size(seen(trace)).first_cut_at or trace.limit_bytes or 0) + MEBIBYTE
        )


def mapped(trace: Trace, sample: Callable[[Sample], Sample], run: Callable[[Run], Run]) -> Trace:
    return replace(
        trace, runs=tuple(run(replace(one, samples=tuple(sample(s) for s in one.samples))) for one in trace.runs)
    )


def larger(trace: Trace, factor: int) -> Trace:
    def level(one: Level) -> Level:
        assert not isinstance(one.max, str)
        return replace(
            one,
            current=None if one.current is None else one.current * factor,
            peak=None if one.peak is None else one.peak * factor,
            max=None if one.max is None else one.max * factor,
            stat={key: value * factor for key, value in one.stat.items()},
        )

    return replace(
        mapped(
            trace,
            lambda s: replace(s, level=level(s.level)),
            lambda r: r if r.end is None else replace(r, end=replace(r.end, level=level(r.end.level))),
        ),
        limit_bytes=(trace.limit_bytes or 0) * factor,
        request_bytes=None if trace.request_bytes is None else trace.request_bytes * factor,
    )


def slower(trace: Trace, factor: float) -> Trace:
    def later(t: float) -> float:
        return BEGIN + (t - BEGIN) * factor

    return mapped(
        trace,
        lambda s: replace(s, t=later(s.t)),
        lambda r: replace(
            r,
            started=None if r.started is None else later(r.started),
            end=None if r.end is None else replace(r.end, t=later(r.end.t)),
        ),
    )


@pytest.mark.parametrize("cause", [*SIZING, Cause.LEAK])
@settings(max_examples=60, deadline=None)
@given(trace=lives(), factor=st.sampled_from([2, 3, 16]))
def test_more_memory_alike_is_more_limit_alike(cause: Cause, trace: Trace, factor: int) -> None:
    one, many = ADVICE[cause](seen(trace)), ADVICE[cause](seen(larger(trace, factor)))
    if one.limit_bytes is None or many.limit_bytes is None:
        assert one.limit_bytes == many.limit_bytes
    else:
        assume(one.action is many.action)  # rounding may make a small limit equal to the present one
        assert many.limit_bytes == pytest.approx(factor * one.limit_bytes, rel=0.05, abs=factor * 2 * MEBIBYTE)


@pytest.mark.parametrize("cause", [*SIZING, Cause.LEAK, Cause.NODE_PRESSURE])
@settings(max_examples=60, deadline=None)
@given(trace=lives(), factor=st.sampled_from([0.25, 2.0, 10.0]))
def test_the_pace_of_time_does_not_change_the_limit(cause: Cause, trace: Trace, factor: float) -> None:
    one, other = ADVICE[cause](seen(trace)), ADVICE[cause](seen(slower(trace, factor)))
    assert (one.action, one.request_bytes) == (other.action, other.request_bytes)
    if one.limit_bytes is None or other.limit_bytes is None:
        assert one.limit_bytes == other.limit_bytes
    else:
        assert other.limit_bytes == pytest.approx(one.limit_bytes, rel=0.035)  # a step of rounding
