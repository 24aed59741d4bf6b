"""The definitions follow from the models, keep to what Kubernetes takes, and are bounded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from pydantic import BaseModel, Field

from memdiag.kube import crd
from memdiag.kube.fields import camel
from memdiag.kube.kinds import DIAGNOSIS, INCIDENT, KINDS, REPORT, Kind, definition
from memdiag.kube.schema import SchemaError, largest_bytes, problems, structural
from memdiag.model.report import LONGEST_KEY

REPOSITORY = Path(__file__).resolve().parents[2]
names = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def _version(kind: Kind) -> dict[str, Any]:
    (version,) = definition(kind)["spec"]["versions"]
    return dict(version)


def _properties(kind: Kind) -> dict[str, Any]:
    return dict(_version(kind)["schema"]["openAPIV3Schema"]["properties"])


def test_committed_definitions_are_up_to_date() -> None:
    assert crd.drifted(REPOSITORY / "crds") == []


def test_drift_is_named_with_the_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert crd.main(["--out", str(tmp_path)]) == 0
    assert crd.main(["--out", str(tmp_path), "--check"]) == 0
    changed = tmp_path / "memdiag.dev_memoryreports.yaml"
    changed.write_text(changed.read_text() + "\n")
    (tmp_path / "left_over.yaml").write_text("")
    capsys.readouterr()
    assert crd.main(["--out", str(tmp_path), "--check"]) == 1
    told = capsys.readouterr().err
    assert f"{changed}: not what the models say; run: python -m memdiag.kube.crd --out {tmp_path}" in told
    assert "left_over.yaml" in told
    assert crd.main(["--out", str(tmp_path)]) == 0
    assert crd.main(["--out", str(tmp_path), "--check"]) == 0


@names
def test_kubernetes_takes_the_definition(kind: Kind) -> None:
    text = crd.render()[f"memdiag.dev_{kind.plural}.yaml"]
    kubernetes_validate.validate(yaml.safe_load(text), "1.37", strict=True)


@names
def test_every_field_is_bounded_and_structural(kind: Kind) -> None:
    assert list(problems(structural(kind.model), kind.name)) == []


@names
def test_every_field_is_described_where_people_look(kind: Kind) -> None:
    properties = _properties(kind)
    assert _version(kind)["schema"]["openAPIV3Schema"]["description"]
    assert all(properties[part].get("description") for part in ("spec", "status") if part in properties)


def test_the_largest_report_fits() -> None:
    assert largest_bytes(structural(REPORT.model)["properties"]["spec"], LONGEST_KEY) <= 64 * 1024


@names
def test_facts_cannot_be_changed(kind: Kind) -> None:
    rules = _properties(kind)["spec"].get("x-kubernetes-validations", [])
    assert ("self == oldSelf" in [rule["rule"] for rule in rules]) == (kind is not DIAGNOSIS)


@names
def test_a_fact_is_set_as_a_whole(kind: Kind) -> None:
    assert (_properties(kind)["spec"].get("x-kubernetes-map-type") == "atomic") == (kind is not DIAGNOSIS)


def test_names() -> None:
    found = {kind.name: definition(kind)["spec"]["names"] for kind in KINDS}
    assert found["MemoryIncident"]["shortNames"] == ["minc"]
    assert found["MemoryDiagnosis"]["shortNames"] == ["mdiag"]
    assert found["MemoryDiagnosis"]["plural"] == "memorydiagnoses"
    assert found["MemoryDiagnosis"]["singular"] == "memorydiagnosis"
    assert all(names["categories"] == ["memdiag"] for names in found.values())


def test_status_is_a_subresource_where_there_is_one() -> None:
    assert "subresources" not in _version(REPORT)
    assert _version(INCIDENT)["subresources"] == {"status": {}}
    assert _version(DIAGNOSIS)["subresources"] == {"status": {}}


def _columns(kind: Kind) -> str:
    columns = _version(kind)["additionalPrinterColumns"]
    return " ".join(column["name"].upper() for column in columns if "priority" not in column)


def test_columns() -> None:
    assert _columns(INCIDENT) == "POD CONTAINER KILL LIMIT-HIT API-REASON VICTIM RSS LIMIT NODE AGE"
    assert _columns(DIAGNOSIS) == "WORKLOAD CONTAINER CAUSE CONFIDENCE LIMIT RECOMMENDED KILLS LAST-KILL AGE"


@names
def test_every_column_shows_a_field(kind: Kind) -> None:
    properties = _properties(kind)
    for column in kind.columns:
        node: dict[str, Any] = {"properties": properties}
        for word in re.sub(r"\[[^]]*\]", ".[]", column.path).strip(".").split("."):
            if word == "metadata":
                break
            node = node["items"] if word == "[]" else node["properties"][word]
        else:
            assert node["type"] == ("string" if column.type == "date" else column.type), column.name


def test_conditions_are_a_map_by_type() -> None:
    conditions = _properties(DIAGNOSIS)["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("container_id", "containerID"), ("anon_rss_bytes", "anonRSSBytes"), ("pod_uid", "podUID"), ("node", "node")],
)
def test_camel(name: str, wanted: str) -> None:
    assert camel(name) == wanted


class _Union(BaseModel):
    both: int | str


class _Open(BaseModel):
    above: int = Field(gt=0, lt=10)
    maybe: str | None = None


class _Loose(BaseModel):
    text: str
    number: int
    share: float
    items: list[str]
    pairs: dict[str, str]


def test_a_union_has_no_structural_schema() -> None:
    with pytest.raises(SchemaError, match=r"_Union\.both: a union of 2 types"):
        structural(_Union)


def test_open_bounds_are_closed_and_null_is_optional() -> None:
    schema = structural(_Open)
    assert schema["properties"]["above"] == {"type": "integer", "minimum": 1, "maximum": 9}
    assert schema["properties"]["maybe"] == {"type": "string"}
    assert schema["required"] == ["above"]


def test_what_is_loose_is_found() -> None:
    found = " ".join(problems(structural(_Loose), "loose"))
    for text in (
        "loose.text: string without maxLength",
        "loose.number: integer without",
        "loose.share: floats",
        "loose.items: list without",
        "loose.items[]: string",
        "loose.pairs: map without",
    ):
        assert text in found


def test_size_of_the_largest() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "string", "maxLength": 3},
            "b": {"type": "array", "maxItems": 2, "items": {"type": "integer", "minimum": -9, "maximum": 9}},
            "c": {"type": "object", "maxProperties": 1, "additionalProperties": {"type": "boolean"}},
        },
    }
    largest = '{"a":"xxx","b":[-9,-9,],"c":{"kk":false,},}'
    assert largest_bytes(schema, 2) == len(largest)
