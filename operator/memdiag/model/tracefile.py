"""The trace format `memdiag.trace/v1`: JSON Lines to a Trace and back, text only: the caller opens the files."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, NoReturn

from memdiag.model.kill import LimitHit
from memdiag.model.trace import Level, Limit, Pressure, Run, RunEnd, Sample, Trace, TraceKill, Victim

FORMAT = "memdiag.trace/v1"

LONGEST_LINE = 2**20
"""Characters of one line: a sample with a whole node's counters has about 20,000."""
MOST_LINES = 250_000
"""Lines of one trace: almost three days at one sample a second."""
LONGEST_TEXT = 4096
MOST_ITEMS = 4096
_LARGEST_COUNT = 2**64
_LARGEST_TIME = 1e12


class TraceError(ValueError):
    """Unusable trace: says which file, which line (from 1; 0 for the whole file), which field and what was wrong."""

    def __init__(self, name: str, line: int, where: str | None, problem: str) -> None:
        place = f"{name}:{line}" if line else name
        super().__init__(f"{place}: {where}: {problem}" if where else f"{place}: {problem}")
        self.name = name
        self.line = line
        self.field = where
        self.problem = problem


@dataclass(frozen=True, slots=True)
class _Object:
    """One JSON object of a line, with its place for errors."""

    name: str
    line: int
    path: str
    pairs: Mapping[str, Any]

    def fail(self, key: str, problem: str) -> NoReturn:
        where = f"{self.path}.{key}" if self.path else key
        raise TraceError(self.name, self.line, where, problem)

    def number(self, key: str, value: object) -> float | int:
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
            self.fail(key, f"expected a number, found {_shown(value)}")
        return value

    def real(self, key: str) -> float | None:
        value = self.pairs.get(key)
        return None if value is None else float(self.number(key, value))

    def time(self, key: str) -> float | None:
        value = self.real(key)
        if value is not None and abs(value) > _LARGEST_TIME:
            self.fail(key, f"expected Unix seconds, found {_shown(value)}")
        return value

    def required_time(self, key: str) -> float:
        value = self.time(key)
        if value is None:
            self.fail(key, "is missing: every event needs its Unix seconds")
        return value

    def whole(self, key: str, *, signed: bool = False) -> int | None:
        value = self.pairs.get(key)
        return None if value is None else self.count(key, value, signed=signed)

    def count(self, key: str, value: object, *, signed: bool = False) -> int:
        number = self.number(key, value)
        if number != int(number) or abs(number) >= _LARGEST_COUNT or (number < 0 and not signed):
            self.fail(key, f"expected a whole number{'' if signed else ' not below 0'}, found {_shown(value)}")
        return int(number)

    def limit(self, key: str) -> Limit:
        value = self.pairs.get(key)
        return "max" if value == "max" else self.whole(key)

    def text(self, key: str) -> str | None:
        value = self.pairs.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or len(value) > LONGEST_TEXT:
            self.fail(key, f"expected a text of at most {LONGEST_TEXT} characters, found {_shown(value)}")
        return value

    def child(self, key: str) -> _Object | None:
        value = self.pairs.get(key)
        if value is None:
            return None
        if not isinstance(value, dict) or len(value) > MOST_ITEMS:
            self.fail(key, f"expected an object of at most {MOST_ITEMS} keys, found {_shown(value)}")
        return _Object(self.name, self.line, f"{self.path}.{key}" if self.path else key, value)

    def counts(self, key: str) -> dict[str, int]:
        found = self.child(key)
        if found is None:
            return {}
        return {name: found.count(name, value) for name, value in found.pairs.items() if value is not None}

    def reals(self, key: str) -> dict[str, float]:
        found = self.child(key)
        if found is None:
            return {}
        return {name: found.number(name, value) for name, value in found.pairs.items() if value is not None}

    def items(self, key: str) -> list[Any]:
        value = self.pairs.get(key)
        if value is None:
            return []
        if not isinstance(value, list) or len(value) > MOST_ITEMS:
            self.fail(key, f"expected a list of at most {MOST_ITEMS} items, found {_shown(value)}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        for item in self.items(key):
            if not isinstance(item, str) or len(item) > LONGEST_TEXT:
                self.fail(key, f"expected texts of at most {LONGEST_TEXT} characters, found {_shown(item)}")
        return tuple(self.items(key))


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _pressure(parent: _Object | None, key: str) -> Pressure | None:
    found = parent.child(key) if parent else None
    return None if found is None else Pressure(avg10=found.real("avg10"), total=found.whole("total"))


def _level(found: _Object) -> Level:
    pressure = found.child("memory.pressure")
    return Level(
        current=found.whole("memory.current"),
        peak=found.whole("memory.peak"),
        max=found.limit("memory.max"),
        swap_current=found.whole("memory.swap.current"),
        events=found.counts("memory.events"),
        events_local=found.counts("memory.events.local"),
        stat=found.counts("memory.stat"),
        pressure_some=_pressure(pressure, "some"),
        pressure_full=_pressure(pressure, "full"),
        cpu=found.counts("cpu.stat"),
        pids=found.whole("pids.current"),
    )


def _sample(found: _Object) -> Sample:
    pod = found.child("pod")
    ancestors = found.child("ancestors")
    levels: dict[str, Level] = {}
    for path in ancestors.pairs if ancestors else ():
        level = ancestors.child(path) if ancestors else None
        if level is not None:
            levels[path] = _level(level)
    return Sample(
        t=found.required_time("t"),
        level=_level(found),
        pod=None if pod is None else _level(pod),
        ancestors=levels,
        node=found.counts("node"),
        net=found.counts("net"),
    )


def _victims(found: _Object) -> tuple[Victim, ...]:
    victims: list[Victim] = []
    for position, item in enumerate(found.items("victims")):
        if not isinstance(item, dict):
            found.fail("victims", f"expected objects, found {_shown(item)}")
        victim = _Object(found.name, found.line, f"victims[{position}]", item)
        victims.append(
            Victim(
                pid=victim.whole("pid"),
                comm=victim.text("comm"),
                anon_rss=victim.whole("anon_rss_bytes"),
                file_rss=victim.whole("file_rss_bytes"),
                shmem_rss=victim.whole("shmem_rss_bytes"),
                pgtables=victim.whole("pgtables_bytes"),
                oom_score_adj=victim.whole("oom_score_adj", signed=True),
            )
        )
    return tuple(victims)


def _limit_hit(found: _Object) -> LimitHit | None:
    told = found.text("limit_hit")
    if told is None:
        return None
    try:
        return LimitHit(told)
    except ValueError:
        found.fail("limit_hit", f"expected one of {', '.join(LimitHit)}, found {_shown(told)}")


def _end(found: _Object) -> RunEnd:
    killed = found.pairs.get("killed")
    if not isinstance(killed, bool | None):
        found.fail("killed", f"expected true, false or null, found {_shown(killed)}")
    return RunEnd(
        t=found.required_time("t"),
        exit_code=found.whole("exit_code", signed=True),
        reason=found.text("reason"),
        level=_level(found),
        kernel_log=found.texts("kernel_log"),
        killed=killed,
        limit_hit=_limit_hit(found),
    )


@dataclass(slots=True)
class _OpenRun:
    container_id: str | None = None
    started: float | None = None
    image: str | None = None
    revision: str | None = None
    samples: list[Sample] = field(default_factory=list)
    kills: list[TraceKill] = field(default_factory=list)
    end: RunEnd | None = None

    def closed(self) -> Run:
        return Run(
            container_id=self.container_id,
            started=self.started,
            image=self.image,
            revision=self.revision,
            samples=tuple(sorted(self.samples, key=lambda sample: sample.t)),
            kills=tuple(sorted(self.kills, key=lambda kill: kill.t)),
            end=self.end,
        )


@dataclass(slots=True)
class _Reader:
    """Sorts the lines of one trace into its runs."""

    header: Trace | None = None
    runs: list[_OpenRun] = field(default_factory=list)

    def run_of(self, container_id: str | None, t: float) -> _OpenRun:
        """Return the run that an event belongs to: the one that it names, else the newest, else a new one."""
        if container_id is not None:
            for run in reversed(self.runs):
                if run.container_id == container_id:
                    return run
        newest = self.runs[-1] if self.runs else None
        if newest is None or (newest.end is not None and t > newest.end.t):
            newest = None
        elif container_id is not None:
            if newest.container_id is None and newest.end is None:
                newest.container_id = container_id
            else:
                newest = None
        if newest is None:
            newest = _OpenRun(container_id=container_id)
            self.runs.append(newest)
        return newest

    def take_header(self, found: _Object) -> None:
        version = found.pairs.get("version")
        if version != FORMAT:
            found.fail("version", f"expected {FORMAT!r}, found {_shown(version)}")
        workload = found.child("workload")
        header = Trace(
            runs=(),
            namespace=found.text("namespace"),
            pod=found.text("pod"),
            container=found.text("container"),
            workload_kind=workload.text("kind") if workload else None,
            workload_name=workload.text("name") if workload else None,
            node=found.text("node"),
            limit_bytes=found.whole("limit_bytes"),
            request_bytes=found.whole("request_bytes"),
            runtime=found.reals("runtime"),
        )
        if self.header is not None and header != self.header:
            found.fail("type", "a second header that differs from the first: put each trace in a file of its own")
        self.header = header

    def take_start(self, found: _Object) -> None:
        container_id, t = found.text("container_id"), found.time("t")
        run = next((r for r in self.runs if container_id is not None and r.container_id == container_id), None)
        if run is None:
            run = _OpenRun(container_id=container_id)
            self.runs.append(run)
        run.started = t if run.started is None else run.started
        run.image = found.text("image")
        run.revision = found.text("revision")

    def take(self, found: _Object) -> None:
        kind = found.pairs.get("type")
        if kind == "header":
            self.take_header(found)
            return
        if self.header is None:
            found.fail("type", f'the first line must be {{"type":"header","version":"{FORMAT}"}}, found {_shown(kind)}')
        if kind == "sample":
            sample = _sample(found)
            self.run_of(found.text("container_id"), sample.t).samples.append(sample)
        elif kind == "run_started":
            self.take_start(found)
        elif kind == "run_ended":
            end = _end(found)
            self.run_of(found.text("container_id"), end.t).end = end
        elif kind == "kill":
            kill = TraceKill(
                found.required_time("t"), _victims(found), found.texts("kernel_log"), limit_hit=_limit_hit(found)
            )
            self.run_of(found.text("container_id"), kill.t).kills.append(kill)
        elif not isinstance(kind, str):
            found.fail("type", f"expected a text such as 'sample', found {_shown(kind)}")


def _decoded(text: str, name: str, number: int) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        problem = f"not JSON ({error.msg} at character {error.pos + 1}): {_shown(text[:60])}"
        raise TraceError(name, number, None, problem) from None
    except (ValueError, RecursionError):
        raise TraceError(name, number, None, "JSON with an absurdly long number or deep nesting") from None
    if not isinstance(value, dict):
        raise TraceError(name, number, None, f"expected a JSON object, found {_shown(value)}")
    return value


def parse(lines: Iterable[str], name: str) -> Trace:
    """Return the trace that these lines hold; `name` stands for the file in errors.

    Unknown keys and unknown types of line are skipped. Raises TraceError on the first line that cannot be used.
    """
    reader = _Reader()
    for number, text in enumerate(lines, 1):
        if number > MOST_LINES:
            raise TraceError(name, number, None, f"more than {MOST_LINES} lines: cut the trace or thin its samples")
        if len(text) > LONGEST_LINE:
            raise TraceError(name, number, None, f"line longer than {LONGEST_LINE} characters")
        if not text.isspace() and text:
            reader.take(_Object(name, number, "", _decoded(text, name, number)))
    if reader.header is None:
        raise TraceError(
            name, 0, None, f'holds no trace: its first line must be {{"type":"header","version":"{FORMAT}"}}'
        )
    return replace(reader.header, runs=tuple(run.closed() for run in reader.runs))


def _known(pairs: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in pairs.items() if value is not None and value not in ({}, [])}


def _pressure_pairs(pressure: Pressure | None) -> dict[str, Any] | None:
    return None if pressure is None else _known({"avg10": pressure.avg10, "total": pressure.total})


def level_pairs(level: Level) -> dict[str, Any]:
    """Return what is known of one cgroup under the kernel's file names."""
    pressure = {"some": _pressure_pairs(level.pressure_some), "full": _pressure_pairs(level.pressure_full)}
    return _known(
        {
            "memory.current": level.current,
            "memory.peak": level.peak,
            "memory.max": level.max,
            "memory.swap.current": level.swap_current,
            "memory.events": dict(level.events),
            "memory.events.local": dict(level.events_local),
            "memory.stat": dict(level.stat),
            "memory.pressure": {key: value for key, value in pressure.items() if value is not None},
            "cpu.stat": dict(level.cpu),
            "pids.current": level.pids,
        }
    )


def header_line(trace: Trace) -> dict[str, Any]:
    """Return the first line of a trace's file; the runs are not looked at."""
    workload = _known({"kind": trace.workload_kind, "name": trace.workload_name})
    plain = ("namespace", "pod", "container", "node", "limit_bytes", "request_bytes")
    found = {item.name: getattr(trace, item.name) for item in fields(trace) if item.name in plain}
    known = _known({**found, "workload": workload, "runtime": dict(trace.runtime)})
    return {"type": "header", "version": FORMAT, **known}


def run_started_line(run: Run) -> dict[str, Any]:
    """Return the line that begins a run; its samples are not looked at."""
    known = {"t": run.started, "container_id": run.container_id, "image": run.image, "revision": run.revision}
    return {"type": "run_started", **_known(known)}


def sample_line(sample: Sample, container_id: str | None = None) -> dict[str, Any]:
    """Return a sample's line; `container_id` is only needed where the line does not follow its own run's start."""
    ancestors = {path: level_pairs(level) for path, level in sample.ancestors.items()}
    return {
        "type": "sample",
        "t": sample.t,
        **_known({"container_id": container_id}),
        **level_pairs(sample.level),
        **({} if sample.pod is None else {"pod": level_pairs(sample.pod)}),
        **_known({"ancestors": ancestors, "node": dict(sample.node), "net": dict(sample.net)}),
    }


def run_ended_line(end: RunEnd, container_id: str | None = None) -> dict[str, Any]:
    """Return the line that ends a run: what the runtime and the kernel said of it."""
    return {
        "type": "run_ended",
        "t": end.t,
        **_known({"container_id": container_id}),
        "exit_code": end.exit_code,
        "reason": end.reason,
        **_known({"killed": end.killed, "limit_hit": end.limit_hit}),
        **level_pairs(end.level),
        **_known({"kernel_log": list(end.kernel_log)}),
    }


def kill_line(kill: TraceKill, container_id: str | None = None) -> dict[str, Any]:
    """Return the line of a kill inside a run that lives on."""
    victims = [
        _known(
            {
                "pid": victim.pid,
                "comm": victim.comm,
                "anon_rss_bytes": victim.anon_rss,
                "file_rss_bytes": victim.file_rss,
                "shmem_rss_bytes": victim.shmem_rss,
                "pgtables_bytes": victim.pgtables,
                "oom_score_adj": victim.oom_score_adj,
            }
        )
        for victim in kill.victims
    ]
    log = list(kill.kernel_log)
    return {
        "type": "kill",
        "t": kill.t,
        **_known({"container_id": container_id, "limit_hit": kill.limit_hit, "victims": victims, "kernel_log": log}),
    }


def dump(line: Mapping[str, Any]) -> str:
    """Return a line's text with its line break."""
    return json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n"


def lines(trace: Trace) -> Iterator[str]:
    """Yield the text of a whole trace, line by line, each with its line break."""
    yield dump(header_line(trace))
    for run in trace.runs:
        yield dump(run_started_line(run))
        events: list[tuple[float, dict[str, Any]]] = [(sample.t, sample_line(sample)) for sample in run.samples]
        events += [(kill.t, kill_line(kill, run.container_id)) for kill in run.kills]
        events.sort(key=lambda event: event[0])
        yield from (dump(line) for _, line in events)
        if run.end is not None:
            yield dump(run_ended_line(run.end, run.container_id))
