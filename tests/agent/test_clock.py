from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from memdiag.agent.clock import WallClock
from memdiag.agent.loop import Agent
from memdiag.agent.spool import Spool
from memdiag.agent.store import HistoryStore, RunHistory
from memdiag.model.report import from_rfc3339
from memdiag.model.trace import Level, Sample
from tests.agent.node_of_files import MIB, NOW, POD, A, FileNode


def test_a_clock_that_was_set_says_by_how_much() -> None:
    steady = iter([0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 5.0, 9.0, 10.0, 10.0])
    wall = iter([NOW, NOW + 1, NOW + 2.9, NOW - 3597, NOW - 3596, NOW - 3595, NOW + 10.0])
    clock = WallClock(lambda: next(wall), lambda: next(steady))
    assert clock.read() == (NOW + 1, 0.0)
    assert clock.read() == (NOW + 2.9, 0.0), "NTP slews"
    assert clock.read() == pytest.approx((NOW - 3597, -3600.9))
    assert clock.read() == (NOW - 3596, 0.0)
    assert clock.read() == (NOW - 3595, 0.0), "it was put aside for four seconds while it read"
    assert clock.read() == pytest.approx((NOW + 10.0, 3600.0))


def test_a_run_stays_one_curve_when_the_clock_is_set() -> None:
    store = HistoryStore()
    run = store.run(POD, A, NOW - 100)
    for second in (0, 5):
        run.add(Sample(NOW + second, Level(current=MIB, stat={"anon": MIB})))
        run.add_light(NOW + second + 1, MIB)
    store.clock_set(-3600.0)
    run.add(Sample(NOW - 3590, Level(current=2 * MIB, stat={"anon": 2 * MIB})))
    assert run.times() == [NOW - 3600, NOW - 3595, NOW - 3590]
    assert [sample.t - NOW for sample in run.samples()] == [-3600, -3599, -3595, -3594, -3590]
    assert run.started == NOW - 3700


@pytest.mark.parametrize("year", [1970, 2099])
def test_a_clock_that_is_wrong_by_decades_is_no_end(year: int) -> None:
    run = RunHistory(POD, A)
    run.add_light((year - 1970) * 365.25 * 86400, MIB)
    assert len(run.light_times) == 1


@pytest.fixture
def node(tmp_path: Path) -> FileNode:
    made = FileNode(tmp_path, A)
    made.stop()
    return made


@pytest.mark.parametrize("hours", [-1.0, 1.0])
def test_kills_are_told_and_readings_go_on_when_the_clock_is_set(node: FileNode, hours: float) -> None:
    """The kill comes just before, so that what waits for its fate was planned by the old clock."""
    set_by = 0.0
    began = time.monotonic()
    spool = Spool(node.state)
    agent = Agent(node.config(), spool, wall=lambda: time.time() + set_by)
    turns = 0

    def stopped() -> bool:
        nonlocal set_by, turns
        turns += 1
        if turns == 3:
            node.rise(A)
        if turns == 4:  # the counter woke the agent, which now waits for the log's words
            set_by = hours * 3600
        return bool(spool.waiting()) or time.monotonic() - began > 20

    agent.start()
    agent.run(stopped)
    (name,) = spool.waiting()
    assert set_by
    spec = json.loads(spool.read(name) or b"")["spec"]
    assert abs(from_rfc3339(spec["kill"]["time"]) - time.time() - set_by) < 20
