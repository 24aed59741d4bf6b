"""What fuzzing starts from: inputs that each parser accepts, recorded ones first, and the words that count in them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

from fuzz.targets import TARGETS
from tests.kernel.recordings import NAMES, parts, truth, unpacked
from tests.kernel.support import FIXTURES, ID, POD

FOUND = Path(__file__).parent / "found"
"""Inputs that once broke a parser, a folder a target: each is run again in the unit ring."""
_TRACES = Path(__file__).parent.parent / "bench" / "verdict" / "traces"

_COLUMNS = {"run": "0 0 0", "t": "1764000000 1 1", "current": "1024 10 -5", "anon": "900 x 1"}
_VICTIMS = [{"pid": 7, "comm": "leaky", "anonRSSBytes": 4096, "oomScoreAdj": -997}]
_LOG = ["Memory cgroup out of memory: Killed process 7 (leaky)"]
_LEVEL = {"current": 4096, "max": "8192", "events": {"oom_kill": 1}, "pressureSome": {"avg10": "1.50"}}
_TIME = "2026-11-24T03:00:00Z"
_KILL = {"time": _TIME, "limitHit": "Container", "victims": _VICTIMS, "kernelLog": _LOG}
_HISTORY = {"runs": [{"containerID": ID, "startedTime": _TIME, "endedTime": _TIME}], "columns": _COLUMNS}
_REPORT = {
    "spec": {
        "node": "node-a",
        "bootID": POD,
        "podUID": POD,
        "containerID": ID,
        "cgroupPath": f"/kubepods/pod{POD}/{ID}",
        "ordinal": 1,
        "kill": _KILL,
        "container": _LEVEL,
        "history": _HISTORY,
    }
}
_INCIDENT = {
    "spec": {
        "pod": {"name": "web-0", "uid": POD},
        "container": "web",
        "containerRole": "Sidecar",
        "containerID": ID,
        "restartCount": 1,
        "workload": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web"},
        "source": "Kernel",
        "kill": {**_KILL, "kind": "ContainerKilled", "explanation": "the container's own limit"},
        "limits": {"limit": "128Mi"},
        "memory": _LEVEL,
        "history": _HISTORY,
    },
    "status": {},
}
_QUANTITIES = (b"256Mi", b"1Gi", b"1.5Gi", b"100m", b"1e3", b"12E", b"0", b" 7k ", b"9223372036854775807")
_SETTINGS = (
    b"java\0-Xmx512m\0-XX:MaxRAMPercentage=75.0\0JAVA_TOOL_OPTIONS=-Xms1g -Xss1m",
    b"GOMEMLIMIT=400MiB\0GOGC=off\0DOTNET_GCHeapHardLimit=0x10000000",
    b"sh\0-c\0exec node --max-old-space-size=${HEAP:-300} server.js\0HEAP=256\0NODE_OPTIONS=--max_semi_space_size=16",
    b"redis-server\0--maxmemory\x00100mb\0GLIBC_TUNABLES=glibc.malloc.arena_max=2\0LD_PRELOAD=/lib/libjemalloc.so",
    b"postgres\0-c\0shared_buffers=128MB\0-c\0max_connections=100",
)
_FILES = (
    b"1048576\n",
    b"max\n",
    b"low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 0\n",
    b"some avg10=1.23 avg60=0.50 avg300=0.00 total=1234\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    b"MemTotal:       24689764 kB\nMemFree:  1 kB\nHugePages_Total:       0\n",
    b"Inter-|   Receive\n face |bytes packets\n  eth0: 1000 10 0 0 0 0 0 0 2000 20 0 0 0 0 0 0\n",
)


_PROCESS = (
    b"Name:\tpython3\nUmask:\t0022\nVmRSS:\t    2048 kB\nRssAnon:\t 1024 kB\nVmSwap:\t 0 kB\nThreads:\t3\n",
    b"17 (a) S 1 (x) S 1 1 1 0 -1 4194560 321 0 17 0 1 2 0 0 20 0 5 0 8811 99999 1234\n",
    b"00400000-7ffe000 ---p 00000000 00:00 0 [rollup]\nRss:  900 kB\nPss:      450 kB\n",
    b"-997\n",
    b"3,339,5140900,-;Memory cgroup out of memory: Killed process 7 (leaky)\n SUBSYSTEM=net\n",
)


def _logs(log: str) -> list[bytes]:
    return [text for name in NAMES for case, text in parts(unpacked(name, log)).items() if case != "storm"]


def _written() -> list[bytes]:
    return [path.read_bytes() for path in sorted(FIXTURES.glob("*.txt"))]


def _lines() -> list[bytes]:
    return [b"\n".join(line.partition(b"] ")[2] for line in text.split(b"\n")) for text in _logs("syslog")]


def _paths() -> list[bytes]:
    return sorted({case.path.encode() for case in truth(NAMES[0]).values()})


def _traces() -> list[bytes]:
    found = []
    for path in sorted(_TRACES.glob("*.jsonl.gz"))[:8]:
        with gzip.open(path) as stream:
            found.append(b"".join(stream.readline() for _ in range(6)))
    return found


_SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "kernel_ring": lambda: _logs("syslog"),
    "kernel_text": lambda: _logs("kmsg") + _written(),
    "kernel_lines": _lines,
    "cgroup_paths": _paths,
    "cgroup_files": lambda: list(_FILES),
    "process_files": lambda: list(_PROCESS),
    "trace_file": _traces,
    "report_object": lambda: [json.dumps(_REPORT).encode()],
    "incident_object": lambda: [json.dumps(_INCIDENT).encode()],
    "history_column": lambda: [text.encode() for text in _COLUMNS.values()],
    "quantity": lambda: list(_QUANTITIES),
    "settings": lambda: list(_SETTINGS),
    "explain": lambda: _logs("kmsg")[:8] + _written(),
}


def seeds(target: str) -> list[bytes]:
    """Return the inputs that a target starts from."""
    if target not in TARGETS:
        raise KeyError(target)
    return _SEEDS[target]()


def found(target: str) -> list[Path]:
    """Return the inputs that once broke a target."""
    return sorted((FOUND / target).glob("*"))
