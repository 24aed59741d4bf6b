"""The reference of the kinds: every field of every definition, and drift that is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from memdiag.kube.crddoc import main, render

ROOT = Path(__file__).resolve().parents[2]


def paths(node: dict[str, Any], above: str) -> list[str]:
    found = []
    for name, inner in node.get("properties", {}).items():
        path = f"{above}.{name}"
        found.append(path)
        found += paths(inner, path)
        found += paths(inner.get("items", {}), path + "[]")
    return found


def test_every_field_of_the_committed_kinds_is_in_the_page() -> None:
    page = render()
    for file in (ROOT / "crds").glob("*.yaml"):
        version = yaml.safe_load(file.read_text())["spec"]["versions"][0]
        schema = version["schema"]["openAPIV3Schema"]["properties"]
        fields = [path for part in ("spec", "status") for path in paths(schema.get(part, {}), part)]
        assert fields
        assert [path for path in fields if f"| `{path}`" not in page] == []


def test_enumerations_and_required_fields_are_told() -> None:
    page = render()
    assert "| `spec.targetRef` * | object |" in page
    assert "One of: `Leak`, `Growth`, `UnderestimatedLimit`" in page


def test_drift_is_found_and_repaired(tmp_path: Path) -> None:
    page = tmp_path / "crds.md"
    words = ["--out", str(page)]
    assert main([*words, "--check"]) == 1
    assert main(words) == 0
    assert main([*words, "--check"]) == 0
    page.write_text(page.read_text() + "more\n")
    assert main([*words, "--check"]) == 1
