from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memdiag.kernel.klog import Record, split_records
from memdiag.kernel.oomlog import LONGEST_COMM, MOST_LINES, MOST_REPORTS, parse
from memdiag.kernel.paths import identify
from memdiag.model.kill import Constraint
from memdiag.model.report import LONGEST_LINE, printable
from tests.kernel.support import FIXTURES, ID, POD, kills

KILLED = (
    "Memory cgroup out of memory: Killed process {pid} ({comm}) total-vm:100kB, anon-rss:8kB, file-rss:4kB, "
    "shmem-rss:0kB, UID:0 pgtables:12kB oom_score_adj:7"
)


def log(*texts: str, start: float = 10.0) -> list[Record]:
    return [Record(start + 0.01 * index, text) for index, text in enumerate(texts)]


def test_linux_5_4() -> None:
    (kill,) = kills("linux-5.4-composed")
    assert kill.constraint is Constraint.MEMCG
    assert kill.oom_memcg == kill.task_memcg
    assert kill.task_memcg is not None
    identity = identify(kill.task_memcg)
    assert identity is not None
    assert (identity.pod_uid, identity.container_id) == (POD, ID)
    (victim,) = kill.victims
    assert (victim.pid, victim.comm, victim.oom_score_adj) == (4242, "java", 968)
    assert (victim.anon_rss, victim.file_rss, victim.shmem_rss) == (250112 * 1024, 5936 * 1024, 0)
    assert victim.pgtables == 704 * 1024
    assert (kill.usage_bytes, kill.limit_bytes) == (268435456, 268435456)
    assert kill.invoked_by == "java"
    assert [(task.pid, task.comm, task.rss, task.pgtables) for task in kill.tasks] == [
        (4242, "java", 64012 * 4096, 720896),
        (4300, "my tool (x)", 120 * 4096, 45056),
    ]
    assert kill.stat["anon"] == 33001472


def test_group_kill_is_one_kill_and_the_first_victim_counts_once() -> None:
    (kill,) = kills("linux-6.1-group-composed")
    assert kill.group_kill
    assert [victim.pid for victim in kill.victims] == [501, 502, 503]
    assert kill.kill_events == 4
    assert kill.oom_memcg is not None
    assert kill.oom_memcg.endswith(".slice")


def test_of_a_storm_that_fills_a_large_ring_the_newest_kills_count() -> None:
    found = parse(log(*(KILLED.format(pid=1 + number, comm="w") for number in range(MOST_REPORTS + 9))))
    assert [kill.victims[0].pid for kill in (found[0], found[-1])] == [10, MOST_REPORTS + 9]


def test_node_kill_has_no_oom_memcg() -> None:
    (kill,) = kills("linux-6.8-node-composed")
    assert kill.constraint is Constraint.NONE
    assert kill.oom_memcg is None
    assert kill.task_memcg == f"/kubepods/besteffort/pod{POD}/{ID}"
    assert kill.usage_bytes is None
    assert [task.pid for task in kill.tasks] == [311, 7001, 7002]
    assert kill.tasks[1].swap == 12 * 4096


def test_cpuset_kill_with_a_hostile_name_and_caller_ids() -> None:
    (kill,) = kills("linux-7.2-cpuset-composed")
    assert kill.constraint is Constraint.CPUSET
    assert kill.victims[0].pid == 99
    assert kill.victims[0].comm == "a,pid=1,uid=0"
    assert kill.invoked_by == "db, main) x"
    assert kill.task_memcg is not None
    assert kill.task_memcg.endswith(f"crio-{ID}.scope/container")


def test_recorded_kills_of_a_real_kernel() -> None:
    found = kills("linux-6.12-recorded-kills")
    assert [kill.group_kill for kill in found] == [False, True, False, False, False]
    assert [len(kill.victims) for kill in found] == [1, 4, 1, 1, 1]
    assert [kill.kill_events for kill in found] == [1, 5, 1, 1, 1]
    assert found[2].victims[0].comm == "a),pid=7 (b"
    assert all(kill.usage_bytes == kill.limit_bytes for kill in found)
    assert all(kill.stat["anon"] > 0 and kill.tasks for kill in found)
    pod_limit = found[4]
    assert pod_limit.oom_memcg is not None
    assert pod_limit.task_memcg is not None
    assert pod_limit.task_memcg.startswith(pod_limit.oom_memcg + "/")


def test_recorded_storm_keeps_swallowed_kills_and_drops_the_forged_line() -> None:
    found = kills("linux-6.12-recorded-storm")
    swallowed = [kill for kill in found if kill.constraint is None]
    assert len(found) == 5
    assert [kill.group_kill for kill in swallowed] == [False, True]
    assert swallowed[0].task_memcg is None
    assert swallowed[1].task_memcg is not None
    assert all(victim.comm != "forged" for kill in found for victim in kill.victims)


def test_a_line_with_two_long_paths_survives_whole() -> None:
    pod = "0f2f1e2a_3b4c_4d5e_8f60_718293a4b5c6"
    node = f"/system.slice/docker-{'b' * 64}.scope/kubelet.slice/kubelet-kubepods.slice"
    path = (
        f"{node}/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{pod}.slice/cri-containerd-{ID}.scope"
    )
    line = (
        f"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=cri-containerd-{ID}.scope,mems_allowed=0-1,"
        f"oom_memcg={path},task_memcg={path},task=gunicorn: worker,pid=4194304,uid=4294967294"
    )
    (kill,) = parse(log(line, KILLED.format(pid=4194304, comm="gunicorn: worker")))
    assert line in kill.lines
    assert (kill.oom_memcg, kill.task_memcg) == (path, path)
    assert printable(line, LONGEST_LINE) == line


def test_page_size_scales_the_table() -> None:
    data = (FIXTURES / "linux-5.4-composed.txt").read_bytes()
    (kill,) = parse(split_records(data), page_size=65536)
    assert kill.tasks[0].rss == 64012 * 65536


def test_swallowed_kills_are_single_kills_with_nulls() -> None:
    found = parse(log(*(KILLED.format(pid=pid, comm="w") for pid in (5, 6, 7))))
    assert [kill.victims[0].pid for kill in found] == [5, 6, 7]
    assert {(kill.constraint, kill.oom_memcg, kill.task_memcg, kill.usage_bytes) for kill in found} == {
        (None, None, None, None)
    }


def test_a_kill_after_a_group_kill_is_its_own() -> None:
    records = log(
        KILLED.format(pid=5, comm="w"),
        "Tasks in /x are going to be killed due to memory.oom.group set",
        KILLED.format(pid=5, comm="w"),
        KILLED.format(pid=6, comm="w"),
    )
    later = log(KILLED.format(pid=9, comm="z"), start=20.0)
    found = parse([*records, *later])
    assert [[victim.pid for victim in kill.victims] for kill in found] == [[5, 6], [9]]


def test_a_victim_already_exiting_is_no_kill() -> None:
    found = parse(
        log(
            "w invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
            "oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/a,task_memcg=/a,task=w,pid=3,uid=0",
            "Memory cgroup out of memory: OOM victim 3 (w) is already exiting. Skip killing the task",
        )
    )
    assert found == []


def test_interleaved_reports_do_not_crash_and_count_every_kill() -> None:
    head = "w invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0"
    summary = "oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/a,task_memcg=/a,task=w,pid={},uid=0"
    found = parse(
        log(
            head,
            head,
            summary.format(3),
            summary.format(4),
            KILLED.format(pid=3, comm="w"),
            KILLED.format(pid=4, comm="w"),
        )
    )
    assert [kill.victims[0].pid for kill in found] == [3, 4]


def test_a_name_with_a_line_feed_still_gives_its_pid() -> None:
    data = (
        b"<3>[    1.000000] Memory cgroup out of memory: Killed process 12 (evil\n<3>[    1.000000] x) total-vm:1kB\n"
    )
    (kill,) = parse(split_records(data))
    assert (kill.victims[0].pid, kill.victims[0].comm) == (12, r"evil\x0ax")


def test_a_name_of_line_feeds_has_its_sizes() -> None:
    start, end = KILLED.format(pid=12, comm="\n").split("\n")
    (kill,) = parse(log(start, "", "b", end))
    assert (kill.victims[0].comm, kill.victims[0].anon_rss) == (r"\x0a\x0ab\x0a", 8192)
    (kill,) = parse(log(start, "what another processor says in between, which is no part of a name" * 2, end))
    assert (kill.victims[0].comm, kill.victims[0].anon_rss) == ("", None)


@pytest.mark.parametrize("comm", ["a b", "a,b", "a)", ") total-vm:", "kworker/0:1", "(sd-pam)", "\x1b[31m"])
def test_names(comm: str) -> None:
    (kill,) = parse(log(KILLED.format(pid=4, comm=comm)))
    assert kill.victims[0].comm == comm.replace("\x1b", "\\x1b")
    assert kill.victims[0].anon_rss == 8192


FRAGMENT = st.sampled_from(
    [
        "w invoked oom-killer: gfp_mask=0xcc0",
        "memory: usage 1kB, limit 2kB",
        "Memory cgroup stats for /x:",
        "anon 5",
        "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
        "[   5 ]  -  --5 \u00b2 \u0663 1 2 3 x",
        "[     12]     0    12     1000      100    40960        0             0 w",
        "oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/a,task_memcg=,task=,pid=x",
        "oom-kill:constraint=CONSTRAINT_,,,,",
        "Tasks in /x are going to be killed due to memory.oom.group set",
        KILLED.format(pid=5, comm="w"),
        "Out of memory: Killed process 99999999999 (",
        "Memory cgroup out of memory: Killed process 1 (",
    ]
)


@given(st.lists(st.one_of(FRAGMENT, st.text(max_size=200)), max_size=60))
def test_any_text_parses_and_stays_bounded(texts: list[str]) -> None:
    for kill in parse(log(*texts)):
        assert kill.victims
        assert len(kill.lines) <= MOST_LINES
        assert all(len(victim.comm or "") <= LONGEST_COMM for victim in kill.victims)
        assert all(len(task.comm) <= LONGEST_COMM for task in kill.tasks)


@given(st.binary(max_size=2000))
def test_any_bytes_split_and_parse(data: bytes) -> None:
    for record in split_records(b"<6>[    1.000000] " + data):
        assert "\x1b" not in record.text
        assert "\n" not in record.text
    parse(split_records(data))
