"""What the agent is told: its options, their defaults and what they mean."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class Config:
    """The agent's options. `api_server` None: nothing is delivered, reports wait in the spool."""

    cgroup_root: str
    proc_root: str
    state_dir: Path
    node: str
    namespace: str
    api_server: str | None
    token_file: Path
    ca_file: Path
    health_host: str
    health_port: int
    kernel_log: str = "syslog"
    """Where the kernel's log is read: syslog, kmsg or none."""


class ConfigError(Exception):
    """An option is missing or wrong; says which and what to do."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the agent's options."""
    add = parser.add_argument
    add("--cgroup-root", default="/sys/fs/cgroup", help="where the node's cgroup v2 is mounted (default: %(default)s)")
    add("--proc-root", default="/proc", help="where the node's /proc is mounted (default: %(default)s)")
    add(
        "--state-dir",
        default="/var/lib/memdiag",
        help="folder that survives the agent: history, ledger of kills, undelivered reports (default: %(default)s)",
    )
    add("--node", default=os.environ.get("NODE_NAME"), help="this node's name (default: $NODE_NAME)")
    add("--namespace", help="where reports are created (default: the service account's namespace)")
    add(
        "--api-server",
        default=_api_server(),
        help="address of the API server, https://host:port; 'none' keeps reports in the spool "
        "(default: from $KUBERNETES_SERVICE_HOST and _PORT)",
    )
    add("--token-file", default=str(_ACCOUNT / "token"), help="bearer token, read anew for each request")
    add("--ca-file", default=str(_ACCOUNT / "ca.crt"), help="certificates that the API server is checked against")
    add(
        "--kernel-log",
        choices=("syslog", "kmsg", "none"),
        default="syslog",
        help="where the kernel's log is read: syslog(2) needs the SYSLOG capability, /dev/kmsg a privileged container; "
        "none leaves the counters alone, which name no victim (default: %(default)s)",
    )
    add("--health-host", default="", help="address that /healthz, /readyz and /metrics listen on (default: all)")
    add("--health-port", type=int, default=0, help="port of /healthz, /readyz and /metrics, 0 for none (default: 0)")


def _api_server() -> str | None:
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        return None
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def from_arguments(arguments: argparse.Namespace) -> Config:
    """Return the options as the agent uses them. Raises ConfigError with the remedy."""
    if not arguments.node:
        raise ConfigError("the node's name is not known: give --node or set NODE_NAME (spec.nodeName)")
    if not Path(arguments.cgroup_root, "cgroup.controllers").exists():
        raise ConfigError(
            f"--cgroup-root {arguments.cgroup_root} is no cgroup v2 root (it has no cgroup.controllers): "
            "memdiag needs a node on cgroup v2, and its /sys/fs/cgroup mounted there"
        )
    if not Path(arguments.proc_root, "sys/kernel/random/boot_id").exists():
        raise ConfigError(f"--proc-root {arguments.proc_root} is no /proc (it has no sys/kernel/random/boot_id)")
    api_server = None if arguments.api_server in (None, "", "none") else arguments.api_server.rstrip("/")
    if api_server is not None and not api_server.startswith(("https://", "http://")):
        raise ConfigError(f"--api-server {api_server}: expected https://host:port")
    namespace = arguments.namespace
    if not namespace:
        try:
            namespace = (_ACCOUNT / "namespace").read_text(encoding="ascii").strip()
        except OSError as error:
            raise ConfigError(
                f"the namespace for reports is not known ({error.strerror}: {_ACCOUNT}/namespace): give --namespace"
            ) from error
    return Config(
        cgroup_root=arguments.cgroup_root.rstrip("/"),
        proc_root=arguments.proc_root.rstrip("/"),
        state_dir=Path(arguments.state_dir),
        node=arguments.node,
        namespace=namespace,
        api_server=api_server,
        token_file=Path(arguments.token_file),
        ca_file=Path(arguments.ca_file),
        health_host=arguments.health_host,
        health_port=arguments.health_port,
        kernel_log=arguments.kernel_log,
    )
