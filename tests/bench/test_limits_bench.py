"""The bench of limits: the ported policies against published numbers, the replay on known demand, and its tables."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from bench.limits import table
from bench.limits.__main__ import main
from bench.limits.demand import DAY, FAMILIES, Demand, constant, machines, start_up
from bench.limits.ours import Memdiag
from bench.limits.policies import Factor, Histogram, Krr, Vpa, others
from bench.limits.replay import DOWN, Outcome, replay
from memdiag.model.verdict import Cause

MB = 1e6


def test_vpas_buckets_begin_at_10_mb_and_widen_by_5_percent() -> None:
    histogram = Histogram()
    histogram.add(5 * MB, 0)
    assert histogram.percentile(0.9) == pytest.approx(10 * MB)
    histogram.add(15 * MB, 10)
    assert histogram.percentile(0.9) == pytest.approx(20.5 * MB), "a day halves the weight of what was before"


@pytest.mark.parametrize("peak", [300.0, 444.0, 700.0, 1500.0, 3000.0])
def test_vpas_target_of_a_steady_peak_is_its_bucket_and_15_percent(peak: float) -> None:
    policy = Vpa()
    limit = 10 * peak
    for day in range(9):
        policy.sampled(day * DAY, [peak] * 60)
        limit = policy.reviewed((day + 1) * DAY, limit)
    assert 1.15 * peak <= limit <= 1.26 * peak


def test_vpa_answers_a_kill_from_the_request() -> None:
    policy = Vpa()
    policy.sampled(0, [200.0] * 60)
    grown = policy.killed(60, 512)
    assert 1.2 * 512 * 1.15 <= grown <= 1.2 * 512 * 1.15 * 1.06
    assert Vpa().killed(0, 256) >= (256 + 100) * 1.15


def test_krr_takes_the_highest_sample_and_with_its_flag_the_limit_that_was_hit() -> None:
    plain, flagged = Krr(), Krr(oom_flag=True)
    for policy in (plain, flagged):
        assert policy.reviewed(0, 512) == 512, "too few samples"
        policy.sampled(0, [200.0] * 200)
    assert (plain.killed(200, 512), flagged.killed(200, 512)) == (512, 640)
    assert plain.reviewed(DAY, 512) == pytest.approx(230)
    assert flagged.reviewed(DAY, 640) == 640


def known(levels: list[float], limit: float) -> Demand:
    return Demand("known", limit, levels)


def test_a_kill_costs_its_time_and_the_limit_grows() -> None:
    found = replay(known([50.0] * 90 + [150.0] * 90, 100), Factor("doubling", 2.0))
    assert (found.kills, found.changes, found.last_limit) == ([90], 1, 200)
    assert found.given == 90 * 100 + DOWN * 100 + (90 - DOWN) * 200
    assert found.slack[0] == pytest.approx(0.5)


def test_nothing_changes_where_nothing_is_killed() -> None:
    found = replay(known([50.0] * (2 * DAY), 100), Factor("static", 1.0))
    assert (len(found.kills), found.free_days, found.until_stable) == (0, 1.0, 0)
    assert found.mean_slack == pytest.approx(0.5)


def test_what_goes_with_age_begins_anew_after_a_kill() -> None:
    demand = Demand("known", 100, [0.0] * 400, [float(minute) for minute in range(400)])
    found = replay(demand, Factor("static", 1.0))
    assert found.kills == [101, 207, 313]


def test_memdiag_sees_no_more_than_its_limit_lets_it_see() -> None:
    demand = constant(random.Random(1))  # noqa: S311  # a simulation, no secret
    policy = Memdiag(demand.first_limit, demand.load)
    found = replay(demand, policy)
    first = policy._run(policy._lives[0])
    assert max(sample.level.current or 0 for sample in first.samples) <= demand.first_limit * 2**20
    assert policy.said
    assert found.kills


def test_what_an_unclear_kill_proposes_is_tried_once() -> None:
    demand = constant(random.Random("constant/0"))  # noqa: S311  # a simulation, no secret
    day = replace(demand, calendar=demand.calendar[:DAY])
    tried, untried = (Memdiag(demand.first_limit, None, tries=tries) for tries in (True, False))
    with_it, without = replay(day, tried), replay(day, untried)
    assert {one.cause for one in untried.said} == {Cause.INCONCLUSIVE}
    assert (with_it.changes, with_it.last_limit) == (1, 1.5 * demand.first_limit)
    assert (without.changes, without.last_limit) == (0, demand.first_limit)
    assert len(with_it.kills) < len(without.kills)


def test_every_family_is_its_seeds_alone() -> None:
    for make in FAMILIES:
        one, same, other = (make(random.Random(seed)) for seed in (1, 1, 2))  # noqa: S311  # a simulation
        assert one == same
        assert one.calendar != other.calendar
        assert min(one.of(0, 3 * DAY, 0)) > 0
    assert max(start_up(random.Random(1)).of(0, 30, 0)) > 2 * start_up(random.Random(1)).of(0, 60, 0)[-1]  # noqa: S311


def test_policies_are_made_anew_for_each_replay() -> None:
    made = others()
    assert {make().name for make in made.values()} == set(made)


def outcome(policy: str, kills: int, given: float) -> Outcome:
    return Outcome("f", policy, 30 * DAY, False, [100 * n for n in range(kills)], given=given * 1024 * 60, slack=[0.5])


def test_where_others_are_better_is_said() -> None:
    found = [outcome("memdiag", 3, 100), outcome("VPA", 1, 90), outcome("static", 50, 50)]
    assert table.worse(found, "memdiag") == ["f: VPA has 1.0 kills with 90 GiB h, memdiag 3.0 with 100"]


def test_the_overview_has_a_line_for_each_family() -> None:
    text = table.overview([outcome("memdiag", 3, 100), outcome("VPA", 1, 2090), outcome("memdiag", 4, 100)])
    assert text.splitlines() == ["| demand | memdiag | VPA |", "|---|---|---|", "| f | 3.5 / 100 | 1.0 / 2,090 |"]


def test_a_table_has_a_line_for_each_policy_and_intervals() -> None:
    text = table.of_family([outcome("memdiag", kills, 100) for kills in (1, 2, 3, 4)] + [outcome("VPA", 40, 1)])
    lines = text.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["memdiag", "VPA"]
    assert "2.5 [1." in lines[1]
    assert table.interval([1.0, 1.0]) is None


def test_machines_are_read_and_what_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(machines(tmp_path)) == []
    (tmp_path / "m.csv.gz").write_bytes(b"no gzip")
    assert main(["--seeds", "1", "--machines", str(tmp_path)]) == 2
    assert main(["--seeds", "0"]) == 2
    said = capsys.readouterr().err
    assert "--machines" in said
    assert "--seeds must be 1 or more" in said
