"""The example workloads: whole, restricted, bounded, and scripts that are Python."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


def objects(path: Path) -> list[dict[str, Any]]:
    return [item for item in yaml.safe_load_all(path.read_text(encoding="utf-8")) if item]


def test_there_are_three() -> None:
    assert [path.stem for path in EXAMPLES] == ["growth", "leak", "low-limit"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_anywhere_with_the_least_rights(path: Path) -> None:
    scripts, deployment = objects(path)
    assert (scripts["kind"], deployment["kind"]) == ("ConfigMap", "Deployment")
    assert "namespace" not in scripts["metadata"]
    assert "namespace" not in deployment["metadata"]
    pod = deployment["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (volume,) = pod["volumes"]
    assert volume["configMap"]["name"] == scripts["metadata"]["name"]
    for container in pod["containers"]:
        rights = container["securityContext"]
        assert rights["allowPrivilegeEscalation"] is False
        assert rights["readOnlyRootFilesystem"] is True
        assert rights["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]
        assert container["imagePullPolicy"] == "IfNotPresent"
        interpreter, script = container["command"]
        assert interpreter == "python3"
        ast.parse(scripts["data"][Path(script).name])
