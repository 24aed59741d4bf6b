"""Trends without a kill: what is one, what is none, and that each is told once in six hours, whatever happens."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memdiag.agent.forecasting import LOOK_SECONDS, QUIET_SECONDS, Forecaster, turn_of
from memdiag.agent.trend import LEAST_SECONDS, trend_to_limit
from memdiag.kube.memory_report import MemoryReport
from memdiag.model.identity import trend_name
from memdiag.model.trace import Level, Sample
from memdiag.model.trend import Trend
from tests.agent.node_of_files import BOOT, MIB, NOW, A, FileNode

LIMIT = 1000 * MIB


def shape(
    what: str, minutes: float, *, per_hour: float = 500.0, base: float = 400.0
) -> tuple[list[float], list[int | None]]:
    """Return times and demand, a sample every five seconds; MiB and MiB an hour."""
    chance = random.Random(7)  # noqa: S311 - noise of a test
    times = [NOW + 5.0 * step for step in range(int(minutes * 12) + 1)]
    ways: dict[str, Callable[[float], float]] = {
        "leak": lambda age: base + per_hour * age / 3600,
        "flat": lambda _age: base + chance.uniform(0, 10),
        "bursts": lambda age: base + (500 if int(age / 60) % 4 == 3 else 0) + chance.uniform(0, 10),
        "collected": lambda age: base + 400 * (age % 300) / 300,
        "plateau": lambda age: base + 500 * (1 - math.exp(-age / 240)),
        "noisy leak": lambda age: base + per_hour * age / 3600 + chance.uniform(0, 60),
    }
    return times, [round(ways[what](time - NOW) * MIB) for time in times]


def trend(what: str, minutes: float, **how: float) -> Trend | None:
    times, demands = shape(what, minutes, **how)
    return trend_to_limit(times, demands, LIMIT, NOW - 600)


@pytest.mark.parametrize("what", ["leak", "noisy leak"])
def test_a_floor_that_rises_to_the_limit_within_the_hour_is_a_trend(what: str) -> None:
    found = trend(what, 50)
    assert found is not None
    left = (LIMIT - found.demand) / MIB
    assert found.slope * 3600 / MIB == pytest.approx(500, rel=0.15)
    assert found.seconds_to_limit == pytest.approx(left / 500 * 3600, rel=0.15)
    assert found.low <= found.seconds_to_limit
    assert found.high is None or found.high >= found.seconds_to_limit


@pytest.mark.parametrize("what", ["flat", "bursts", "collected", "plateau"])
def test_what_does_not_go_on_is_no_trend(what: str) -> None:
    assert trend(what, 50) is None


def test_the_hour_counts_and_so_does_how_much_was_seen() -> None:
    assert trend("leak", 50, per_hour=200.0) is None, "it takes more than an hour"
    assert trend("leak", LEAST_SECONDS / 60 - 1, per_hour=3000.0) is None, "too little was seen"
    assert trend("leak", 6, per_hour=1000.0) is None, "nothing is foretold for longer than four times what was seen"
    assert trend("leak", 8, per_hour=2500.0) is not None


def test_a_programs_start_is_no_trend() -> None:
    times, demands = shape("leak", 5.5, per_hour=4000.0)
    assert trend_to_limit(times, demands, LIMIT, NOW - 600) is not None
    assert trend_to_limit(times, demands, LIMIT, NOW) is None


@given(
    st.lists(st.tuples(st.floats(0, 5000), st.one_of(st.none(), st.integers(0, 2**40))), max_size=80),
    st.integers(1, 2**40),
)
def test_any_history_is_looked_at_without_an_error(rows: list[tuple[float, int | None]], limit: int) -> None:
    rows.sort(key=lambda row: row[0])
    found = trend_to_limit([time for time, _ in rows], [demand for _, demand in rows], limit)
    if found is not None:
        assert 0 <= found.low <= found.seconds_to_limit <= 3600


@pytest.fixture
def node(tmp_path: Path) -> Iterator[FileNode]:
    found = FileNode(tmp_path, A)
    yield found
    found.stop()


def forecaster(node: FileNode) -> Forecaster:
    return Forecaster(
        node_name="node-a", namespace="memdiag", boot_id=BOOT, node=node.node, store=node.store, ledger=node.ledger,
        spool=node.spool, sampler=node.sampler,
    )  # fmt: skip


def fill(node: FileNode, limit: int = 128 * MIB) -> float:
    """Let the container's history hold half an hour of a leak; returns when that ends."""
    (container,) = node.node.containers()
    container.run.started = NOW - 30
    for step in range(1, 361):
        anon = 40 * MIB + step * MIB // 6
        stat = {"anon": anon, "file": MIB, "shmem": 0, "kernel": MIB, "slab_reclaimable": 0, "sock": 0}
        container.run.add(Sample(NOW + 5 * step, Level(current=anon, max=limit, stat=stat)))
    return NOW + 1801


def test_a_trend_is_told_once_in_six_hours_by_a_name_of_its_own(node: FileNode) -> None:
    found = forecaster(node)
    now = fill(node)
    for second in range(LOOK_SECONDS + 1):
        found.look(now + second)
    name = trend_name(BOOT, A, 1)
    assert node.spool.waiting() == [name]
    node.turn(now + 100)
    body = node.spooled[name]
    spec = MemoryReport.model_validate(body).spec
    assert spec.kill is None
    assert spec.trend is not None
    assert spec.trend.limit_bytes == 128 * MIB
    assert 0 < spec.trend.seconds_to_limit <= 3600
    assert spec.history is not None
    assert spec.container is not None
    said = {"ancestors": [], "foundLate": False, "missing": [], **body["spec"]}
    assert spec.to_api() == said

    node.restart(now + 120)
    (container,) = node.node.containers()
    again = forecaster(node)
    again.look_at(container, now + 130)
    assert node.spool.waiting() == [], "six hours hold over a kill -9 of the agent"
    again.look_at(container, now + QUIET_SECONDS + 130)
    assert node.spool.waiting() == [trend_name(BOOT, A, 2)]


def test_a_crash_between_spool_and_ledger_gives_the_same_name(node: FileNode) -> None:
    found = forecaster(node)
    now = fill(node)
    (container,) = node.node.containers()
    found.look_at(container, now)
    node.ledger.close()
    lines = (node.state / "ledger").read_bytes().splitlines(keepends=True)
    (node.state / "ledger").write_bytes(b"".join(lines[:-1]))
    node.restart(now + 5)
    (container,) = node.node.containers()
    forecaster(node).look_at(container, now + 5)
    assert node.spool.waiting() == [trend_name(BOOT, A, 1)]


def test_a_container_without_a_limit_has_no_trend(node: FileNode) -> None:
    found = forecaster(node)
    now = fill(node)
    (container,) = node.node.containers()
    container.last = Level(max="max")
    found.look_at(container, now)
    assert node.spool.waiting() == []


def test_turns_are_spread_over_the_minute() -> None:
    assert 0 <= turn_of("unknown") < LOOK_SECONDS
    assert len({turn_of(f"{number:08x}" + "0" * 56) for number in range(600)}) == LOOK_SECONDS
