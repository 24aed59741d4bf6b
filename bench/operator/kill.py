"""The report of a kill as an agent sends it after a life of two days: 24 KiB."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from bench.operator.populate import NAMESPACE, Place
from memdiag.model.history import HistoryRun, encode
from memdiag.model.kill import Constraint, LimitHit, OomReport, Task
from memdiag.model.process import Process, Processes
from memdiag.model.report import Report, to_object
from memdiag.model.trace import Level, Pressure, Sample, Victim

_MIB = 2**20
_LIMIT = 512 * _MIB
_ROWS = 160
_STAT = (
    "anon file kernel kernel_stack pagetables sec_pagetables percpu sock vmalloc shmem zswap zswapped file_mapped "
    "file_dirty file_writeback swapcached anon_thp file_thp shmem_thp inactive_anon active_anon inactive_file "
    "active_file unevictable slab_reclaimable slab_unreclaimable slab workingset_refault_anon workingset_refault_file "
    "workingset_nodereclaim pgscan pgsteal pgfault pgmajfault"
)
_NODE = (
    "MemTotal MemFree MemAvailable Buffers Cached SwapCached Active Inactive SwapTotal SwapFree Dirty Writeback "
    "AnonPages Mapped Shmem KReclaimable Slab SReclaimable SUnreclaim KernelStack PageTables Committed_AS oom_kill "
    "pgmajfault pgscan_direct pswpin pswpout Active(anon) Inactive(anon) Active(file) Inactive(file) Unevictable "
    "Mlocked CommitLimit VmallocTotal VmallocUsed Percpu AnonHugePages FileHugePages HugePages_Total Hugepagesize "
    "Hugetlb DirectMap4k DirectMap2M pgsteal_direct allocstall_normal workingset_refault_file"
)


def _level(chance: random.Random, current: int, most: int = 64) -> Level:
    return Level(
        current=current,
        peak=_LIMIT,
        max=_LIMIT,
        swap_current=0,
        events={"low": 0, "high": 0, "max": 812, "oom": 1, "oom_kill": 1, "oom_group_kill": 0},
        events_local={"low": 0, "high": 0, "max": 812, "oom": 1, "oom_kill": 1, "oom_group_kill": 0},
        stat={key: chance.randrange(_MIB, _LIMIT) for key in _STAT.split()[:most]},
        cpu={"usage_usec": chance.randrange(10**10)},
        pids=24,
    )


def _samples(end: float, seed: int) -> Iterator[Sample]:
    """Yield a run of two days that leaks slowly, with the noise of a real one."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    events = cpu = packets = refaults = stalled = 0
    for row in range(_ROWS):
        anon = int((80 + 420 * row / _ROWS + chance.gauss(0, 6)) * _MIB)
        file = int(chance.uniform(2, 9) * _MIB)
        cpu += chance.randrange(2_000_000, 9_000_000)
        packets += chance.randrange(5_000, 90_000)
        refaults += chance.randrange(0, 300)
        events += row > _ROWS - 5
        stalled += chance.randrange(0, 90_000_000)
        stat = {
            "anon": anon,
            "file": file,
            "shmem": chance.randrange(0, _MIB),
            "kernel": int(chance.uniform(3, 5) * _MIB),
            "slab_reclaimable": chance.randrange(_MIB, 2 * _MIB),
            "sock": chance.randrange(0, 200_000),
            "workingset_refault_file": refaults,
        }
        yield Sample(
            t=end - 172_800 * (_ROWS - row) / _ROWS + chance.uniform(-20, 20),
            level=Level(
                current=anon + file + 4 * _MIB,
                max=_LIMIT,
                stat=stat,
                events={"max": events},
                cpu={"usage_usec": cpu},
                pressure_some=Pressure(total=stalled),
                pressure_full=Pressure(total=stalled // 3),
                swap_current=chance.randrange(_MIB),
                pids=chance.randrange(20, 30),
            ),
            net={"rx_packets": packets},
        )


def _processes(chance: random.Random, when: float) -> Processes:
    largest = tuple(
        Process(
            pid=4711 + number,
            comm="python3",
            rss=chance.randrange(_MIB, 80 * _MIB),
            anon=chance.randrange(_MIB, 80 * _MIB),
            shmem=0,
            swap=0,
            threads=12,
            minor_faults=chance.randrange(10**7),
            major_faults=chance.randrange(10**3),
            oom_score=chance.randrange(700, 1300),
            oom_score_adj=968,
            grew=chance.randrange(80 * _MIB),
            over=160_000.0,
        )
        for number in range(7)
    )
    return Processes(when - 5, 24, largest)


def _tasks(chance: random.Random) -> Iterator[Task]:
    for number in range(11):
        rss = chance.randrange(_MIB, 80 * _MIB)
        yield Task(pid=4711 + number, comm="python3", rss=rss, swap=0, pgtables=rss // 512, oom_score_adj=968)


def _log(chance: random.Random, place: Place) -> tuple[str, ...]:
    row = "[{:7d}]     0 {:7d} {:8d} {:8d} {:8d}        0        0 {:9d}        0           968 python3"
    table = [row.format(*(chance.randrange(10**7) for _ in range(6))) for _ in range(8)]
    path = f"/kubepods.slice/kubepods-pod{place.uid.replace('-', '_')}.slice/cri-containerd-{place.container_id}.scope"
    said = f"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,oom_memcg={path}"
    killed = "Memory cgroup out of memory: Killed process 4711 (python3) total-vm:712000kB, anon-rss:512000kB"
    return (*table, said, killed)


def report(place: Place, seed: int, when: float) -> dict[str, Any]:
    """Return the report of the kill of a place's container at a time (Unix seconds)."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    samples = list(_samples(when, seed))
    slice_ = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{place.uid.replace('-', '_')}.slice"
    kill = OomReport(
        time=172_800.0,
        constraint=Constraint.MEMCG,
        oom_memcg=f"{slice_}/cri-containerd-{place.container_id}.scope",
        task_memcg=f"{slice_}/cri-containerd-{place.container_id}.scope",
        group_kill=False,
        victims=(Victim(pid=4711, comm="python3", anon_rss=500 * _MIB, file_rss=_MIB, shmem_rss=0),),
        tasks=tuple(_tasks(chance)),
        usage_bytes=_LIMIT,
        limit_bytes=_LIMIT,
        invoked_by="python3",
        lines=_log(chance, place),
    )
    found = Report(
        node=place.node,
        boot_id="5a0e3d1c-0000-4000-8000-000000000001",
        pod_uid=place.uid,
        container_id=place.container_id,
        ordinal=1,
        time=when,
        kill=kill,
        limit_hit=LimitHit.CONTAINER,
        limit_hit_cgroup=kill.oom_memcg,
        cgroup_path=kill.oom_memcg,
        container_died=True,
        container=_level(chance, _LIMIT),
        pod=_level(chance, _LIMIT),
        ancestors={
            path: _level(chance, 40 * _LIMIT, 28)
            for path in ("/kubepods.slice/kubepods-burstable.slice", "/kubepods.slice", "/")
        },
        node_memory={key: chance.randrange(10**11) for key in _NODE.split()},
        processes=_processes(chance, when),
        history=encode([(HistoryRun(place.container_id, samples[0].t, when, killed=True, peak=_LIMIT), samples)]),
    )
    return to_object(found, f"kill-{place.container_id[:20]}", NAMESPACE)
