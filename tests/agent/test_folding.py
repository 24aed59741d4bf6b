from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memdiag.agent.folding import MOST_FULL, WINDOW_SECONDS, Folding
from memdiag.kube.memory_report import MemoryReportSpec
from memdiag.model.identity import UNKNOWN_CONTAINER_ID
from memdiag.model.report import MOST_VICTIMS, from_rfc3339
from memdiag.model.trace import Level, Sample
from tests.agent.node_of_files import BOOT, MIB, NOW, POD, STAT, A, B, FileNode

HOUR = 3600.0


@pytest.fixture
def node(tmp_path: Path) -> Iterator[FileNode]:
    made = FileNode(tmp_path, A, B)
    yield made
    made.stop()


def test_five_are_told_in_full_and_the_others_once(node: FileNode) -> None:
    for number in range(40):
        node.kill(A, [NOW + number])
    assert [spec["ordinal"] for spec in node.specs(A)] == [1, 2, 3, 4, 5]
    node.turn(NOW + 5 + WINDOW_SECONDS)
    *full, folded = node.specs(A)
    assert len(full) == MOST_FULL
    assert not any("fold" in spec for spec in full)
    fold = folded["fold"]
    assert (folded["ordinal"], fold["count"]) == (6, 35)
    assert (from_rfc3339(fold["firstTime"]), from_rfc3339(fold["lastTime"])) == (NOW + 5, NOW + 39)
    assert folded["kill"]["time"] == fold["lastTime"]
    assert folded["kill"]["containerDied"] is False
    assert folded["kill"]["limitHit"] == "Container"
    assert folded["kill"]["limitHitCgroup"].endswith(A)
    assert [victim["pid"] for victim in folded["kill"]["victims"]] == list(range(40, 40 - MOST_VICTIMS, -1))
    assert folded["kill"]["victimCount"] == 35
    assert MemoryReportSpec.model_validate(folded).to_api()["fold"] == fold


def test_ten_minutes_later_kills_are_told_in_full_again(node: FileNode) -> None:
    node.kill(A, [NOW + number for number in range(8)])
    node.turn(NOW + 5 + WINDOW_SECONDS)
    node.kill(A, [NOW + WINDOW_SECONDS + 10 + number for number in range(8)])
    node.turn(NOW + 3 * WINDOW_SECONDS)
    assert [spec.get("fold", {}).get("count", 1) for spec in node.specs(A)] == [1, 1, 1, 1, 1, 3] * 2


def test_few_kills_are_never_folded_whatever_their_containers(node: FileNode) -> None:
    for name in (A, B):
        node.kill(name, [NOW + number for number in range(MOST_FULL)])
    node.turn(NOW + 2 * WINDOW_SECONDS)
    assert [len(node.specs(name)) for name in (A, B)] == [MOST_FULL, MOST_FULL]
    assert not any("fold" in item["spec"] for item in node.spooled.values())


def test_a_container_that_ends_is_summed_up_at_once(node: FileNode) -> None:
    node.kill(A, [NOW + number / 10 for number in range(9)])
    assert node.told(A) == 5
    node.end(A, NOW + 2)
    node.turn(NOW + 2)
    assert node.told(A) == 9
    assert node.specs(A)[-1]["kill"]["containerDied"] is False


def test_the_last_of_the_folded_kills_ends_the_container(node: FileNode) -> None:
    node.kill(A, [NOW + number for number in range(7)])
    node.rise(A)
    node.node.read_counters(POD, NOW + 8)
    kills = node.detector.take((), lambda _pid: None, final=True)
    node.teller.take(kills, NOW + 8, found_late=False)
    node.end(A, NOW + 8.1)
    node.turn(NOW + 8.1)
    folded = node.specs(A)[-1]
    assert folded["fold"]["count"] == 3
    assert folded["kill"]["containerDied"] is True
    assert folded["container"]["stat"]["anon"] == 120 * MIB


def test_a_kill_minus_nine_loses_no_count(node: FileNode) -> None:
    chance = Random(7)  # noqa: S311  # chance, no secret
    now, killed = NOW, 0
    while now < NOW + 2.5 * WINDOW_SECONDS:
        now += chance.uniform(0.5, 40.0)
        count = chance.randrange(1, 12)
        node.kill(A, [now + number / 100 for number in range(count)])
        killed += count
        if chance.random() < 0.3:
            unseen = chance.randrange(3)
            node.rise(A, unseen)
            killed += unseen
            node.restart(now + 1)
    node.turn(now + 2 * WINDOW_SECONDS)
    assert node.told(A) == killed
    assert node.ledger.folding.folds == {}


def test_a_summary_is_the_same_when_it_is_told_again(node: FileNode) -> None:
    node.kill(A, [NOW + number for number in range(20)])
    before = (node.state / "ledger").read_bytes()
    node.turn(NOW + 5 + WINDOW_SECONDS)
    first = dict(node.spooled)
    sealed = [line for line in (node.state / "ledger").read_bytes().splitlines() if b'"sealed"' in line]
    node.stop()
    (node.state / "ledger").write_bytes(before + sealed[0] + b"\n")
    node.start(NOW + WINDOW_SECONDS + 6)
    node.kill(A, [NOW + WINDOW_SECONDS + 6])
    node.turn(NOW + WINDOW_SECONDS + 7)
    assert {name for name in node.spooled if name not in first} == {
        name for name, item in node.spooled.items() if item["spec"]["ordinal"] == 21
    }
    again = next(item for item in node.spooled.values() if item["spec"].get("fold", {}).get("count") == 15)
    assert first[again["metadata"]["name"]]["spec"]["fold"] == again["spec"]["fold"]
    assert node.told(A) == 21


def test_what_was_folded_before_a_reboot_is_told_after_it(node: FileNode) -> None:
    node.kill(A, [NOW + number for number in range(9)])
    node.restart(NOW + 60, boot="another-boot")
    node.turn(NOW + 61)
    folded = [item["spec"] for item in node.spooled.values() if "fold" in item["spec"]]
    assert [(spec["bootID"], spec["fold"]["count"], spec["foundLate"]) for spec in folded] == [(BOOT, 4, True)]
    node.restart(NOW + 62, boot="another-boot")
    assert BOOT not in {fold.boot_id for fold in node.ledger.folding.folds.values()}


def test_a_thousand_kills_that_only_a_counter_tells_of_are_one_summary(node: FileNode) -> None:
    node.rise(A, 1000)
    node.restart(NOW + 1)
    node.turn(NOW + WINDOW_SECONDS + 1)
    (spec,) = node.specs(A)
    assert spec["fold"]["count"] == 1000
    assert "victims" not in spec["kill"]


def test_kills_of_nobody_known_are_folded_for_their_pod() -> None:
    folding = Folding(BOOT)
    for number in range(8):
        place = folding.place(POD, UNKNOWN_CONTAINER_ID, number + 1, NOW + number)
        if place is not None:
            place.pending -= 1
            place.add(NOW + number, 1, 0, None, died=True)
    assert list(folding.due(NOW + 9, lambda _pod, _container: True)) == []
    (fold,) = folding.due(NOW + 5 + WINDOW_SECONDS, lambda _pod, _container: True)
    assert (fold.count, fold.ordinal) == (3, 6)


@given(st.lists(st.floats(0, 4 * WINDOW_SECONDS), min_size=1, max_size=120))
def test_no_ten_minutes_hold_more_than_five(times: list[float]) -> None:
    folding = Folding(BOOT)
    full: list[float] = []
    folded = 0
    for number, time in enumerate(sorted(times)):
        place = folding.place(POD, A, number + 1, time)
        if place is None:
            full.append(time)
        else:
            place.pending -= 1
            place.add(time, 1, 1, None, died=False)
    for fold in folding.due(1e9, lambda _pod, _container: True):
        folded += fold.count
        folding.told(fold.key)
    assert len(full) + folded == len(times)
    assert all(later - sooner >= WINDOW_SECONDS for sooner, later in zip(full, full[MOST_FULL:], strict=False))


def test_an_hour_of_five_kills_a_second_stays_small(node: FileNode) -> None:
    """18,000 kills, all counted; what would stand in etcd if the operator kept every report, and the folder's size."""
    run = node.store.pods[POD].runs[A]
    for step in range(700):
        level = Level(current=(20 + step % 97) * MIB, max=128 * MIB, stat=STAT, cpu={"usage_usec": step * 9177}, pids=9)
        run.add(Sample(NOW - 3500 + 5 * step, level, net={"rx_packets": step * 313}))
    for second in range(0, int(HOUR), 6):
        node.kill(A, [NOW + second + number / 5 for number in range(30)])
        if second % 600 == 300:
            node.restart(NOW + second + 6)
    node.turn(NOW + HOUR + WINDOW_SECONDS)
    assert node.told(A) == 18_000
    sizes = [len(json.dumps(item, separators=(",", ":"))) for item in node.spooled.values()]
    assert len(sizes) <= 7 * (MOST_FULL + 1)
    assert sum(sizes) <= 2 * MIB, f"{sum(sizes) / MIB:.2f} MiB in {len(sizes)} objects"
    assert (node.state / "ledger").stat().st_size < 20 * MIB
