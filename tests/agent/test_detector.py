from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memdiag.agent.detector import Count, Detector, Kill, LeafCount, PodCount
from memdiag.model.identity import UNKNOWN_CONTAINER_ID
from memdiag.model.kill import Constraint, LimitHit, OomReport
from memdiag.model.trace import Victim

UID = "0f2f1e2a-3b4c-4d5e-8f60-718293a4b5c6"
POD = f"/kubepods/pod{UID}"
A, B = "a" * 64, "b" * 64


def nobody(_pid: int) -> str | None:
    return None


class Scene:
    """One pod with two containers, whose counters a test moves."""

    def __init__(self) -> None:
        self.detector = Detector()
        self.pod = PodCount(path=POD, leaves={name: LeafCount(path=f"{POD}/{name}") for name in (A, B)})
        self.detector.pods[UID] = self.pod
        self.detector.ancestors["/kubepods"] = Count()
        for count in (self.pod, *self.pod.leaves.values(), self.detector.ancestors["/kubepods"]):
            count.read({}, {"oom": 0})
        self.detector.settle()

    def rise(self, container: str | None, by: int = 1, groups: int = 0) -> None:
        counts = [self.pod, *([self.pod.leaves[container]] if container else [])]
        for count in counts:
            count.read({"oom_kill": count.kills + by, "oom_group_kill": (count.groups or 0) + groups}, {})

    def hit(self, count: Count) -> None:
        count.local_oom = (count.local_oom or 0) + 1

    def take(self, *reports: OomReport, final: bool = True) -> list[Kill]:
        return self.detector.take(reports, nobody, final=final)


def report(
    container: str = A, pid: int = 5, *, time: float = 10.0, events: int = 1, victims: int = 1, oom: str | None = None
) -> OomReport:
    return OomReport(
        time=time,
        constraint=Constraint.MEMCG,
        oom_memcg=oom or f"{POD}/{container}",
        task_memcg=f"{POD}/{container}",
        group_kill=victims > 1,
        victims=tuple(Victim(pid=pid + index) for index in range(victims)),
        lines=("Memory cgroup out of memory: Killed process",),
        kill_events=events,
    )


def swallowed(pid: int = 5, text: str = "Memory cgroup out of memory") -> OomReport:
    return OomReport(
        time=10.0, constraint=None, oom_memcg=None, task_memcg=None, group_kill=False,
        victims=(Victim(pid=pid),), lines=(f"{text}: Killed process",), kill_events=1,
    )  # fmt: skip


def test_leaf_and_pod_counter_and_log_are_one_kill() -> None:
    scene = Scene()
    scene.rise(A)
    (kill,) = scene.take(report())
    assert (kill.pod_uid, kill.container_id, kill.limit_hit) == (UID, A, LimitHit.CONTAINER)
    assert not scene.detector.rose()
    assert scene.take(report()) == []


def test_a_log_ahead_of_the_counters_is_not_counted_again() -> None:
    scene = Scene()
    assert len(scene.take(report())) == 1
    scene.rise(A)
    assert not scene.detector.rose()


def test_a_group_kill_that_counts_its_first_victim_twice_is_one_kill() -> None:
    scene = Scene()
    scene.rise(A, by=4, groups=1)
    (kill,) = scene.take(report(events=4, victims=3))
    assert kill.events == 4
    assert scene.take() == []


def test_a_group_kill_read_half_printed_is_one_kill() -> None:
    scene = Scene()
    assert len(scene.take(report(events=2, victims=2))) == 1
    scene.rise(A, by=5, groups=1)
    assert scene.take(report(events=5, victims=4)) == []
    assert not scene.detector.rose()


def test_a_group_kill_that_the_log_lost_is_one_kill() -> None:
    scene = Scene()
    scene.rise(A, by=7, groups=1)
    (kill,) = scene.take()
    assert kill.report.group_kill
    assert kill.events == 7
    assert scene.take() == []


def test_on_a_kernel_that_does_not_count_groups_the_setting_says_it() -> None:
    scene = Scene()
    scene.pod.leaves[A].group = True
    for count in (scene.pod, scene.pod.leaves[A]):
        count.read({"oom_kill": 3}, {})
    assert len(scene.take()) == 1


def test_kills_that_the_log_lost_are_counted_by_the_leaf() -> None:
    scene = Scene()
    scene.rise(A, by=2)
    scene.rise(B)
    kills = scene.take()
    assert sorted(kill.container_id for kill in kills) == [A, A, B]
    assert all("kernel log" in " ".join(kill.missing) for kill in kills)


def test_a_swallowed_report_goes_to_the_only_container_it_fits() -> None:
    scene = Scene()
    scene.rise(A)
    (kill,) = scene.take(swallowed(pid=77))
    assert (kill.container_id, kill.report.victims[0].pid) == (A, 77)


def test_what_the_rings_turn_left_of_an_old_report_is_no_word_of_a_new_kill() -> None:
    """The head of a group's report was overwritten, so that its last victim's line stands alone."""
    scene = Scene()
    scene.rise(A, by=3, groups=1)
    assert len(scene.take(report(time=30.0, events=3, victims=3))) == 1
    scene.rise(B)
    (kill,) = scene.take(swallowed(pid=7))
    assert (kill.container_id, kill.report.victims) == (B, ())


def test_swallowed_reports_that_fit_several_containers_are_not_guessed() -> None:
    scene = Scene()
    scene.rise(A)
    scene.rise(B)
    kills = scene.take(swallowed(77), swallowed(78))
    assert [kill.report.victims for kill in kills] == [(), ()]
    assert all("victims" in " ".join(kill.missing) for kill in kills)


def test_a_cached_pid_names_the_container() -> None:
    scene = Scene()
    scene.rise(A)
    scene.rise(B)
    kills = scene.detector.take([swallowed(77)], {77: B}.get, final=True)
    assert {kill.container_id: len(kill.report.victims) for kill in kills} == {A: 0, B: 1}


def test_until_final_a_swallowed_report_waits() -> None:
    scene = Scene()
    scene.rise(A)
    assert scene.take(swallowed(), final=False) == []
    assert scene.detector.rose()
    assert len(scene.take(swallowed())) == 1


def test_a_container_that_vanished_unseen_is_told_by_the_pods_counter() -> None:
    scene = Scene()
    scene.rise(None)
    (kill,) = scene.take()
    assert kill.container_id == UNKNOWN_CONTAINER_ID
    scene.pod.leaves[B].gone = True
    scene.rise(None)
    (kill,) = scene.take()
    assert kill.container_id == B


def test_a_container_that_only_the_log_knows() -> None:
    scene = Scene()
    scene.rise(None)
    (kill,) = scene.take(report("c" * 64))
    assert kill.container_id == "c" * 64
    assert not scene.detector.rose()


@pytest.mark.parametrize(
    ("path", "hit"),
    [
        (f"{POD}/{A}", LimitHit.CONTAINER),
        (f"{POD}/{A}/container", LimitHit.CONTAINER),
        (POD, LimitHit.POD),
        ("/kubepods", LimitHit.ANCESTOR),
        ("/", LimitHit.NODE),
    ],
)
def test_limit_from_the_log(path: str, hit: LimitHit) -> None:
    (kill,) = Scene().take(report(oom=path))
    assert (kill.limit_hit, kill.limit_hit_cgroup) == (hit, path)


def test_limit_from_counters() -> None:
    for level, hit in ((A, LimitHit.CONTAINER), (POD, LimitHit.POD), ("/kubepods", LimitHit.ANCESTOR)):
        scene = Scene()
        count: Count = {A: scene.pod.leaves[A], POD: scene.pod}.get(level, scene.detector.ancestors["/kubepods"])
        scene.hit(count)
        scene.rise(A)
        (kill,) = scene.take()
        assert kill.limit_hit is hit
        scene.rise(A)
        (again,) = scene.take()
        assert again.limit_hit is LimitHit.UNKNOWN, "an old failure is no evidence for a new kill"


def test_a_swallowed_node_wide_kill_is_the_nodes() -> None:
    scene = Scene()
    scene.rise(A)
    (kill,) = scene.take(swallowed(text="Out of memory"))
    assert kill.limit_hit is LimitHit.NODE


def test_kills_outside_pods_are_nobodys() -> None:
    scene = Scene()
    other = OomReport(
        time=1.0, constraint=Constraint.MEMCG, oom_memcg="/system.slice/x.service",
        task_memcg="/system.slice/x.service", group_kill=False, victims=(Victim(pid=1),), lines=("x",), kill_events=1,
    )  # fmt: skip
    assert scene.take(other) == []


def test_what_the_ledger_knows_is_not_told_again() -> None:
    detector = Detector({(10.0, 5): 1})
    assert detector.take([report()], nobody, final=True) == []


@given(st.lists(st.tuples(st.sampled_from([A, B]), st.booleans()), max_size=30), st.randoms(use_true_random=False))
def test_every_single_kill_is_told_exactly_once(kills: list[tuple[str, bool]], order: object) -> None:
    scene = Scene()
    told = 0
    log: list[OomReport] = []
    for index, (container, in_log) in enumerate(kills):
        scene.rise(container)
        if in_log:
            log.append(report(container, pid=100 + index, time=float(index)))
        told += len(scene.take(*log))
    assert told == len(kills)
