from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from memdiag.agent.detector import Kill
from memdiag.agent.telling import FATE_SECONDS, RETRY_SECONDS, TURN_SECONDS
from memdiag.model.kill import Constraint, OomReport
from memdiag.model.report import from_rfc3339
from memdiag.model.trace import Victim
from tests.agent.node_of_files import NOW, PARENT, POD, A, B, FileNode


@pytest.fixture
def node(tmp_path: Path) -> Iterator[FileNode]:
    made = FileNode(tmp_path, A, B)
    yield made
    made.stop()


def killed(node: FileNode, container: str, time: float) -> list[Kill]:
    """Return a container's kill as the detector finds it; its container's fate is open."""
    node.number += 1
    node.rise(container)
    node.node.read_counters(POD, time)
    report = OomReport(
        time=time - NOW, constraint=Constraint.MEMCG, oom_memcg=f"{PARENT}/{container}",
        task_memcg=f"{PARENT}/{container}", group_kill=False, victims=(Victim(node.number),), lines=("Killed process",),
        kill_events=1,
    )  # fmt: skip
    return node.detector.take([report], lambda _pid: None, final=True)


def told_of(node: FileNode) -> list[str]:
    return sorted(item["spec"]["containerID"] for item in node.spooled.values())


def test_a_later_kill_that_is_decided_sooner_sets_the_pods_account_not_back(node: FileNode) -> None:
    """The first kill's container lives on, which takes a moment to know; the second's is gone at once."""
    node.teller.take(killed(node, A, NOW), NOW, found_late=False)
    node.teller.take(killed(node, B, NOW + 0.1), NOW + 0.1, found_late=False)
    node.end(B, NOW + 0.2)
    node.turn(NOW + 0.2)
    node.turn(NOW + FATE_SECONDS)
    assert told_of(node) == [A, B]
    node.restart(NOW + 5)
    node.turn(NOW + 6)
    assert told_of(node) == [A, B], "nothing is told twice, nor as a container's that nobody knows"


def test_the_logs_clock_may_be_minutes_behind(node: FileNode) -> None:
    node.teller.take(killed(node, A, NOW - 200), NOW + 0.3, found_late=False, since=NOW - 0.7)
    node.turn(NOW + 1 + FATE_SECONDS)
    (spec,) = node.specs(A)
    assert from_rfc3339(spec["kill"]["time"]) == pytest.approx(NOW - 0.7)


def test_a_folder_that_takes_nothing_delays_kills_and_loses_none(
    node: FileNode, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, away = node.state / "spool", node.state / "away"
    folder.rename(away)
    folder.write_text("no folder")
    for name in (A, B):
        node.teller.take(killed(node, name, NOW), NOW, found_late=False)
    node.end(B, NOW + 0.1)
    for step in range(100):
        node.teller.advance(NOW + FATE_SECONDS + step / 100)
    attempts = capsys.readouterr().err.count("report not stored")
    assert attempts == 1, "once a second, not for each kill and each event"
    assert node.teller.oldest_age(NOW + 60 + FATE_SECONDS) == pytest.approx(60.0), "it shows in the agent's health"
    folder.unlink()  # it is made anew
    assert node.teller.next_deadline is not None
    node.turn(node.teller.next_deadline)
    assert told_of(node) == [A, B]
    assert node.specs(B)[0]["kill"]["containerDied"] is True


def test_on_a_slow_disk_a_turn_ends_after_a_second(node: FileNode) -> None:
    times = iter(range(100))
    node.steady = lambda: next(times) * TURN_SECONDS * 0.6
    kills = [kill for _ in range(4) for kill in killed(node, A, NOW)]
    node.end(A, NOW + 0.1)
    node.teller.take(kills, NOW, found_late=False)
    waiting = [len(node.spool.waiting())]
    while node.teller.pending:
        node.teller.advance(NOW)
        waiting.append(len(node.spool.waiting()))
    assert waiting == [1, 2, 3, 4]
    node.turn(NOW + RETRY_SECONDS)
    node.restart(NOW + 5)
    node.turn(NOW + 6)
    assert node.told(A) == 4


def test_what_the_counters_told_is_not_told_again_when_the_log_can_be_read(node: FileNode) -> None:
    """As after `agent.kernelLog` was `none`, or the capability was missing, and the ring still holds those kills."""

    def logged(since: float) -> OomReport:
        path = f"{PARENT}/{A}"
        return OomReport(
            time=since, constraint=Constraint.MEMCG, oom_memcg=path, task_memcg=path, group_kill=False,
            victims=(Victim(int(since)),), lines=("Killed process",), kill_events=1,
        )  # fmt: skip

    node.rise(A, 2)
    node.restart(NOW + 30)
    node.turn(NOW + 31)
    node.rise(A)
    for _ in range(2):
        node.stop()
        node.start(NOW + 60)
        log = [logged(10.0), logged(20.0), logged(50.0)]
        node.detector.hush(log, lambda _pid: None, lambda name, since: node.ledger.told_blind(name, NOW + since))
        node.teller.take(node.detector.take(log, lambda _pid: None, final=True), NOW + 60, found_late=True)
        node.turn(NOW + 61)
        assert node.told(A) == 3
    assert [spec["kill"].get("victims") for spec in node.specs(A)] == [None, None, [{"pid": 50}]]
