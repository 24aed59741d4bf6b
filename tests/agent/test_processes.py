"""Who in a container grew: what /proc shows, remembered within bounds, and what is not permitted said so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from memdiag.agent import processes
from memdiag.agent.pids import PidMap
from memdiag.agent.processes import MOST_LOOKED_AT, ProcessTable
from memdiag.model.process import Process
from memdiag.model.report import MOST_PROCESSES

POD = "0f2f1e2a-3b4c-4d5e-8f60-718293a4b5c6"
ID = "a" * 64
MIB = 2**20


class Proc:
    """A /proc of files in which processes are written down."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pids = PidMap(str(root))
        self.table = ProcessTable(str(root), self.pids)

    def process(self, pid: int, mib: int, *, comm: str = "python3", start: int = 7, rollup: bool = True) -> None:
        folder = self.root / str(pid)
        folder.mkdir(exist_ok=True)
        kib = mib * 1024
        (folder / "cgroup").write_text(f"0::/kubepods/pod{POD}/{ID}\n")
        sizes = f"VmRSS:\t{kib} kB\nRssAnon:\t{kib - 512} kB\nRssFile:\t512 kB\nRssShmem:\t0 kB\nVmSwap:\t4 kB\n"
        (folder / "status").write_text(f"Name:\t{comm}\nState:\tS (sleeping)\n{sizes}Threads:\t5\n")
        before = "S 1 1 1 0 -1 4194560 321 0 17 0 1 2 0 0 20 0 5 0"
        (folder / "stat").write_text(f"{pid} ({comm}) {before} {start} 99999 1234\n")
        (folder / "oom_score").write_text("777\n")
        (folder / "oom_score_adj").write_text("-997\n")
        if rollup:
            (folder / "smaps_rollup").write_text(f"55 rollup\nRss: {kib} kB\nPss:   {kib // 2} kB\nPss_Anon: 3 kB\n")

    def look(self, now: float, *, near: bool = True) -> Sequence[Process]:
        self.pids.refresh()
        self.table.new_turn()
        self.table.look(ID, now, near=near)
        found = self.table.of(ID)
        return () if found is None else found.largest


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def test_who_grew_is_told_from_who_is_merely_large(proc: Proc) -> None:
    proc.process(10, 300, comm="large")
    proc.process(11, 20, comm="grows")
    proc.look(100.0)
    proc.process(11, 220, comm="grows")
    large, grown = proc.look(160.0)
    assert (large.comm, large.rss, large.grew, large.over) == ("large", 300 * MIB, 0, 60.0)
    assert (grown.comm, grown.grew) == ("grows", 200 * MIB)
    assert (grown.threads, grown.minor_faults, grown.major_faults) == (5, 321, 17)
    assert (grown.oom_score, grown.oom_score_adj, grown.swap) == (777, -997, 4096)
    assert (large.pss, grown.pss) == (150 * MIB, None), "page tables are walked for the largest only"


def test_a_pid_used_again_is_another_process(proc: Proc) -> None:
    proc.process(10, 100, start=7)
    proc.look(100.0)
    proc.process(10, 300, start=8)
    (found,) = proc.look(160.0)
    assert (found.grew, found.over) == (0, 0.0)


def test_what_is_not_permitted_is_missing_and_not_asked_for_again(proc: Proc) -> None:
    proc.process(10, 100, rollup=False)
    (found,) = proc.look(100.0)
    assert found.pss is None
    proc.process(10, 100)
    (found,) = proc.look(110.0)
    assert found.pss is None, "a failure is not tried again for ten minutes"
    (found,) = proc.look(100.0 + processes.REFUSED_SECONDS)
    assert found.pss == 50 * MIB


def test_many_processes_are_looked_at_in_bounds_and_all_in_the_end(proc: Proc) -> None:
    for pid in range(1, 150):
        proc.process(pid, pid)
    first = proc.look(100.0)
    assert len(first) == MOST_PROCESSES
    for turn in range(1, 4):
        proc.look(100.0 + turn)
    found = proc.table.of(ID)
    assert found is not None
    assert found.count == 149
    assert [one.pid for one in found.largest] == list(range(149, 149 - MOST_PROCESSES, -1))
    assert MOST_LOOKED_AT < 149


def test_looks_are_seldom_unless_the_limit_is_near(proc: Proc) -> None:
    proc.process(10, 100)
    assert proc.table.due(ID, 100.0, near=False)
    proc.look(100.0)
    assert not proc.table.due(ID, 106.0, near=False)
    assert proc.table.due(ID, 106.0, near=True)
    assert proc.table.due(ID, 161.0, near=False)
    proc.table.forget(ID)
    assert proc.table.of(ID) is None


def test_a_container_whose_processes_are_gone_keeps_the_last_look(proc: Proc) -> None:
    proc.process(10, 100)
    proc.look(100.0)
    for file in (proc.root / "10").iterdir():
        file.unlink()
    (proc.root / "10").rmdir()
    proc.pids.refresh()
    proc.pids.refresh()
    assert [one.pid for one in proc.look(106.0)] == [10]
