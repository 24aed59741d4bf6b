"""Write docs/crds.md, the reference of our kinds, from their definitions, or check that the committed page follows."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from memdiag.kube.generated import keep
from memdiag.kube.kinds import API_VERSION, CATEGORY, KINDS, Kind, definition

_HEAD = f"""# The kinds

Generated from operator/memdiag/kube by: python -m memdiag.kube.crddoc

`{API_VERSION}`, all namespaced, all in the category `{CATEGORY}`: `kubectl get {CATEGORY} -A` lists them.
Every string and list is bounded; the bounds are in [crds/](../crds). A field that is not there is not known, and is
never to be read as 0. Fields marked `*` are required. `kubectl explain memorydiagnosis.status --recursive` says the
same of the version that a cluster has.
"""
_INTRO = {
    "MemoryReport": "Written by agents, in memdiag's own namespace only, and deleted by the operator once used. "
    "For nobody else to read.",
    "MemoryIncident": "Written by the operator, in the pod's namespace. Roles that may `view` it may read it.",
    "MemoryDiagnosis": "Written by the operator, in the workload's namespace. `status` is the operator's; of `spec` "
    "`mutedUntil` and `headroomPercent` are yours, if your role may `edit` the namespace.",
}


def _type(node: Mapping[str, Any]) -> str:
    if "items" in node:
        return f"list of {_type(node['items'])}"
    if isinstance(node.get("additionalProperties"), Mapping):
        return f"map of {_type(node['additionalProperties'])}"
    if node.get("format") == "date-time":
        return "time"
    return str(node.get("type", "any"))


def _words(node: Mapping[str, Any]) -> str:
    said = str(node.get("description", "")).replace("|", "\\|").replace("\n", " ")
    values = node.get("enum") or node.get("items", {}).get("enum")
    if values:
        said += (" " if said else "") + "One of: " + ", ".join(f"`{value}`" for value in values) + "."
    if "default" in node:
        said += f" Default: `{node['default']}`."
    return said


def _fields(node: Mapping[str, Any], above: str = "") -> Iterator[str]:
    required = set(node.get("required", ()))
    for name, inner in node.get("properties", {}).items():
        path = f"{above}.{name}" if above else name
        mark = " *" if name in required else ""
        yield f"| `{path}`{mark} | {_type(inner)} | {_words(inner)} |"
        element = inner.get("items", inner)
        if isinstance(element.get("additionalProperties"), Mapping):
            element = element["additionalProperties"]
        yield from _fields(element, path + ("[]" if "items" in inner else ""))


def _kind(kind: Kind) -> str:
    version = definition(kind)["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    columns = ", ".join(f"{column.name.upper()}{' (wide)' if column.wide else ''}" for column in kind.columns)
    parts = [
        f"## {kind.name}",
        f"{schema['description']} {_INTRO[kind.name]}",
        f"`kubectl get {kind.plural}` (short: {', '.join(f'`{name}`' for name in kind.short_names)}) shows {columns}.",
    ]
    if kind.immutable_spec:
        parts.append("The API server refuses every change of `spec`.")
    fields = [row for part in ("spec", "status") for row in _part(schema, part)]
    parts.append("\n".join(["| field | type | what |", "|---|---|---|", *fields]))
    return "\n\n".join(parts)


def _part(schema: Mapping[str, Any], part: str) -> Iterator[str]:
    node = schema["properties"].get(part)
    if node is not None:
        yield f"| `{part}` | object | {_words(node)} |"
        yield from _fields(node, part)


def render() -> str:
    """Return the page; the kind that people read most stands first."""
    return "\n\n".join([_HEAD.rstrip(), *(_kind(kind) for kind in reversed(KINDS))]) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 1 when a check found drift."""
    parser = argparse.ArgumentParser(prog="python -m memdiag.kube.crddoc", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/crds.md"), metavar="FILE", help="the page")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the page is not up to date")
    arguments = parser.parse_args(argv)
    return keep(arguments.out, render(), check=arguments.check, command="python -m memdiag.kube.crddoc")


if __name__ == "__main__":
    raise SystemExit(main())
