"""From a wish to a limit that may be set, and who held it back."""

from __future__ import annotations

import pytest

from memdiag.diagnosis.clamps import Wish, clamp, request_for, settle
from memdiag.diagnosis.sizing import size
from memdiag.model.surroundings import Bound, Surroundings
from memdiag.model.trace import Trace
from memdiag.model.verdict import Action, Recommendation
from tests.diagnosis.lives import BEGIN, MIB, container, life, seen

KILLED = life([60.0] * 30)


def wish(limit: float, low: float | None = None, high: float | None = None, request: int | None = None) -> Wish:
    return Wish(limit * MIB, (low or limit) * MIB, (high or limit) * MIB, "Because.", request)


def settled(trace: Trace, wanted: Wish, surroundings: Surroundings | None = None) -> Recommendation:
    found = seen(trace, surroundings)
    return settle(found, size(found), wanted)


def bounded(**bound: float) -> Surroundings:
    return Surroundings(bounds=(Bound("LimitRange a/b", **bound),))  # type: ignore[arg-type]


def test_the_tightest_bounds_clamp_and_are_named() -> None:
    bounds = (
        Bound("quota q", most=300 * MIB),
        Bound("node allocatable", most=250 * MIB + 5),
        Bound("LimitRange x", least=MIB),
    )
    found = clamp(400 * MIB, Surroundings(bounds=bounds))
    assert found.limit == 248 * MIB, "rounded down to a quantity that people write"
    assert found.clamps == ("Held down from 400 MiB to 248 MiB: node allocatable allows no more.",)
    raised = clamp(40 * MIB, bounded(least=64 * MIB))
    assert (raised.limit, raised.clamps) == (
        64 * MIB,
        ("Raised from 40 MiB to 64 MiB: LimitRange a/b allows no less than 64 MiB.",),
    )
    assert clamp(100 * MIB, bounded(least=64 * MIB, most=128 * MIB)).clamps == ()


def test_a_raise_is_rounded_in_its_range_and_never_below_what_was_seen() -> None:
    advice = settled(container(KILLED), wish(50, 40, 60))
    assert advice.action is Action.RAISE_LIMIT
    assert advice.limit_bytes == 100 * MIB, "the kill showed a demand of at least that"
    assert advice.range_bytes == (100 * MIB, 100 * MIB)
    assert settled(container(KILLED), wish(145.3, 120, 190)).range_bytes == (120 * MIB, 192 * MIB)


def test_a_clamp_below_the_demand_is_warned_of() -> None:
    trace = container(
        life([60.0] * 30), life([120.0] * 30, limit=200, begin=BEGIN + 1e4, killed=False, alive=True), limit=100
    )
    advice = settled(trace, wish(300), bounded(most=110 * MIB))
    assert (advice.action, advice.limit_bytes) == (Action.KEEP_LIMIT, 200 * MIB)
    assert any("Held down" in text for text in advice.clamps)
    assert any("killed again" in text for text in advice.warnings)


def test_where_no_raise_is_allowed_the_limit_is_kept_and_the_bound_named() -> None:
    advice = settled(container(KILLED), wish(150), bounded(most=80 * MIB))
    assert (advice.action, advice.limit_bytes) == (Action.KEEP_LIMIT, 100 * MIB)
    assert "cannot be raised" in advice.basis
    assert "LimitRange a/b" in advice.clamps[0]


@pytest.mark.parametrize(
    ("request_mib", "wanted", "expected"),
    [(None, None, None), (100, 40, 150), (50, None, 50), (50, 70, 70), (50, 400, 150), (90, 30, 30)],
)
def test_requests(request_mib: float | None, wanted: int | None, expected: int | None) -> None:
    trace = container(KILLED, request=request_mib)
    found, _ = request_for(seen(trace), 150 * MIB, None if wanted is None else wanted * MIB)
    assert found == (None if expected is None else expected * MIB)


def test_a_limit_range_may_ask_for_more_request() -> None:
    found, clamps = request_for(seen(container(KILLED, request=20), bounded(most_ratio=3.0)), 150 * MIB, None)
    assert found == 50 * MIB
    assert clamps == (
        "Request raised from 20 MiB to 50 MiB: LimitRange a/b allows a limit of at most 3 times the request.",
    )


def test_who_would_undo_it_is_named() -> None:
    about = Surroundings(scales_on_memory="web", limit_owner="VerticalPodAutoscaler web\x1b")
    advice = settled(container(KILLED), wish(150), about)
    assert any("HorizontalPodAutoscaler web scales" in text for text in advice.warnings)
    assert any(text.startswith("VerticalPodAutoscaler web? sets this limit") for text in advice.warnings)


def raised(seconds: float, present: int = 200) -> Trace:
    after = life([80.0] * 30, limit=present, begin=BEGIN + 1e4, step=seconds / 29, killed=False, alive=True)
    return container(KILLED, after, limit=present)


def test_no_news_is_no_new_recommendation_but_a_kill_at_the_limit_is_news() -> None:
    near = settled(raised(3600), wish(190))
    assert (near.action, near.limit_bytes) == (Action.KEEP_LIMIT, 200 * MIB)
    assert "within 10 % of the present limit" in near.basis
    assert settled(container(KILLED), wish(106)).action is Action.RAISE_LIMIT


def test_a_raised_limit_comes_down_only_after_clean_days() -> None:
    soon = settled(raised(86400), wish(120))
    assert soon.action is Action.KEEP_LIMIT
    assert "after 7 days without a kill it can come down to 120 MiB" in soon.basis
    later = settled(raised(8 * 86400), wish(120))
    assert (later.action, later.limit_bytes) == (Action.LOWER_LIMIT, 120 * MIB)


def test_a_raise_that_a_bound_cuts_short_is_given_as_far_as_it_goes() -> None:
    advice = settled(container(KILLED), wish(150), bounded(most=120 * MIB))
    assert (advice.action, advice.limit_bytes, advice.range_bytes) == (
        Action.RAISE_LIMIT,
        120 * MIB,
        (120 * MIB, 120 * MIB),
    )
    assert advice.warnings == ()
