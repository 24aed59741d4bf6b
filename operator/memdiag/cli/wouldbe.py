"""What would be diagnosed of a container that was killed: from the pods' status and, where there is one, a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from memdiag.cli.offline import finding_of
from memdiag.cli.oomkills import Killed
from memdiag.cli.storekills import HOUR, within
from memdiag.controller.diagnoser import Subject
from memdiag.controller.longhistory import WINDOW, HistoryReader, LongHistory, Question, joined, step_for
from memdiag.controller.surroundings import Place, SurroundingsReader
from memdiag.controller.traces import traces
from memdiag.diagnosis import diagnose
from memdiag.diagnosis.series import limit_of
from memdiag.model.trace import Run, RunEnd, Trace
from memdiag.report.curve import End, curve_of
from memdiag.report.finding import Finding

_OOM_KILLED = "OOMKilled"
_SIGKILLED = 137
_REPEATED = 5 * 60.0
"""Seconds for which cAdvisor may tell of a container that is gone."""


@dataclass(frozen=True, slots=True)
class WouldBe:
    """The finding, and when the container was killed: Unix seconds, newest first."""

    subject: Subject
    finding: Finding
    kills: tuple[float, ...]


def _marked(trace: Trace, hours: Sequence[float], slack: float) -> Trace:
    """Return a trace whose runs say that they were killed where the store does: it keeps no reason beside a run."""

    def of(run: Run) -> Run:
        end = run.end
        if end is None or end.reason is not None or end.killed is not None or not within(hours, end.t, slack):
            return run
        return replace(run, end=replace(end, reason=_OOM_KILLED, exit_code=_SIGKILLED))

    return replace(trace, runs=tuple(of(run) for run in trace.runs))


def _bare(killed: Killed, pod: str, history: LongHistory, since: float) -> Trace:
    """Return the trace of a pod of which only the store tells; the hour of its kill, where it has no run of it."""
    subject, first = killed.subject, killed.hours[pod][0]
    runs = history.pods.get(pod, ())
    if not runs and first > since + HOUR:  # what was so from the beginning may be of long before
        runs = (Run(end=RunEnd(t=first - HOUR / 2, reason=_OOM_KILLED, exit_code=_SIGKILLED)),)
    return Trace(
        runs,
        namespace=subject.namespace,
        pod=pod,
        container=subject.container,
        workload_kind=subject.workload.kind,
        workload_name=subject.workload.name,
    )


def _last(trace: Trace) -> float:
    return max(_killed_at(trace), default=0.0)


def _killed_at(trace: Trace) -> list[float]:
    """Return when something of a trace was killed or evicted, Unix seconds."""
    runs = [run for run in curve_of(trace).runs if run.started is not None]
    ages = [(run, (run.duration,) if run.end is End.EVICTED else run.kills) for run in runs]
    return [(run.started or 0.0) + age for run, found in ages for age in found]


def _all_traces(killed: Killed, history: LongHistory, step: float, since: float) -> list[Trace]:
    """Return a trace a pod, the one killed last first."""
    found = traces(killed.subject.namespace, killed.incidents)
    there = {trace.pod for trace in found}
    found += [_bare(killed, pod, history, since) for pod in killed.hours if pod not in there]
    marked = [_marked(one, killed.hours.get(one.pod or "", ()), step + _REPEATED) for one in joined(found, history)]
    return sorted(marked, key=_last, reverse=True)


def would_be(killed: Killed, around: SurroundingsReader, history: HistoryReader | None, now: float) -> WouldBe | None:
    """Return what would be diagnosed, None where no kill is of the last two weeks (`now` is Unix seconds).

    What cannot be read is among what is missing.
    """
    subject, workload = killed.subject, killed.subject.workload
    replicas = len(killed.alike) or 1
    question = Question(subject.namespace, workload.kind, workload.name, subject.container, replicas)
    longer = LongHistory({}) if history is None else history.of(question)
    first, *others = _all_traces(killed, longer, step_for(replicas), now - WINDOW)
    kills = tuple(sorted((moment for trace in (first, *others) for moment in _killed_at(trace)), reverse=True))
    if not kills:
        return None
    limit = limit_of(first)
    place = Place(subject.namespace, workload, subject.container, first.node, limit, killed.alike, killed.pod_limit)
    surroundings, missing = around.of(place, None)
    found = diagnose(first, others, surroundings=surroundings)
    found = replace(found, missing=tuple(dict.fromkeys((*found.missing, *longer.missing, *missing))))
    finding = finding_of(subject.name, first, found, others)
    finding = replace(finding, limit=limit, kills_total=len(kills), last_kill_time=kills[0])
    return WouldBe(subject, finding, kills)
