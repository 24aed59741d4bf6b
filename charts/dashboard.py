#!/usr/bin/env python3
"""Write the Grafana dashboard of the chart from the table of panels below, or check that the committed one follows."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memdiag.kube.generated import keep

PAGE = Path(__file__).resolve().parent / "memdiag/files/dashboard.json"
_WIDTH, _HEIGHT, _PER_ROW = 8, 8, 3
_NAMESPACE = 'namespace=~"$namespace"'
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Panel:
    """One graph: `queries` are PromQL and their legends; `unit` is Grafana's name of it."""

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    stacked: bool = False
    description: str = ""


def _rate(metric: str, by: str, more: str = "") -> str:
    return f"sum by ({by}) (increase({metric}{{{_NAMESPACE}{more}}}[$__rate_interval]))"


def _quantile(share: float, of: str = "memdiag_kill_to_diagnosis_seconds") -> str:
    rates = f"rate({of}_bucket{{{_NAMESPACE}}}[$__rate_interval])"
    return f"histogram_quantile({share}, sum by (le) ({rates}))"


ROWS: dict[str, tuple[Panel, ...]] = {
    "Kills and verdicts": (
        Panel("Kills by kind", ((_rate("memdiag_incidents_total", "kind"), "{{kind}}"),), stacked=True),
        Panel(
            "Kills by the limit that was hit",
            ((_rate("memdiag_incidents_total", "limit_hit"), "{{limit_hit}}"),),
            stacked=True,
            description="Node and Ancestor are nobody's own fault: see docs/causes/node-pressure.md.",
        ),
        Panel("Verdicts by cause", ((_rate("memdiag_diagnoses_total", "cause"), "{{cause}}"),), stacked=True),
    ),
    "Is memdiag keeping up": (
        Panel(
            "From the kill to the diagnosis",
            ((_quantile(0.5), "median"), (_quantile(0.9), "9 in 10"), (_quantile(0.99), "99 in 100")),
            unit="s",
        ),
        Panel(
            "Age of the oldest waiting report",
            ((f"max(memdiag_report_queue_age_seconds{{{_NAMESPACE}}})", "age"),),
            "s",
        ),
        Panel(
            "Reports under way, events waiting",
            (
                (f"sum(memdiag_report_queue_depth{{{_NAMESPACE}}})", "reports"),
                (f"sum(memdiag_events_waiting{{{_NAMESPACE}}})", "events"),
            ),
        ),
        Panel("Reports by outcome", ((_rate("memdiag_reports_total", "outcome"), "{{outcome}}"),), stacked=True),
        Panel(
            "Ends with 137 that the API does not call OOMKilled",
            ((_rate("memdiag_suspects_total", "outcome"), "{{outcome}}"),),
        ),
        Panel("Events by outcome", ((_rate("memdiag_events_total", "outcome"), "{{outcome}}"),), stacked=True),
    ),
    "Slack": (
        Panel(
            "Messages by kind and outcome", ((_rate("memdiag_alerts_total", "kind, outcome"), "{{kind}} {{outcome}}"),)
        ),
        Panel("Messages waiting", ((f"sum(memdiag_alerts_waiting{{{_NAMESPACE}}})", "messages"),)),
        Panel(
            "From the kill to the first message",
            tuple(
                (_quantile(share, "memdiag_kill_to_alert_seconds"), name)
                for share, name in ((0.5, "median"), (0.99, "99 in 100"))
            ),
            unit="s",
        ),
    ),
    "The agents": (
        Panel(
            "Kills seen by agents",
            (
                (_rate("memdiag_agent_kills_total", "pod"), "{{pod}}"),
                (_rate("memdiag_agent_kills_found_late_total", "pod"), "{{pod}}, of before its start"),
            ),
        ),
        Panel(
            "Kills that no report tells of",
            (
                (_rate("memdiag_agent_kills_missed_total", "pod"), "{{pod}}, in pods"),
                (_rate("memdiag_agent_kills_outside_pods_total", "pod"), "{{pod}}, outside of pods"),
            ),
            description="Outside of pods: the node's services. In pods: docs/runbooks.md, MemdiagKillsMissed.",
        ),
        Panel("Trends that reach the limit", ((_rate("memdiag_agent_trends_total", "pod"), "{{pod}}"),)),
        Panel(
            "Reports of agents",
            tuple(
                (f"sum(increase(memdiag_agent_reports_{what}_total{{{_NAMESPACE}}}[$__rate_interval]))", what)
                for what in ("delivered", "thinned", "rejected", "dropped")
            ),
        ),
        Panel(
            "Age of the oldest undelivered report",
            ((f"max by (pod) (memdiag_agent_oldest_report_age_seconds{{{_NAMESPACE}}})", "{{pod}}"),),
            "s",
        ),
        Panel(
            "Undelivered reports",
            (
                (f"sum by (pod) (memdiag_agent_spool_reports{{{_NAMESPACE}}})", "{{pod}}, waiting"),
                (f"sum by (pod) (memdiag_agent_dead_letters{{{_NAMESPACE}}})", "{{pod}}, refused"),
            ),
        ),
        Panel("Their size", ((f"sum by (pod) (memdiag_agent_spool_bytes{{{_NAMESPACE}}})", "{{pod}}"),), "bytes"),
        Panel("Containers sampled", ((f"sum by (pod) (memdiag_agent_containers{{{_NAMESPACE}}})", "{{pod}}"),)),
        Panel(
            "Agents that cannot read the kernel's log",
            ((f"count(memdiag_agent_kernel_log_readable{{{_NAMESPACE}}} == 0)", "agents"),),
        ),
        Panel(
            "Since the last sample, and the last delivery",
            (
                (f"max(memdiag_agent_last_sample_age_seconds{{{_NAMESPACE}}})", "sample"),
                (f"max(memdiag_agent_last_delivery_age_seconds{{{_NAMESPACE}}})", "delivery"),
            ),
            "s",
        ),
        Panel(
            "Inotify: watches refused, queues run over",
            (
                (_rate("memdiag_agent_watches_refused_total", "pod"), "{{pod}}, refused"),
                (_rate("memdiag_agent_watch_overflows_total", "pod"), "{{pod}}, run over"),
            ),
        ),
    ),
    "The operator itself": (
        Panel("API server's errors by code", ((_rate("memdiag_api_errors_total", "code"), "{{code}}"),), stacked=True),
        Panel(
            "Watches begun anew",
            ((_rate("memdiag_watch_restarts_total", "collection, reason"), "{{collection}} {{reason}}"),),
            stacked=True,
        ),
        Panel("Pods followed", ((f"sum(memdiag_pods{{{_NAMESPACE}}})", "pods"),)),
        Panel(
            "Resident memory",
            ((f"process_resident_memory_bytes{{{_NAMESPACE}}} and on (instance) memdiag_pods", "{{pod}}"),),
            "bytes",
        ),
        Panel(
            "CPU",
            (
                (
                    f"rate(process_cpu_seconds_total{{{_NAMESPACE}}}[$__rate_interval]) and on (instance) memdiag_pods",
                    "{{pod}}",
                ),
            ),
            "percentunit",
        ),
        Panel("Changes of Resolved", ((_rate("memdiag_resolutions_total", "change"), "{{change}}"),), stacked=True),
        Panel(
            "Objects deleted by retention",
            ((_rate("memdiag_retention_deleted_total", "bound"), "{{bound}}"),),
            stacked=True,
        ),
    ),
}


def _panel(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    stacking = {"mode": "normal" if panel.stacked else "none"}
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": _DATASOURCE,
        "gridPos": {"h": _HEIGHT, "w": _WIDTH, "x": x, "y": y},
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": {"fillOpacity": 15, "stacking": stacking}},
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": _DATASOURCE, "expr": query, "legendFormat": legend}
            for place, (query, legend) in enumerate(panel.queries)
        ],
    }


def _variable(name: str, label: str, kind: str, query: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "label": label, "type": kind, "query": query, "refresh": 1, "hide": 0, **more}


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        head = {"id": len(panels) + 1, "type": "row", "title": title, "collapsed": False, "panels": []}
        panels.append({**head, "gridPos": {"h": 1, "w": _WIDTH * _PER_ROW, "x": 0, "y": y}})
        y += 1
        for place, panel in enumerate(row):
            x = _WIDTH * (place % _PER_ROW)
            panels.append(_panel(panel, len(panels) + 1, x, y + _HEIGHT * (place // _PER_ROW)))
        y += _HEIGHT * -(-len(row) // _PER_ROW)
    namespaces = _variable(
        "namespace",
        "memdiag's namespace",
        "query",
        "label_values(memdiag_pods, namespace)",
        datasource=_DATASOURCE,
        includeAll=True,
        multi=True,
        current={"text": "All", "value": "$__all"},
    )
    return {
        "uid": "memdiag",
        "title": "memdiag",
        "tags": ["memdiag", "memory"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {"list": [_variable("datasource", "Data source", "datasource", "prometheus"), namespaces]},
        "panels": panels,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 1 when a check found drift."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the file is not up to date")
    parser.add_argument("--out", type=Path, default=PAGE, metavar="FILE", help="the dashboard")
    arguments = parser.parse_args(argv)
    wanted = json.dumps(dashboard(), indent=1) + "\n"
    return keep(arguments.out, wanted, check=arguments.check, command="python charts/dashboard.py")


if __name__ == "__main__":
    sys.exit(main())
