"""One sentence for each cause, with its numbers, and nothing that a pod wrote."""

from __future__ import annotations

from dataclasses import replace

import pytest

from memdiag.diagnosis import summary
from memdiag.diagnosis.recommendation import ADVICE, no_kill
from memdiag.model.surroundings import Bound, Surroundings
from memdiag.model.trace import Run, RunEnd, Trace
from memdiag.model.verdict import Action, Cause, Recommendation, Suspicion
from tests.diagnosis.lives import BEGIN, MIB, container, life, seen

LEAK = container(life([20 + n * 0.8 for n in range(100)], step=3600))
FLAT = container(life([60.0, 61.0] * 30))


def said(cause: Cause, trace: Trace, surroundings: Surroundings | None = None) -> str:
    found = seen(trace, surroundings)
    return summary.SENTENCES[cause](found, ADVICE[cause](found))


def test_a_leak_says_pace_way_time_and_what_to_do() -> None:
    text = said(Cause.LEAK, LEAK)
    assert "to its limit of 100 MiB in 4.2 days: fix the leak, for a higher limit only delays the kill." in text
    assert "a day" in text or "an hour" in text


def test_a_low_limit_says_the_new_one() -> None:
    assert said(Cause.UNDERESTIMATED_LIMIT, FLAT).endswith("its limit of 100 MiB: raise it to 152 MiB.")


def test_a_bound_that_allows_no_more_is_said() -> None:
    bound = Surroundings(bounds=(Bound("quota q", most=100 * MIB),))
    assert said(Cause.UNDERESTIMATED_LIMIT, FLAT, bound).endswith("its bounds allow no higher one.")


def test_a_limit_that_was_raised_since_is_said_to_fit() -> None:
    after = life([80.0] * 30, limit=100, begin=BEGIN + 1e5, killed=False, alive=True)
    trace = container(life([60.0, 61.0] * 30, limit=64), after, limit=100)
    assert "the present limit of 100 MiB fits" in said(Cause.UNDERESTIMATED_LIMIT, trace)


def test_growth_says_what_it_has_outgrown() -> None:
    text = said(Cause.GROWTH, container(life([50 + n * 0.5 for n in range(100)], step=3600)))
    assert "has outgrown its limit of 100 MiB" in text
    assert "raise it to" in text


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (Cause.NODE_PRESSURE, "The node ran out of memory, not the container against its limit of 100 MiB"),
        (Cause.NOT_KERNEL_OOM, "look for a probe, a deadline or a person"),
        (Cause.INCONCLUSIVE, "The container was killed at its limit of 100 MiB after 60 minutes"),
    ],
)
def test_other_causes(cause: Cause, words: str) -> None:
    assert words in said(cause, FLAT)


@pytest.mark.parametrize("cause", list(Cause))
@pytest.mark.parametrize("trace", [LEAK, FLAT, Trace(())], ids=["leak", "flat", "nothing"])
def test_every_sentence_is_one_sentence_of_bounded_length(cause: Cause, trace: Trace) -> None:
    hostile = replace(trace, pod="<!channel>", container="<!channel>", namespace="<!channel>")
    text = said(cause, hostile)
    assert text.endswith(".")
    assert len(text) <= 300
    assert ". " not in text
    assert "channel" not in text
    assert "None" not in text


def test_without_a_kill() -> None:
    calm = seen(container(life([50.0] * 40, killed=False, alive=True)))
    assert "no reason to worry" in summary.no_kill(calm, None, no_kill(calm, suspected=False))
    assert "suggests a leak" in summary.no_kill(calm, Suspicion(Cause.LEAK, None, 0.7))
    lower = Recommendation(Action.LOWER_LIMIT, 64 * MIB, None, None, "why")
    assert summary.no_kill(calm, None, lower).endswith("far below its limit of 100 MiB: 64 MiB would be enough.")


def test_where_nobody_knows_whose_limit_was_hit_it_is_not_called_its_own() -> None:
    bare = Trace((Run("c1", end=RunEnd(BEGIN, 137, "OOMKilled")),), limit_bytes=100 * MIB)
    assert said(Cause.INCONCLUSIVE, bare).startswith("The container was OOM-killed under a limit of 100 MiB, but")


def test_a_limit_that_was_changed_since_is_not_the_one_that_was_filled() -> None:
    alive = life([20 + n * 0.8 for n in range(50)], step=3600, limit=200, begin=BEGIN + 1e6, killed=False, alive=True)
    trace = container(*LEAK.runs, alive, limit=200)
    assert "to its limit of 100 MiB in 4.2 days" in said(Cause.LEAK, trace)
    basis = ADVICE[Cause.LEAK](seen(trace)).basis
    assert "so 200 MiB lasts about 9 days from each start: until it is fixed, restart it every 7" in basis


def test_a_heap_that_no_allowed_limit_holds_is_to_be_lowered() -> None:
    filled = container(life([100 + n * 6.0 for n in range(60)], limit=512), limit=512)
    trace = replace(filled, runtime={"-Xmx": 2.0**31})
    assert said(Cause.UNDERESTIMATED_LIMIT, trace).endswith(
        "the heap's cap and the limit together, 2.0 GiB in 2.5 GiB."
    )
    for most in (512, 1024):
        bounds = Surroundings(bounds=(Bound("LimitRange x", most=most * MIB),))
        assert said(Cause.UNDERESTIMATED_LIMIT, trace, bounds).endswith("so lower the heap's cap.")
        assert "lower the heap's cap to 70 % of it" in ADVICE[Cause.UNDERESTIMATED_LIMIT](seen(trace, bounds)).basis
