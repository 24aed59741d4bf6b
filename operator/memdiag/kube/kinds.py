"""Our three kinds: names, scope, printed columns and rules of each custom resource definition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from memdiag.kube.memory_diagnosis import MemoryDiagnosis
from memdiag.kube.memory_incident import MemoryIncident
from memdiag.kube.memory_report import MemoryReport
from memdiag.kube.schema import structural
from memdiag.model.report import GROUP, VERSION

API_VERSION = f"{GROUP}/{VERSION}"
CATEGORY = "memdiag"


@dataclass(frozen=True, slots=True)
class Column:
    """One printed column; `wide` ones are shown with `-o wide` only."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """One custom resource definition."""

    model: type[BaseModel]
    plural: str
    short_names: tuple[str, ...]
    immutable_spec: str | None
    """What is said when somebody changes the spec, None when it may change."""
    columns: tuple[Column, ...]

    @property
    def name(self) -> str:
        """The kind's name."""
        return self.model.__name__

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """Return the REST path of the collection, or of one object."""
        middle = "" if namespace is None else f"/namespaces/{namespace}"
        return f"/apis/{API_VERSION}{middle}/{self.plural}" + ("" if name is None else f"/{name}")


_AGE = Column("Age", ".metadata.creationTimestamp", "date")

REPORT = Kind(
    MemoryReport,
    "memoryreports",
    ("mrep",),
    "a report is a fact: its spec cannot be changed",
    (
        Column("Node", ".spec.node"),
        Column("Limit-Hit", ".spec.kill.limitHit"),
        Column("Pod-UID", ".spec.podUID"),
        Column("Killed", ".spec.kill.time", "date"),
        Column("Container-ID", ".spec.containerID", wide=True),
        _AGE,
    ),
)
INCIDENT = Kind(
    MemoryIncident,
    "memoryincidents",
    ("minc",),
    "an incident is a fact: its spec cannot be changed",
    (
        Column("Pod", ".spec.pod.name"),
        Column("Container", ".spec.container"),
        Column("Kill", ".spec.kill.kind"),
        Column("Limit-Hit", ".spec.kill.limitHit"),
        Column("API-Reason", ".status.podStatus.reason"),
        Column("Victim", ".spec.kill.victim"),
        Column("RSS", ".spec.kill.victimRSS"),
        Column("Limit", ".spec.limits.limit"),
        Column("Node", ".spec.node"),
        Column("Workload", ".spec.workload.name", wide=True),
        Column("Exit-Code", ".status.podStatus.exitCode", "integer", wide=True),
        Column("Source", ".spec.source", wide=True),
        Column("Killed", ".spec.kill.time", "date", wide=True),
        _AGE,
    ),
)
DIAGNOSIS = Kind(
    MemoryDiagnosis,
    "memorydiagnoses",
    ("mdiag",),
    None,
    (
        Column("Workload", ".spec.targetRef.name"),
        Column("Container", ".spec.container"),
        Column("Cause", ".status.cause"),
        Column("Confidence", ".status.confidencePercent", "integer"),
        Column("Limit", ".status.limit"),
        Column("Recommended", ".status.recommended"),
        Column("Kills", ".status.kills.total", "integer"),
        Column("Last-Kill", ".status.kills.lastTime", "date"),
        Column("Kind", ".spec.targetRef.kind", wide=True),
        Column("Mechanism", ".status.mechanism", wide=True),
        Column("Resolved", '.status.conditions[?(@.type=="Resolved")].status', wide=True),
        Column("Summary", ".status.summary", wide=True),
        _AGE,
    ),
)
KINDS = (REPORT, INCIDENT, DIAGNOSIS)


def definition(kind: Kind) -> dict[str, Any]:
    """Return the CustomResourceDefinition of a kind."""
    schema = structural(kind.model)
    properties = {
        "apiVersion": {"type": "string", "description": "Version of the schema of this object."},
        "kind": {"type": "string", "description": "Kind of this object."},
        "metadata": {"type": "object"},
        **schema["properties"],
    }
    if kind.immutable_spec is not None:
        properties["spec"] = {
            **properties["spec"],
            # one author writes it once: without this the API server keeps who set each of its fields
            "x-kubernetes-map-type": "atomic",
            "x-kubernetes-validations": [
                *properties["spec"].get("x-kubernetes-validations", ()),
                {"rule": "self == oldSelf", "message": kind.immutable_spec},
            ],
        }
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {**schema, "properties": properties}},
        "additionalPrinterColumns": [
            {
                "name": column.name,
                "type": column.type,
                "jsonPath": column.path,
                **({"priority": 1} if column.wide else {}),
            }
            for column in kind.columns
        ],
    }
    if "status" in properties:
        version["subresources"] = {"status": {}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}", "labels": {"app.kubernetes.io/part-of": "memdiag"}},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": list(kind.short_names),
                "categories": [CATEGORY],
            },
            "versions": [version],
        },
    }
