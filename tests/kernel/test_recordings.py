"""Every recorded kernel's report of every kind of kill, held against the truth and the cgroups' own counters."""

from __future__ import annotations

from dataclasses import replace

import pytest

from memdiag.kernel.oomlog import limit_hit
from memdiag.kernel.paths import identify
from memdiag.model.kill import Constraint, LimitHit, OomReport
from tests.kernel.recordings import FOLDER, NAMES, STORM, Case, about, read, said, truth, unpacked

MIB = 2**20
LOGS = ("kmsg", "syslog")
CONSTRAINTS = {
    "node": Constraint.NONE,
    "allocating-task": Constraint.NONE,
    "cpuset": Constraint.CPUSET,
    "memory-policy": Constraint.MEMORY_POLICY,
}
LIMITS = {
    "pod-limit": LimitHit.POD,
    "ancestor-limit": LimitHit.ANCESTOR,
    "no-pod": LimitHit.ANCESTOR,
    **dict.fromkeys(CONSTRAINTS, LimitHit.NODE),
}
COMMS = {
    "container-limit": "leaky",
    "name-words": "a, b (c) d",
    "name-victim": ") total-vm:1kB",
    "name-keys": ",task=x,pid=1",
    "name-line-feed": r"a\x0ab\x0dc",
    "name-bytes": r"\x1b[31m\xff\x9b",
}
SINGLE = [
    (name, log, case) for name in NAMES for log in LOGS for case in truth(name) if case not in ("storm", "forged")
]


def one(name: str, log: str, case: str) -> tuple[OomReport, Case]:
    (kill,) = said(name, log)[case]
    return kill, truth(name)[case]


def test_the_corpus_is_whole() -> None:
    assert {"6.1", "6.12", "7.2", "bookworm"} <= set(NAMES)
    releases = [str(about(name)["release"]) for name in NAMES]
    assert len({tuple(release.split(".")[:2]) for release in releases}) >= 3
    for name in NAMES:
        assert len(truth(name)) >= 27
        # the first victim of the one group kill counts twice
        counted = 1 + sum(len(case.died) for case in truth(name).values())
        assert counted == about(name)["kills_counted"]
        assert counted == sum(kill.kill_events or 0 for kills in said(name, "kmsg").values() for kill in kills)


@pytest.mark.parametrize(("name", "log", "case"), SINGLE)
def test_one_kill_is_told_as_it_was(name: str, log: str, case: str) -> None:
    kill, known = one(name, log, case)
    assert {victim.pid for victim in kill.victims} == set(known.died)
    assert set(known.died.values()) == {137}
    assert kill.constraint is CONSTRAINTS.get(case, Constraint.MEMCG)
    assert limit_hit(kill) is LIMITS.get(case, LimitHit.CONTAINER)
    assert kill.task_memcg == known.path
    identity = identify(known.path)
    found = (None, None) if identity is None else (identity.pod_uid, identity.container_id)
    assert found == ((known.pod, known.container) if known.pod else (None, None))
    assert kill.group_kill == (case == "group")
    assert kill.invoked_by is not None
    assert kill.time is not None


@pytest.mark.parametrize(("name", "log", "case"), SINGLE)
def test_sizes_and_counters_agree(name: str, log: str, case: str) -> None:
    kill, known = one(name, log, case)
    assert kill.kill_events == known.rise(known.path, "memory.events", "oom_kill")
    victim = kill.victims[0]
    assert victim.anon_rss is not None
    assert victim.oom_score_adj in (0, 968, 1000)
    assert victim.pgtables
    if case == "no-table":
        assert not kill.tasks
    else:
        assert {victim.pid for victim in kill.victims} <= {task.pid for task in kill.tasks}
    if kill.oom_memcg is None:
        assert (kill.usage_bytes, kill.limit_bytes, kill.stat) == (None, None, {})
        return
    assert known.rise(kill.oom_memcg, "memory.events.local", "oom") > 0
    assert kill.limit_bytes == int(known.before[kill.oom_memcg]["memory.max"])
    assert kill.usage_bytes == kill.limit_bytes
    main = "shmem" if case == "tmpfs" else "anon"
    share = 0.4 if case == "swap" else 0.7
    assert share * kill.limit_bytes < kill.stat[main] <= kill.limit_bytes


@pytest.mark.parametrize("log", LOGS)
@pytest.mark.parametrize("name", NAMES)
def test_names(name: str, log: str) -> None:
    found = {case: said(name, log)[case][0].victims[0].comm for case in COMMS}
    assert found == COMMS


@pytest.mark.parametrize("log", LOGS)
@pytest.mark.parametrize("name", NAMES)
def test_a_storm_loses_reports_and_no_kill(name: str, log: str) -> None:
    kills = said(name, log)["storm"]
    assert len(kills) == STORM
    assert {kill.victims[0].pid for kill in kills} == set(truth(name)["storm"].died)
    told = [kill for kill in kills if kill.constraint is not None]
    assert 10 <= len(told) < STORM
    assert {limit_hit(kill) for kill in told} == {LimitHit.CONTAINER}
    assert {limit_hit(kill) for kill in kills if kill.constraint is None} == {LimitHit.UNKNOWN}
    assert len({kill.task_memcg for kill in told}) == len(told)


@pytest.mark.parametrize("log", LOGS)
@pytest.mark.parametrize("name", NAMES)
def test_what_programs_write_is_no_kill(name: str, log: str) -> None:
    assert b"(forged)" in unpacked(name, log)
    assert said(name, log)["forged"] == []


@pytest.mark.parametrize("name", NAMES)
def test_swapped_pages_are_counted(name: str) -> None:
    kill, known = one(name, "kmsg", "swap")
    assert kill.tasks[0].swap == int(known.before[known.path]["memory.swap.max"]) == 8 * MIB


@pytest.mark.parametrize("name", NAMES)
def test_a_child_dies_and_its_parent_lives(name: str) -> None:
    kill, known = one(name, "kmsg", "child")
    assert len(kill.tasks) == 2
    assert len(known.died) == 1


@pytest.mark.parametrize("log", LOGS)
@pytest.mark.parametrize("name", NAMES)
def test_the_whole_log_is_the_sum_of_its_cases(name: str, log: str) -> None:
    whole = read(unpacked(name, log))
    assert whole == [kill for kills in said(name, log).values() for kill in kills]


@pytest.mark.parametrize("name", NAMES)
def test_both_ways_to_the_log_tell_the_same(name: str) -> None:
    for case, kills in said(name, "kmsg").items():
        for kill, other in zip(kills, said(name, "syslog")[case], strict=True):
            assert (kill.victims, kill.tasks, kill.task_memcg) == (other.victims, other.tasks, other.task_memcg)


@pytest.mark.parametrize("form", sorted(path.name for path in (FOLDER / "6.12").glob("dmesg*.text.xz")))
def test_what_dmesg_prints_in_its_formats_is_the_same_log(form: str) -> None:
    found = read(unpacked("6.12", form.removesuffix(".xz")))
    known = [kill for case in ("container-limit", "pod-limit", "ancestor-limit", "child") for kill in of(case)]
    assert [replace(kill, time=None, stamp=None) for kill in found] == [replace(kill, time=None) for kill in known]
    with_uptime = form in ("dmesg.text.xz", "dmesg-x.text.xz", "dmesg-r.text.xz", "dmesg-d.text.xz")
    assert [kill.time for kill in found] == [kill.time if with_uptime else None for kill in known]
    if "iso" in form:
        assert all(kill.stamp is not None and kill.stamp.wall is not None for kill in found)


def of(case: str) -> list[OomReport]:
    return [replace(kill, stamp=None) for kill in said("6.12", "kmsg")[case]]
