"""A finding of a trace that was diagnosed here: what the command line shows without a cluster."""

from __future__ import annotations

from collections.abc import Sequence

from memdiag.kernel.logtext import LogText
from memdiag.kernel.oomlog import OomParser
from memdiag.model.kill import OomReport
from memdiag.model.trace import Run, Trace
from memdiag.model.verdict import Diagnosis
from memdiag.report.curve import End, curve_of
from memdiag.report.finding import Finding, Killed, LastKill

MOST_RECENT = 20


def _reports(lines: Sequence[str]) -> list[OomReport]:
    text, parser = LogText(), OomParser()
    for line in lines:
        for record, stamp in text.split(line.encode("utf-8", "surrogateescape")):
            parser.feed(record, stamp)
    return parser.finish()


def _last_kill(trace: Trace) -> LastKill:
    told: list[tuple[float, Run, tuple[str, ...]]] = []
    for run in trace.runs:
        told += [(kill.t, run, kill.kernel_log) for kill in run.kills if kill.kernel_log]
        if run.end is not None and run.end.kernel_log:
            told.append((run.end.t, run, run.end.kernel_log))
    if not told:
        return LastKill(pod=trace.pod, node=trace.node)
    time, _, lines = max(told, key=lambda one: one[0])
    reports = _reports(lines)
    last = reports[-1] if reports else None
    return LastKill(
        time=time,
        pod=trace.pod,
        node=trace.node,
        victims=() if last is None else last.victims,
        tasks=() if last is None else last.tasks,
        kernel_log=lines,
    )


def finding_of(name: str, trace: Trace, found: Diagnosis, siblings: Sequence[Trace] = ()) -> Finding:
    """Return what is shown of a diagnosed trace; `siblings` are the other replicas that spoke."""
    curve = curve_of(trace)
    kills = [
        Killed(None if run.started is None else run.started + age, trace.pod, _what(run.end, age == run.kills[-1]))
        for run in curve.runs
        for age in run.kills
    ]
    newest_first = tuple(reversed(kills))
    return Finding(
        name=name,
        diagnosis=found,
        traces=(trace, *siblings),
        namespace=trace.namespace,
        workload_kind=trace.workload_kind,
        workload_name=trace.workload_name,
        container=trace.container,
        limit=curve.limit,
        request=trace.request_bytes,
        kills_total=len(kills) or None,
        last_kill_time=newest_first[0].time if newest_first else None,
        recent=newest_first[:MOST_RECENT],
        last_kill=_last_kill(trace),
    )


def _what(end: End, last: bool) -> str:
    return "the container" if last and end is End.KILLED else "a process; the container lived on"
