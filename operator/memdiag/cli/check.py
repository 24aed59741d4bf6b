"""`memdiag check`: does an installation work? What `helm test` runs, and what people run when nothing is diagnosed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from memdiag.cli.target import configure_cluster, explained
from memdiag.kube.api import ApiError, Body, HttpApi, JsonObject, NotFoundError, PermanentError, connect
from memdiag.kube.kinds import KINDS
from memdiag.kube.kubeconfig import chosen_kubeconfig
from memdiag.model.report import GROUP, VERSION
from memdiag.report.words import printable

_NOBODYS_NODE = "memdiag-check.invalid"
"""No node has this name: `.invalid` is reserved (RFC 2606)."""


class Asked(Protocol):
    """What is asked of the API server: `memdiag.kube.api.HttpApi`, or less."""

    def get(self, path: str, query: Mapping[str, str] | None = None) -> JsonObject:
        """Return what a GET answers."""

    def create(self, path: str, body: Body) -> JsonObject:
        """Create an object in a collection."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `remedy` is empty where all is well or nothing is known."""

    what: str
    said: str
    remedy: str = ""
    known: bool = True

    def __str__(self) -> str:
        word = "FAIL" if self.remedy else "ok" if self.known else "-"
        return f"{word:<4} {self.what}: {printable(self.said)}" + (f"\n     {self.remedy}" if self.remedy else "")


@dataclass(frozen=True, slots=True)
class Installation:
    """Which one is looked at."""

    namespace: str
    release: str | None = None
    agents: bool = True
    """Agents are meant to run."""

    def selector(self, component: str) -> dict[str, str]:
        """Return the query that finds one component's workload."""
        labels = {"app.kubernetes.io/part-of": "memdiag", "app.kubernetes.io/component": component}
        if self.release:
            labels["app.kubernetes.io/instance"] = self.release
        return {"labelSelector": ",".join(f"{name}={value}" for name, value in labels.items())}


def kinds(api: Asked, installation: Installation) -> Finding:
    """Look whether the API server serves the kinds."""
    del installation
    try:
        resources = api.get(f"/apis/{GROUP}/{VERSION}")["resources"]
    except NotFoundError as error:
        return Finding("kinds", str(error), "install them: helm upgrade ... --set crds.enabled=true")
    served = {each["name"] for each in resources}
    absent = [kind.plural for kind in KINDS if kind.plural not in served]
    if absent:
        return Finding("kinds", f"not served: {', '.join(absent)}", "install them: --set crds.enabled=true")
    return Finding("kinds", f"{GROUP}/{VERSION} is served")


def operator(api: Asked, installation: Installation) -> Finding:
    """Look whether the operator is available."""
    found = _workloads(api, "deployments", "operator", installation)
    where = f"in namespace {installation.namespace}"
    if not found:
        return Finding("operator", f"no Deployment of memdiag {where}", "name another one with --namespace")
    available = found[0].get("status", {}).get("availableReplicas", 0)
    name = found[0]["metadata"]["name"]
    if not available:
        return Finding(
            "operator", f"{name} is not available", f"kubectl -n {installation.namespace} logs deployment/{name}"
        )
    return Finding("operator", f"{name} is available")


def agents(api: Asked, installation: Installation) -> Finding:
    """Look whether an agent is ready on every node that should have one."""
    found = _workloads(api, "daemonsets", "agent", installation)
    if not found:
        remedy = "set agent.enabled=true" if installation.agents else ""
        return Finding("agents", "none: kills are known from pod status only", remedy)
    status, name = found[0].get("status", {}), found[0]["metadata"]["name"]
    wanted, ready = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
    said = f"{name} is ready on {ready} of {wanted} nodes"
    if ready == wanted > 0:
        return Finding("agents", said)
    look = f"kubectl -n {installation.namespace} describe daemonset {name}: its events say what stands in the way"
    return Finding("agents", said, f"{look} (often Pod Security or a resource quota)")


def policy(api: Asked, installation: Installation) -> Finding:
    """Look whether a forged report is refused; it is tried dry, so nothing is ever created."""
    report = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "MemoryReport",
        "metadata": {"name": "memdiag-check"},
        "spec": {
            "node": _NOBODYS_NODE,
            "bootID": "00000000-0000-0000-0000-000000000000",
            "podUID": "00000000-0000-0000-0000-000000000000",
            "containerID": "0" * 64,
            "ordinal": 1,
            "kill": {"time": "2026-01-01T00:00:00.000000Z", "limitHit": "Unknown"},
        },
    }
    path = f"/apis/{GROUP}/{VERSION}/namespaces/{installation.namespace}/memoryreports?dryRun=All"
    try:
        api.create(path, report)
    except PermanentError as error:
        if "ValidatingAdmissionPolicy" in str(error):
            return Finding("policy", "a forged report is refused")
        if error.status == 403:
            return Finding("policy", "not tried: this account may not create reports at all", known=False)
        return Finding("policy", str(error), "the report was refused, yet not by the admission policy")
    return Finding(
        "policy",
        "a forged report is accepted",
        "the ValidatingAdmissionPolicy or its binding is gone: helm upgrade brings them back",
    )


LOOKS: tuple[Callable[[Asked, Installation], Finding], ...] = (kinds, operator, agents, policy)


def _workloads(api: Asked, plural: str, component: str, installation: Installation) -> list[JsonObject]:
    path = f"/apis/apps/v1/namespaces/{installation.namespace}/{plural}"
    items: list[JsonObject] = api.get(path, installation.selector(component))["items"]
    return items


def findings(api: Asked, installation: Installation) -> Iterator[Finding]:
    """Yield what each look found; what the API server refuses is a finding too.

    Raises ApiError when it does not answer at all.
    """
    for look in LOOKS:
        try:
            yield look(api, installation)
        except ApiError as error:
            if look is kinds and error.status is None and not isinstance(error, PermanentError):
                raise
            yield Finding(look.__name__, explained(error), "this could not be looked at")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "-n", "--namespace", default="memdiag", help="where memdiag is installed (default: %(default)s)"
    )
    parser.add_argument("--release", help="the Helm release (default: whichever is there)")
    parser.add_argument("--no-agents", action="store_true", help="none are meant to run (agent.enabled=false)")
    configure_cluster(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print a line for each thing; return 1 when one is not as it should be, 2 when no cluster can be asked."""
    installation = Installation(arguments.namespace, arguments.release, agents=not arguments.no_agents)
    good = True
    try:
        for each in findings(
            HttpApi(connect(chosen_kubeconfig(arguments.kubeconfig), arguments.context)), installation
        ):
            print(each, flush=True)
            good = good and not each.remedy
    except ApiError as error:
        print(f"memdiag check: {explained(error)}", file=sys.stderr)
        return 2
    return 0 if good else 1
