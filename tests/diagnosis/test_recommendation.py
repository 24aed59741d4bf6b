"""What is advised, by cause and mechanism."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from memdiag.diagnosis.advice import next_steps
from memdiag.diagnosis.features import Features, measure
from memdiag.diagnosis.forecast import LONGEST_HORIZON
from memdiag.diagnosis.growing import GROWING
from memdiag.diagnosis.per_unit import per_unit_of
from memdiag.diagnosis.pressure import MemoryPressure
from memdiag.diagnosis.recommendation import ADVICE, no_kill
from memdiag.diagnosis.runtime import Runtime, RuntimeFacts
from memdiag.diagnosis.settling import settle
from memdiag.diagnosis.sizing import size
from memdiag.diagnosis.stationary import WISHES, escalate
from memdiag.model.kill import LimitHit
from memdiag.model.surroundings import Bound, Surroundings
from memdiag.model.trace import Trace
from memdiag.model.verdict import Action, Cause, Mechanism, Recommendation
from tests.diagnosis.lives import BEGIN, MIB, container, life, seen

DAY = 86400.0
FLAT = life([60.0, 61.0] * 30)


def advised(cause: Cause, trace: Trace, surroundings: Surroundings | None = None) -> Recommendation:
    return ADVICE[cause](seen(trace, surroundings))


def test_a_leak_gets_no_limit_but_pace_stop_gap_and_restart_cadence() -> None:
    leak = life([20 + n * 0.8 for n in range(100)], step=3600)
    advice = advised(Cause.LEAK, container(leak, request=50))
    assert (advice.action, advice.limit_bytes, advice.request_bytes, advice.range_bytes) == (
        Action.FIX_LEAK,
        None,
        None,
        None,
    )
    assert "819 KiB an hour" in advice.basis or "an hour" in advice.basis or "a day" in advice.basis
    assert "lasts about 4.2 days from each start" in advice.basis
    assert "restart it every 3.3 days" in advice.basis
    assert advice.stop_gap is not None
    assert 170 <= advice.stop_gap.limit_bytes / MIB <= 200
    bought = (advice.stop_gap.limit_bytes / MIB - 20) / 0.8 * 3600
    assert advice.stop_gap.uptime_seconds == pytest.approx(bought, rel=0.05)


def test_a_leak_that_filled_a_raised_limit_gets_no_second_stop_gap() -> None:
    first = life([20 + n * 0.8 for n in range(100)], step=3600)
    second = life([20 + n * 0.8 for n in range(225)], step=3600, limit=200, begin=BEGIN + 5 * DAY)
    advice = advised(Cause.LEAK, container(first, second, limit=200))
    assert advice.stop_gap is None
    assert "raised from 100 MiB before, and the leak filled that too: not again" in advice.basis


def test_a_raised_limit_that_is_not_full_yet_is_the_stop_gap() -> None:
    first = life([20 + n * 0.8 for n in range(100)], step=3600)
    second = life(
        [20 + n * 0.8 for n in range(60)], step=3600, limit=200, begin=BEGIN + 5 * DAY, killed=False, alive=True
    )
    advice = advised(Cause.LEAK, container(first, second, limit=200))
    assert advice.stop_gap is None
    assert "raised from 100 MiB since: that is stop-gap enough" in advice.basis


def test_a_stop_gap_is_clamped_too() -> None:
    leak = container(life([20 + n * 0.8 for n in range(100)], step=3600))
    bound = Surroundings(bounds=(Bound("quota q", most=128 * MIB),))
    advice = advised(Cause.LEAK, leak, bound)
    assert advice.stop_gap is not None
    assert advice.stop_gap.limit_bytes == 128 * MIB
    assert "quota q" in advice.clamps[0]
    assert advised(Cause.LEAK, leak, Surroundings(bounds=(Bound("quota q", most=100 * MIB),))).stop_gap is None


def growth(days: int, pace: float = 5.0, limit: int = 200) -> Trace:
    rng = random.Random(3)  # noqa: S311  # a simulation, no secret
    return container(
        life([100 + pace * hour / 24 + rng.gauss(0, 2) for hour in range(24 * days)], step=3600, limit=limit),
        limit=limit,
    )


def test_growth_gets_the_upper_bound_at_the_horizon_and_the_day_the_limit_was_reached() -> None:
    advice = advised(Cause.GROWTH, growth(20))
    assert advice.action is Action.RAISE_LIMIT
    assert advice.limit_bytes is not None
    assert 270 <= advice.limit_bytes / MIB <= 300, "200 MiB and 14 days of 5 MiB, and the line's own spread"
    assert "Demand grew by 5." in advice.basis or "Demand grew by 4." in advice.basis
    assert "was reached 20 days after the first sample, on 2023-12-04 22:13 UTC" in advice.basis
    assert "room for 14 days" in advice.basis
    assert LONGEST_HORIZON == 14 * DAY


def test_fast_growth_is_not_given_more_than_twice_and_told_how_long_that_lasts() -> None:
    advice = advised(Cause.GROWTH, growth(10, pace=40.0, limit=500))
    assert advice.limit_bytes == 1000 * MIB // (16 * MIB) * 16 * MIB + 16 * MIB
    assert "The new one is twice the demand seen and has room for" in advice.basis


def test_growth_by_load_names_the_cost_of_load_and_what_the_limit_bears() -> None:
    busy = [0.5 + n / 50 + 0.4 * math.sin(n / 3) for n in range(90)]
    trace = container(life([10 + 30 * load for load in busy], busy=busy))
    found = seen(trace)
    advice = ADVICE[Cause.GROWTH](found)
    assert "30 MiB for each busy CPU, so 100 MiB bears 3 of these" in advice.basis
    assert advice.limit_bytes is not None
    assert advice.limit_bytes > 110 * MIB


def test_a_new_version_is_no_trend() -> None:
    found = seen(growth(20))
    wish = GROWING[Mechanism.VERSION_REGRESSION](found, size(found))
    assert wish.limit == 300 * MIB
    assert wish.basis.startswith("The present version needs more than the one before")


def test_a_kill_at_an_unknown_limit_is_censored_all_the_same() -> None:
    trace = container(life([60.0] * 30, limit=None, peak=90), limit=None)
    advice = advised(Cause.UNDERESTIMATED_LIMIT, trace)
    assert (advice.action, advice.limit_bytes) == (Action.RAISE_LIMIT, 136 * MIB)
    assert "cut off at the limit of 90 MiB" in advice.basis


def test_little_load_is_told_in_a_small_unit() -> None:
    busy = [0.05 + n / 500 for n in range(90)]
    found = per_unit_of(seen(container(life([10 + 300 * load for load in busy], busy=busy))))
    assert found is not None
    assert found.unit == "percent of a CPU"
    assert found.borne(100 * MIB) == pytest.approx(30, rel=0.02)


def test_growth_without_a_trend_is_raised_by_steps() -> None:
    advice = advised(Cause.GROWTH, container(FLAT))
    assert (advice.action, advice.limit_bytes) == (Action.RAISE_LIMIT, 150 * MIB // (4 * MIB) * 4 * MIB + 4 * MIB)


def wished(mechanism: Mechanism | None, found: Features) -> float:
    return WISHES.get(mechanism, escalate)(found, size(found)).limit / MIB


def test_a_censored_peak_is_raised_by_half_then_twice_and_told_when_to_come_down() -> None:
    found = seen(container(FLAT))
    wish = escalate(found, size(found))
    assert wish.limit == 150 * MIB
    assert "memory.peak is censored there" in wish.basis
    assert "After 7 days without a kill set it to memory.peak + 15 %" in wish.basis
    again = seen(container(FLAT, life([60.0] * 30, limit=150, begin=BEGIN + 1e5), limit=150))
    assert wished(None, again) == 300


def test_a_peak_that_was_seen_whole_gets_the_margin_and_the_owner_may_set_it() -> None:
    alive = container(
        life([60.0] * 30, limit=64, killed=True),
        life([80.0] * 30, limit=200, begin=BEGIN + 1e5, killed=False, alive=True),
        limit=200,
    )
    assert wished(None, seen(alive)) == pytest.approx(92)
    assert wished(None, seen(alive, Surroundings(headroom_percent=50))) == pytest.approx(120)
    assert wished(None, seen(container(FLAT), Surroundings(headroom_percent=80))) == pytest.approx(180)


def test_needed_file_pages_are_part_of_the_demand() -> None:
    alive = container(life([60.0] * 30, limit=200, killed=False, alive=True), limit=200)
    squeezed = MemoryPressure(
        stalled=None,
        stalled_before=None,
        stalled_fully=None,
        limit_hits=None,
        refaulted=None,
        refaulted_before=None,
        major_faults=None,
        swapped=None,
        swap_refaulted=None,
        cache=None,
        cache_before=None,
        cache_needed=40 * MIB,
    )
    found = replace(seen(alive), pressure=squeezed)
    assert size(found).floor == pytest.approx(100 * MIB, abs=2 * MIB)
    assert wished(None, found) == pytest.approx(115, abs=3)
    assert "40 MiB of file pages" in escalate(found, size(found)).basis


def test_a_burst_and_a_start_get_their_peak_as_limit_and_the_usual_level_as_request() -> None:
    burst = container(life(([30.0] * 20 + [70.0]) * 6), request=90)
    for mechanism in (Mechanism.BURST, Mechanism.STARTUP_PEAK):
        found = seen(burst)
        wish = WISHES[mechanism](found, size(found))
        assert wish.request == 30 * MIB
        assert wish.limit == 150 * MIB
        assert "30 MiB: enough for the request" in wish.basis
    guaranteed = seen(replace(burst, request_bytes=100 * MIB))
    assert "stays equal" in WISHES[Mechanism.BURST](guaranteed, size(guaranteed)).basis


def test_a_noisy_plateau_gets_room_by_its_own_noise() -> None:
    rng = random.Random(5)  # noqa: S311  # a simulation, no secret
    found = seen(container(life([93 + rng.gauss(0, 1.5) for _ in range(400)])))
    wanted = wished(Mechanism.NO_HEADROOM, found)
    assert 105 <= wanted <= 115
    assert wished(Mechanism.NO_HEADROOM, seen(found.trace, Surroundings(headroom_percent=30))) == pytest.approx(130)


@pytest.mark.parametrize(
    "levels", [[94.0, 93.0] * 6, [60 + n * 0.9 for n in range(42)]], ids=["too few samples", "a way up"]
)
def test_what_is_no_plateau_is_raised_by_steps(levels: list[float]) -> None:
    assert wished(Mechanism.NO_HEADROOM, seen(container(life(levels)))) == 150


def test_a_cache_is_sized_by_where_it_comes_to_rest() -> None:
    levels = [20 + 95 * (1 - math.exp(-n / 60)) for n in range(110)]
    found = seen(container(life(levels)))
    assert wished(Mechanism.CACHE_ABOVE_LIMIT, found) == pytest.approx(1.15 * 115, rel=0.03)
    line = seen(container(life([20 + n * 0.7 for n in range(110)])))
    assert wished(Mechanism.CACHE_ABOVE_LIMIT, line) == 150


def test_a_heap_is_sized_with_what_stands_beside_it_and_one_in_percent_is_capped_too() -> None:
    found = seen(container(life([700.0] * 30, limit=800), limit=800))
    fixed = replace(found, runtime=RuntimeFacts(Runtime.JVM, "java", 1024 * MIB, "-Xmx", 800 * MIB))
    wish = WISHES[Mechanism.RUNTIME_HEAP_EXCEEDS_LIMIT](fixed, size(fixed))
    assert wish.limit == 1280 * MIB
    assert "Or lower -Xmx to 560 MiB and keep 800 MiB" in wish.basis
    assert "-Xmx560m" in next_steps(fixed, Cause.UNDERESTIMATED_LIMIT, Mechanism.RUNTIME_HEAP_EXCEEDS_LIMIT)[0]
    share = replace(found, runtime=RuntimeFacts(Runtime.JVM, "java", 720 * MIB, "-XX:MaxRAMPercentage", 800 * MIB))
    wish = WISHES[Mechanism.RUNTIME_HEAP_EXCEEDS_LIMIT](share, size(share))
    assert wish.limit == 900 * MIB
    assert "A higher limit alone raises this heap too: set its cap to 720 MiB, or 79 % of the new limit" in wish.basis
    unknown = replace(found, runtime=RuntimeFacts(Runtime.JVM, "java", 200 * MIB, "default", 800 * MIB))
    wish = WISHES[Mechanism.RUNTIME_HEAP_EXCEEDS_LIMIT](unknown, size(unknown))
    assert wish.limit == 1200 * MIB
    assert wish.basis.startswith("How large the heap may become is not known")


def test_a_node_that_ran_out_asks_for_an_honest_request_and_no_limit() -> None:
    advice = advised(Cause.NODE_PRESSURE, container(FLAT, request=20))
    assert (advice.action, advice.limit_bytes, advice.request_bytes) == (Action.MOVE_OR_ADD_MEMORY, None, 61 * MIB)
    assert advised(Cause.NODE_PRESSURE, container(FLAT, request=100)).request_bytes is None


def test_a_pods_limit_is_not_raised_by_raising_a_containers() -> None:
    far = container(life([40.0] * 30, peak=60))
    advice = ADVICE[Cause.UNDERESTIMATED_LIMIT](measure(far, (), LimitHit.POD, Surroundings()))
    assert (advice.action, advice.limit_bytes) == (Action.KEEP_LIMIT, 100 * MIB)
    assert "at most 60 MiB of its own 100 MiB: raise the pod's limit" in advice.basis
    near = ADVICE[Cause.UNDERESTIMATED_LIMIT](measure(container(FLAT), (), LimitHit.POD, Surroundings()))
    assert near.action is Action.RAISE_LIMIT


def test_what_is_not_known_is_not_advised() -> None:
    assert advised(Cause.INCONCLUSIVE, container(FLAT)).limit_bytes == 100 * MIB
    assert advised(Cause.INCONCLUSIVE, container(FLAT)).action is Action.KEEP_LIMIT
    assert "Half as much again, for once, would tell" in advised(Cause.INCONCLUSIVE, container(FLAT)).basis
    again = container(FLAT, life([60.0] * 30, limit=150, begin=BEGIN + 1e5), limit=150)
    assert "It filled every limit from 100 MiB up" in advised(Cause.INCONCLUSIVE, again).basis
    assert advised(Cause.NOT_KERNEL_OOM, container(FLAT)).action is Action.NONE
    for cause in Cause:
        advice = advised(cause, Trace(()))
        assert (advice.limit_bytes, advice.request_bytes) == (None, None)
        assert advice.basis


def calm(days: float, *, limit: int = 1000, peak: float = 120, more: float = 0.0) -> Trace:
    count = int(days * 48)
    load = [0.5 + 0.4 * math.sin(n * 2 * math.pi / 48) for n in range(count)]
    levels = [60 + 40 * one + more * place / count for place, one in enumerate(load)]
    run = life(levels, limit=limit, step=1800, killed=False, alive=True, peak=peak, busy=load)
    return container(run, limit=limit, request=limit)


def test_a_healthy_container_far_below_its_limit_for_long_may_have_less() -> None:
    advice = no_kill(seen(calm(9)), suspected=False)
    assert (advice.action, advice.limit_bytes, advice.request_bytes) == (Action.LOWER_LIMIT, 140 * MIB, 140 * MIB)
    assert advice.limit_bytes is not None
    assert advice.limit_bytes >= 1.15 * 120 * MIB
    assert "never went above 120 MiB" in advice.basis


@pytest.mark.parametrize(
    "trace",
    [
        calm(2),
        calm(9, limit=200),
        calm(9, peak=1000),
        container(life([60.0] * 500, limit=1000, step=1800, killed=False, alive=True), limit=1000),
        calm(9, peak=160, more=60),
    ],
    ids=["too short", "well chosen", "cache filled it", "no waves of load", "it grows"],
)
def test_less_is_not_advised_without_reason(trace: Trace) -> None:
    assert no_kill(seen(trace), suspected=False).action is Action.NONE


def test_less_is_never_advised_under_suspicion() -> None:
    assert no_kill(seen(calm(9))).action is Action.NONE


def test_a_limit_that_was_lowered_is_no_raise_that_was_not_enough() -> None:
    higher, lower = life([60.0, 61.0] * 30, limit=200), life([60.0, 61.0] * 30, begin=BEGIN + 1e5)
    advice = advised(Cause.UNDERESTIMATED_LIMIT, container(higher, lower))
    assert "Half as much again first" in advice.basis
    assert size(seen(container(higher, lower))).cut_limits == 1
    assert "not again" not in advised(Cause.LEAK, container(higher, lower)).basis


def test_more_for_a_time_is_not_proposed_where_bounds_allow_none() -> None:
    def proposed(*bounds: Bound) -> str:
        found = seen(container(FLAT), Surroundings(bounds=bounds))
        return " ".join((ADVICE[Cause.INCONCLUSIVE](found).basis, *settle(found, Cause.INCONCLUSIVE, 0.5)))

    assert "Half as much again, for once" in proposed()
    assert "A limit of 152 MiB for a time" in proposed()
    assert "A limit of 120 MiB for a time" in proposed(Bound("quota q", most=120 * MIB))
    assert "for a time" not in proposed(Bound("quota q", most=100 * MIB))
    assert "for once" not in proposed(Bound("quota q", most=100 * MIB))
