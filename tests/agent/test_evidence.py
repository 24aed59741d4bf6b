from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from memdiag.agent.detector import Kill
from memdiag.agent.evidence import Scene, freeze
from memdiag.agent.store import HistoryStore
from memdiag.model.kill import Constraint, LimitHit, OomReport, Task
from memdiag.model.report import Report, to_object
from memdiag.model.trace import Level, Sample, Victim
from tests.agent import node_of_files
from tests.agent.node_of_files import MIB, FileNode

UID = "0f2f1e2a-3b4c-4d5e-8f60-718293a4b5c6"
A, B = "a" * 64, "b" * 64
POD = f"/kubepods/pod{UID}"
NOW = 1_800_000_000.0


def kill(hit: LimitHit, oom_memcg: str | None, **changes: object) -> Kill:
    fields: dict[str, object] = {
        "time": 10.0,
        "constraint": Constraint.MEMCG if oom_memcg else Constraint.NONE,
        "oom_memcg": oom_memcg,
        "task_memcg": f"{POD}/{A}",
        "group_kill": False,
        "victims": (Victim(pid=5, comm="app"),),
        "tasks": (Task(5, "app", 100), Task(6, "helper", 50), Task(7, "stranger", 30), Task(8, "other", 20)),
        "usage_bytes": 4096 if oom_memcg else None,
        "limit_bytes": 4096 if oom_memcg else None,
        "invoked_by": "stranger",
        "lines": (
            "stranger invoked oom-killer: gfp_mask=0xcc0",
            f"oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=stranger-scope,mems_allowed=0,task_memcg={POD}",
            "Out of memory: Killed process 5 (app)",
        ),
        "stat": {"anon": 4000} if oom_memcg else {},
        **changes,
    }
    return Kill(UID, A, OomReport(**fields), hit, oom_memcg, 1, 1, 1)  # type: ignore[arg-type]  # keywords by name


def frozen(of: Kill, scene: Scene | None = None, store: HistoryStore | None = None) -> Report:
    pods = (store or HistoryStore()).pods
    return freeze(
        of,
        scene or Scene(NOW),
        pods.get(UID),
        node="n",
        boot_id="boot",
        ordinal=1,
        owner={6: B, 7: "c" * 64},
        own=frozenset({A, B}),
    )


def test_a_node_wide_kill_shows_nothing_of_other_pods() -> None:
    report = frozen(kill(LimitHit.NODE, None))
    text = json.dumps(to_object(report, "name", "memdiag"))
    assert [task.pid for task in report.kill.tasks] == [5, 6]
    assert report.other_pods is not None
    assert (report.other_pods.tasks, report.other_pods.rss_bytes) == (2, 50)
    assert "stranger" not in text
    assert "cpuset=-," in text


def test_an_ancestors_kill_shows_nothing_of_other_pods() -> None:
    report = frozen(kill(LimitHit.ANCESTOR, "/kubepods"))
    assert [task.pid for task in report.kill.tasks] == [5, 6]
    assert report.kill.invoked_by is None


def test_the_containers_own_kill_keeps_the_kernels_table() -> None:
    report = frozen(kill(LimitHit.CONTAINER, f"{POD}/{A}"), Scene(NOW, container=Level(current=1, stat={"anon": 1})))
    assert [task.pid for task in report.kill.tasks] == [5, 6, 7, 8]
    assert report.other_pods is None
    assert report.container is not None
    assert (report.container.current, report.container.max, report.container.stat) == (4096, 4096, {"anon": 4000})


def test_the_kernels_words_go_to_the_level_that_they_are_about() -> None:
    scene = Scene(NOW, container=Level(current=1), pod=Level(current=2), ancestors={"/kubepods": Level(current=3)})
    pod = frozen(kill(LimitHit.POD, POD), scene)
    assert pod.container is not None
    assert pod.pod is not None
    assert (pod.container.current, pod.pod.current) == (1, 4096)
    above = frozen(kill(LimitHit.ANCESTOR, "/kubepods"), scene)
    assert above.ancestors["/kubepods"].current == 4096


def test_a_pods_kill_shows_what_each_container_held() -> None:
    scene = Scene(NOW, usage={A: 120, B: 30})
    assert frozen(kill(LimitHit.POD, POD), scene).shares == {A: 120, B: 50, "c" * 64: 30}, (
        "the table's, where it is more"
    )
    assert frozen(kill(LimitHit.CONTAINER, f"{POD}/{A}"), scene).shares == {}


def test_the_pods_living_containers_are_read_and_the_victims_last_reading_is_kept(tmp_path: Path) -> None:
    node = FileNode(tmp_path, node_of_files.A, node_of_files.B)
    for name, size in ((node_of_files.A, 1), (node_of_files.B, 7)):
        (node.root / node_of_files.PARENT[1:] / name / "memory.current").write_text(f"{size * MIB}\n")
    node.kill(node_of_files.A, [node_of_files.NOW + 1], limit=node_of_files.PARENT)
    (spec,) = node.specs(node_of_files.A)
    shares = {share["containerID"]: share["bytes"] // MIB for share in spec["kill"]["shares"]}
    assert shares == {node_of_files.A: 127, node_of_files.B: 7}
    node.stop()


@pytest.mark.parametrize(("victim", "died"), [(1, True), (2, None)])
def test_a_container_that_ends_after_its_child_was_killed_may_have_ended_by_itself(
    tmp_path: Path, victim: int, died: bool | None
) -> None:
    node = FileNode(tmp_path, node_of_files.A)
    for pid in (1, 2):
        (node.proc / str(pid)).mkdir()
        (node.proc / str(pid) / "cgroup").write_text(f"0::{node_of_files.PARENT}/{node_of_files.A}\n")
    node.pids.refresh()
    node.number = victim - 1
    (node.root / node_of_files.PARENT[1:] / node_of_files.A / "cgroup.events").write_text("populated 0\n")
    node.kill(node_of_files.A, [node_of_files.NOW + 1])
    (spec,) = node.specs(node_of_files.A)
    assert spec["kill"].get("containerDied") is died
    node.stop()


def test_of_a_container_that_nobody_saw_the_kernels_table_tells_whether_its_first_process_died(tmp_path: Path) -> None:
    node = FileNode(tmp_path, node_of_files.A)
    (node.root / node_of_files.PARENT[1:] / node_of_files.A / "cgroup.events").write_text("populated 0\n")
    sandbox, shell, victim = Task(1, "pause", oom_score_adj=-998), Task(2, "sh", oom_score_adj=900), Task(3, "worker")
    for number, tasks in ((1, (sandbox, shell, victim)), (2, (sandbox, replace(victim, pid=4, oom_score_adj=900)))):
        node.number = number + 1
        node.kill(node_of_files.A, [node_of_files.NOW + number], tasks=tasks)
    assert [spec["kill"].get("containerDied") for spec in node.specs(node_of_files.A)] == [None, True]
    node.stop()


def test_the_kill_itself_is_the_histories_last_sample() -> None:
    store = HistoryStore()
    run = store.run(UID, A, NOW - 10)
    run.add(Sample(t=NOW - 5, level=Level(current=2048, stat={"anon": 2048})))
    report = frozen(kill(LimitHit.CONTAINER, f"{POD}/{A}"), store=store)
    assert report.history is not None
    assert report.history.columns["anon"] == "2 1"
    assert "x" not in report.history.columns["t"]


def test_the_fullest_report_stays_below_its_bound() -> None:
    store = HistoryStore()
    for index in range(16):
        run = store.run(UID, f"{index:064x}" if index else A, NOW - 90_000)
        for second in range(2000):
            value = (second * 7919 % 99991) * 2**20
            stat = {"anon": value, "file": value, "shmem": value, "kernel": value, "slab_reclaimable": 0, "sock": value}
            run.add(Sample(t=NOW - 90_000 + 45 * second, level=Level(current=value, stat=stat)))
        if index:
            store.end(run, NOW - index)
    stat = {f"key_number_{index:02}_of_memory": 2**50 for index in range(64)}
    level = Level(current=2**50, stat=stat, events=stat, events_local=stat)
    full = kill(
        LimitHit.CONTAINER,
        f"{POD}/{A}",
        victims=tuple(Victim(pid, "\x1b" * 64, 2**50, 2**50, 2**50, 2**50, 1000) for pid in range(100)),
        tasks=tuple(Task(pid, "\u00e9" * 64, 2**50, 2**50, 2**50, 2**50, 1000) for pid in range(100)),
        lines=("\x1b" * 4096,) * 24,
    )
    ancestors = {f"/{index}{'x' * 600}": level for index in range(5)}
    scene = Scene(NOW, cgroup_path="/" * 4096, container=level, pod=level, ancestors=ancestors)
    report = frozen(full, scene, store)
    assert report.history is not None
    assert len(report.history.runs) == 16
    assert len(json.dumps(to_object(report, "name", "memdiag"))) <= 64 * 1024
