"""What the chart's tests share: running helm, and reading what it renders."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "charts/memdiag"
RELEASE = "r1"
NAMESPACE = "memdiag-system"
REPOSITORY = "image.repository=registry.example/memdiag"


def run_helm(helm: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run helm and return how it ended."""
    return subprocess.run([str(helm), *words], capture_output=True, text=True, check=False, timeout=60)


def documents(text: str) -> list[dict[str, Any]]:
    """Return the objects of a rendered text, by the YAML library's C parser: the kinds alone are 100 KB."""
    return [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document]


def validate(each: Mapping[str, Any]) -> None:
    """Check an object by Kubernetes's own schema of its kind, the same content once. Raises ValidationError."""
    _validate(json.dumps(each, sort_keys=True))


@cache
def _validate(text: str) -> None:
    kubernetes_validate.validate(json.loads(text), "1.37", strict=True)


def render(helm: Path, *settings: str, release: str = RELEASE, namespace: str = NAMESPACE) -> list[dict[str, Any]]:
    """Return the objects of a release; settings are what `--set` takes."""
    words = [word for setting in (REPOSITORY, *settings) for word in ("--set", setting)]
    done = run_helm(helm, "template", release, str(CHART), "--namespace", namespace, "--kube-version", "1.37.0", *words)
    assert done.returncode == 0, done.stderr
    return documents(done.stdout)


def one(objects: list[dict[str, Any]], kind: str, suffix: str = "") -> dict[str, Any]:
    """Return the only object of a kind whose name ends so."""
    found = [each for each in objects if each["kind"] == kind and each["metadata"]["name"].endswith(suffix)]
    assert len(found) == 1, f"{len(found)} objects of kind {kind} end in {suffix!r}"
    return found[0]


def pod_spec(workload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the pod spec of a Deployment or DaemonSet."""
    spec: dict[str, Any] = workload["spec"]["template"]["spec"]
    return spec


def empty_places(value: object, path: str = "") -> Iterator[str]:
    """Yield the path of every null, empty map and empty list below a value."""
    if value is None or value in ({}, []):
        yield path
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from empty_places(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from empty_places(inner, f"{path}[{index}]")
