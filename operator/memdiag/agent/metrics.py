"""The agent's metrics in Prometheus' text format, from the same signals as its health. Standard library only."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from memdiag.agent.health import Signals

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric without labels. `value` None: not known, so the series is left out."""

    name: str
    kind: str
    text: str
    value: float | None


def of_signals(found: Signals) -> list[Metric]:
    """Return the agent's metrics."""
    counts = found.spool

    def gauge(name: str, value: float | None, text: str) -> Metric:
        return Metric(f"memdiag_agent_{name}", "gauge", text, value)

    def counter(name: str, value: float | None, text: str) -> Metric:
        return Metric(f"memdiag_agent_{name}_total", "counter", text, value)

    return [
        gauge("last_sample_age_seconds", found.last_sample, "Seconds since every container was last read."),
        gauge("last_delivery_age_seconds", found.last_delivery, "Seconds since the API server last took a report."),
        gauge("oldest_report_age_seconds", found.oldest_report or 0.0, "For how long the oldest report waits."),
        gauge("spool_reports", found.spool_reports, "Reports that wait for delivery."),
        gauge("spool_bytes", found.spool_bytes, "Their size on disk."),
        gauge("dead_letters", found.dead_letters, "Refused reports in the dead-letter folder, at most 100."),
        gauge("containers", found.containers, "Containers that are sampled."),
        gauge("kernel_log_readable", float(found.kernel_log is None), "1 where the kernel's log can be read."),
        counter("kills", found.kills, "Kills told since the agent started, folded ones included."),
        counter("kills_found_late", found.kills_late, "Of these, kills of before it started."),
        counter("kills_missed", found.kills_missed, "Processes that the kernel counts as killed in pods, never told."),
        counter("kills_outside_pods", found.kills_outside, "Processes killed outside of pods (/proc/vmstat oom_kill)."),
        counter("trends", found.trends, "Reports of a trend that reaches the limit within the hour."),
        counter("reports_delivered", counts.delivered, "Reports that the API server has."),
        counter("reports_rejected", counts.rejected, "Reports that it refused for good."),
        counter("reports_thinned", counts.thinned, "Reports that lost history or more while they waited."),
        counter("reports_dropped", counts.dropped, "Kills that were lost because 20,000 reports waited."),
        counter("watches_refused", found.watches_refused, "Inotify watches that the kernel allowed no more."),
        counter("watch_overflows", found.overflows, "Times that the inotify queue ran over and all was read anew."),
    ]


def of_process() -> list[Metric]:
    """Return what the agent itself costs: CPU seconds, resident bytes, open files."""
    times = os.times()
    page = os.sysconf("SC_PAGE_SIZE")
    try:
        resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * page
        files = sum(1 for _ in Path("/proc/self/fd").iterdir())
    except (OSError, ValueError, IndexError):
        resident = files = 0
    return [
        Metric("process_cpu_seconds_total", "counter", "CPU time of the agent.", times.user + times.system),
        Metric("process_resident_memory_bytes", "gauge", "Resident memory of the agent.", resident or None),
        Metric("process_open_fds", "gauge", "Open files of the agent.", files or None),
    ]


def render(metrics: Sequence[Metric]) -> str:
    """Return metrics in the text format; whole numbers without a point."""
    lines = []
    for metric in metrics:
        if metric.value is None:
            continue
        value = str(int(metric.value)) if float(metric.value).is_integer() else f"{metric.value:.3f}"
        lines += [
            f"# HELP {metric.name} {metric.text}",
            f"# TYPE {metric.name} {metric.kind}",
            f"{metric.name} {value}",
        ]
    return "\n".join(lines) + "\n"


def expose(found: Signals) -> bytes:
    """Return what /metrics serves."""
    return render([*of_signals(found), *of_process()]).encode("ascii")


def page() -> str:
    """Return the rows of the documentation's table."""
    empty = Signals(last_sample=0.0, oldest_report=None, last_delivery_turn=None, containers=0)
    found = [*of_signals(empty), *of_process()]
    return "\n".join(f"| `{metric.name}` | {metric.kind} | {metric.text} |" for metric in found) + "\n"
