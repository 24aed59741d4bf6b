"""Runs inside the quick kernel: reads a real cgroup's life and death. Usage: guest.py WORK; writes WORK/seen.json."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from memdiag.kernel.files import parse_flat, parse_meminfo, parse_net_dev
from memdiag.kernel.inotify import CREATE, MODIFY, Inotify
from memdiag.kernel.klog import KernelLog
from memdiag.kernel.oomlog import parse
from memdiag.kernel.reader import CgroupGoneError, CgroupReader
from memdiag.kernel.tree import walk

ROOT = Path("/sys/fs/cgroup")
UID = "0f2f1e2a-3b4c-4d5e-8f60-718293a4b5c6"
ID = "a" * 64


def gone(reader: CgroupReader) -> list[bool]:
    found = []
    for read in (reader.light, reader.full, reader.populated, reader.current):
        try:
            read()
            found.append(False)
        except CgroupGoneError:
            found.append(True)
    return found


def main(work: Path) -> None:
    pod = ROOT / "kubepods" / f"pod{UID}"
    pod.mkdir(parents=True)
    for folder in (pod.parent, pod):
        (folder / "cgroup.subtree_control").write_text("+memory +pids")
    watcher = Inotify()
    folder_watch = watcher.add(str(pod), CREATE)
    leaf = pod / ID
    leaf.mkdir()
    created = [event.name for event in watcher.read() if event.watch == folder_watch]
    (leaf / "memory.max").write_text("8M")
    events_watch = watcher.add(str(leaf / "memory.events"), MODIFY)
    reader = CgroupReader(str(leaf))
    log = KernelLog()
    log.read_new()
    child = os.fork()
    if child == 0:
        (leaf / "cgroup.procs").write_text("0")
        kept = []
        while True:
            kept.append(bytearray(1 << 18))
    alive = reader.full()
    _, status = os.waitpid(child, 0)
    time.sleep(0.1)
    after = reader.full()
    modified = {event.watch for event in watcher.read()} == {events_watch}
    kills = parse(log.read_new().records)
    tree = walk(str(ROOT))
    leaf.rmdir()
    seen = {
        "created": created,
        "modified": modified,
        "signal": os.WTERMSIG(status) == signal.SIGKILL,
        "limit": alive.max,
        "has_stat": len(after.stat) > 30,
        "peak": after.peak,
        "pressure": after.pressure_some is not None and after.pressure_some.total is not None,
        "cpu": after.cpu.get("usage_usec", 0) > 0,
        "oom_kill": after.events.get("oom_kill"),
        "local_oom": after.events_local.get("oom"),
        "containers": [[one.pod_uid, one.container_id, one.path] for one in tree.containers],
        "parents": tree.parents,
        "kills": [[kill.oom_memcg, kill.task_memcg, kill.victims[0].pid == child, kill.stat != {}] for kill in kills],
        "gone": gone(reader),
        "late_watch": watcher.add(str(leaf / "memory.events"), MODIFY),
        "meminfo": parse_meminfo(Path("/proc/meminfo").read_bytes())["MemTotal"] > 2**28,
        "vmstat": parse_flat(Path("/proc/vmstat").read_bytes())["oom_kill"],
        "net": parse_net_dev(Path("/proc/self/net/dev").read_bytes()),
    }
    (work / "seen.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
