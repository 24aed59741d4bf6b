"""The fit of the weights: what it does with known rows, and that the committed table is what the traces say."""

import pytest

from bench.verdict import fit as module
from bench.verdict.corpus import HEALTHY
from bench.verdict.fit import Row, fit, main, target_of, views, written
from bench.verdict.simulated import FAMILIES, simulate
from memdiag.diagnosis.weights import PRIOR, WEIGHTS

NAMES = list(PRIOR)
LEAK, GROWTH, LOW = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def row(family: str, target: tuple[float, ...], **strengths: float) -> Row:
    return Row(family, family, "whole", tuple(strengths.get(name, 0.0) for name in NAMES), target)


def test_without_rows_that_say_anything_the_prior_stands() -> None:
    found = fit([row("a", (1 / 3, 1 / 3, 1 / 3))])
    for name, line in found.items():
        assert line == pytest.approx(PRIOR[name], abs=0.006)


def test_rows_move_the_weights_of_what_they_show_and_of_nothing_else() -> None:
    found = fit([row(f"f{number}", LEAK, jump=1.0) for number in range(50)])
    assert found["jump"][0] > PRIOR["jump"][0] + 0.5
    assert found["jump"][2] < PRIOR["jump"][2] - 0.5
    assert found["reset"] == pytest.approx(PRIOR["reset"], abs=0.006)


def test_a_family_that_is_left_out_says_nothing() -> None:
    others = [row("b", GROWTH, reset=1.0)]
    assert fit([*others, row("a", LEAK, jump=1.0)], ("a",)) == fit(others)


def test_healthy_demand_is_stationary_and_the_nodes_fault_is_nobodys_shape() -> None:
    assert target_of(HEALTHY) == LOW
    assert target_of("Leak") == LEAK
    assert target_of("NodePressure") is None


def test_views_know_less_than_the_whole() -> None:
    trace = simulate(FAMILIES[0], 3, kills=3)
    found = dict(views(trace))
    assert set(found) == {"whole", "first", "second", "no packets", "no load", "thin"}
    assert len(found["first"].runs) == 1
    assert not any(sample.net for run in found["no packets"].runs for sample in run.samples)
    assert not any(sample.level.cpu for run in found["no load"].runs for sample in run.samples)


def test_the_table_is_written_in_the_place_of_the_old_one() -> None:
    text = module.FILE.read_text(encoding="utf-8")
    assert written(WEIGHTS, text) == text
    assert '"jump": (9.0, 8.0, 7.0)' in written({**WEIGHTS, "jump": (9.0, 8.0, 7.0)}, text)


def test_the_committed_weights_are_what_the_traces_say() -> None:
    assert set(WEIGHTS) == set(PRIOR)
    assert main(["--check"]) == 0
