"""What the operator's command line says."""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from memdiag.controller.kills import KEPT_INCIDENTS
from memdiag.controller.prometheus import StoreOptions

_MOST_KEPT = 200
"""Of one workload's container: a diagnosis names all that it counts."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Incidents that are kept; the oldest go first, and none that is not part of a diagnosis yet."""

    workload: int = KEPT_INCIDENTS
    namespace: int = 500
    cluster: int = 5_000


@dataclass(frozen=True, slots=True)
class Options:
    """How this operator is to behave."""

    namespace: str
    """memdiag's own, where the reports are."""
    health_port: int | None
    instance: str = "memdiag"
    """Who writes an Event: the pod's name."""
    service_account: str | None = None
    """The operator's own: its creation is the time of the installation."""
    second_witness: bool = True
    """Believe the pods' status where no agent spoke."""
    agents: bool = True
    """Agents run: that none reported a kernel kill means something."""
    include_namespaces: tuple[str, ...] = ()
    exclude_namespaces: tuple[str, ...] = ()
    namespace_selector: str = ""
    quiet_hours: float = 24.0
    keep: Keep = field(default_factory=Keep)
    store: StoreOptions | None = None
    """Where two weeks of the workloads' history may be asked for."""
    standby: bool = False
    """Others of the same installation may run: work only while holding the Lease."""
    alerts: Path | None = None
    """The settings of alerts; without them nobody is told."""
    alerts_secret: Path | None = None


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in (part.strip() for part in text.split(",")) if name)


def _number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isdecimal() and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text} is no whole number between {least} and {most}")
        return int(text)

    return read


def url(text: str) -> str:
    """Return the address of a store as it is. Raises argparse.ArgumentTypeError when it is none."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise argparse.ArgumentTypeError("it is no address such as https://prometheus.monitoring:9090")
    return text


def _hours(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 24 * 365:
        raise argparse.ArgumentTypeError(f"{text} is no number of hours between 0 and a year")
    return value


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--namespace",
        default=os.environ.get("POD_NAMESPACE"),
        help="memdiag's own namespace, where the agents' reports are (default: $POD_NAMESPACE)",
    )
    parser.add_argument(
        "--kubeconfig", type=Path, help="how to reach the API server (default: the service account of this pod)"
    )
    parser.add_argument(
        "--health-port",
        type=_number(1, 65535),
        metavar="PORT",
        help="serve /healthz, /readyz and /metrics there (default: do not)",
    )
    parser.add_argument(
        "--service-account",
        default=os.environ.get("POD_SERVICE_ACCOUNT"),
        metavar="NAME",
        help="the operator's own, in its namespace: kills older than it are summed up and not announced "
        "(default: $POD_SERVICE_ACCOUNT; without one every kill is announced)",
    )
    parser.add_argument(
        "--no-second-witness",
        action="store_true",
        help="make no incident from what a pod's status alone tells: OOMKilled, Evicted, ends with 137",
    )
    parser.add_argument(
        "--no-agents",
        action="store_true",
        help="no agent runs in this cluster: that none reported a kernel kill means nothing",
    )
    for word in ("include", "exclude"):
        parser.add_argument(
            f"--{word}-namespaces",
            type=_names,
            default=(),
            metavar="NAMES",
            help=f"{word} kills in these namespaces: names or patterns such as team-*, separated by commas",
        )
    parser.add_argument(
        "--namespace-selector", default="", metavar="LABELS", help="only namespaces with these labels, such as env=prod"
    )
    parser.add_argument(
        "--quiet-hours",
        type=_hours,
        default=24.0,
        metavar="HOURS",
        help="a diagnosis is resolved when its workload changed and lived so long without a kill (default: 24)",
    )
    _configure_store(parser)
    parser.add_argument(
        "--standby",
        action="store_true",
        help="work only while holding the Lease `memdiag-operator` in memdiag's namespace: for a second replica",
    )
    parser.add_argument(
        "--alerts", type=Path, metavar="FILE", help="settings of Slack alerts as JSON, as the chart writes them"
    )
    parser.add_argument(
        "--alerts-secret", type=Path, metavar="FILE", help="holds the bot token, or the incoming webhook's URL"
    )
    keep = Keep()
    for word, default, most in (
        ("workload", keep.workload, _MOST_KEPT),
        ("namespace", keep.namespace, 100_000),
        ("cluster", keep.cluster, 1_000_000),
    ):
        parser.add_argument(
            f"--keep-per-{word}" if word != "cluster" else "--keep-in-cluster",
            type=_number(1, most),
            default=default,
            metavar="COUNT",
            help=f"incidents kept of one {word}, the newest (default: {default})",
        )


def _configure_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--history-url",
        type=url,
        metavar="URL",
        help="a Prometheus-compatible store with cAdvisor's series: two weeks of a workload's working set, limits and "
        "restarts join the evidence (default: none)",
    )
    parser.add_argument("--history-ca-file", type=Path, metavar="FILE", help="authority that signed its certificate")
    parser.add_argument("--history-token-file", type=Path, metavar="FILE", help="bearer token, read at each request")
    parser.add_argument("--history-tenant", metavar="NAME", help="tenant, sent as X-Scope-OrgID")


def _store(arguments: argparse.Namespace) -> StoreOptions | None:
    if arguments.history_url is None:
        return None
    return StoreOptions(
        arguments.history_url, arguments.history_ca_file, arguments.history_token_file, arguments.history_tenant
    )


def options_of(arguments: argparse.Namespace) -> Options:
    """Return the options from the parsed command line."""
    return Options(
        namespace=arguments.namespace,
        health_port=arguments.health_port,
        instance=os.environ.get("POD_ID") or socket.gethostname(),
        service_account=arguments.service_account or None,
        second_witness=not arguments.no_second_witness,
        agents=not arguments.no_agents,
        include_namespaces=arguments.include_namespaces,
        exclude_namespaces=arguments.exclude_namespaces,
        namespace_selector=arguments.namespace_selector,
        quiet_hours=arguments.quiet_hours,
        keep=Keep(arguments.keep_per_workload, arguments.keep_per_namespace, arguments.keep_in_cluster),
        store=_store(arguments),
        standby=arguments.standby,
        alerts=arguments.alerts,
        alerts_secret=arguments.alerts_secret,
    )
