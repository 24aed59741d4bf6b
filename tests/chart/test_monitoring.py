"""Alerts and dashboard: names that exist, queries that Prometheus reads, alerts that fire when they should."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, NAMESPACE, ROOT, one, render

PAGES = "\n".join((ROOT / "docs" / name).read_text() for name in ("metrics.md", "agent.md"))
NAMES = set(re.findall(r"^\| `(memdiag_\w+)` \|", PAGES, re.MULTILINE))
PROCESS = {"process_resident_memory_bytes", "process_cpu_seconds_total"}
CASES = Path(__file__).parent / "alerts_test.yaml"


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CHART / "files/dashboard.json").read_text())
    return found


def queries() -> Iterator[str]:
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((CHART / "files/alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def metrics_in(text: str) -> set[str]:
    bare = re.sub(r'"[^"]*"', "", text)
    found = re.findall(r"\b(?:memdiag|process)_\w+", bare)
    return {re.sub(r"_(bucket|sum|count)$", "", name) if "seconds_" in name else name for name in found}


def test_every_metric_that_is_asked_for_is_documented() -> None:
    asked = {name for text in [*queries(), *(rule["expr"] for rule in alerts())] for name in metrics_in(text)}
    assert NAMES
    assert asked <= NAMES | PROCESS
    assert len(asked) > 10


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {name for text in queries() for name in metrics_in(text)}
    assert NAMES - shown == set()


def test_values_of_labels_exist() -> None:
    for rule in alerts():
        for metric, selector in re.findall(r"(memdiag_\w+)\{([^}]*)\}", rule["expr"]):
            row = next(line for line in PAGES.splitlines() if f"`{re.sub(r'_bucket$', '', metric)}`" in line)
            for label, values in re.findall(r'(\w+)(?:=|=~|!~)"([^"]*)"', selector):
                if label != "namespace":
                    known = re.split(r", |; ", row.partition(f"`{label}`: ")[2].partition(" |")[0])
                    assert set(values.split("|")) <= set(known), (rule["alert"], label)


def test_every_alert_says_what_and_how_bad_and_has_a_runbook_that_exists() -> None:
    pages = re.findall(r"^## (\w+)$", (ROOT / "docs/runbooks.md").read_text(), re.MULTILINE)
    assert [rule["alert"] for rule in alerts()] == pages
    for rule in alerts():
        assert rule["labels"]["severity"] in {"warning", "critical", "info"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_names_of_alerts_are_in_the_schema() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    known = schema["properties"]["prometheusRule"]["properties"]["disabled"]["items"]["enum"]
    assert known == [rule["alert"] for rule in alerts()]


def test_the_dashboard_follows_from_its_table() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "charts/dashboard.py"), "--check"], check=False)
    assert done.returncode == 0
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels if panel["type"] != "row"]
    assert len(set(places)) == len(places)


@pytest.mark.api_server
def test_links_lead_to_the_page_of_the_alert(helm: Path) -> None:
    def annotations(*settings: str) -> dict[str, dict[str, str]]:
        rule = one(render(helm, "prometheusRule.enabled=true", *settings), "PrometheusRule")
        return {each["alert"]: each["annotations"] for group in rule["spec"]["groups"] for each in group["rules"]}

    found = annotations("prometheusRule.runbookBaseUrl=https://git.example/runbooks.md")
    assert found["MemdiagForbidden"]["runbook_url"] == "https://git.example/runbooks.md#memdiagforbidden"
    assert all("runbook" not in each for each in found.values())
    assert annotations()["MemdiagForbidden"]["runbook"] == "docs/runbooks.md#memdiagforbidden"
    left = annotations("prometheusRule.disabled={MemdiagForbidden,NodeOutOfMemory}")
    assert len(left) == len(found) - 2
    everything = ",".join(found)
    objects = render(helm, "prometheusRule.enabled=true", f"prometheusRule.disabled={{{everything}}}")
    assert not [each for each in objects if each["kind"] == "PrometheusRule"]


@pytest.mark.api_server
def test_alerts_fire_when_they_should_and_not_else(helm: Path, promtool: Path, tmp_path: Path) -> None:
    rule = one(render(helm, "prometheusRule.enabled=true"), "PrometheusRule")
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]))
    cases = yaml.safe_load(CASES.read_text().replace("RELEASE_NAMESPACE", NAMESPACE))
    tried = {case["alertname"] for test in cases["tests"] for case in test["alert_rule_test"]}
    assert tried == {each["alert"] for each in alerts()}
    expected = {each["alert"]: each["annotations"] for group in rule["spec"]["groups"] for each in group["rules"]}
    for test in cases["tests"]:
        for case in test["alert_rule_test"]:
            for alert in case["exp_alerts"]:
                # the runbook is the chart's; the words are the case's own
                alert["exp_annotations"]["runbook"] = expected[case["alertname"]]["runbook"]
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump(cases))
    done = subprocess.run(
        [str(promtool), "test", "rules", "cases.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.api_server
def test_prometheus_reads_every_query_of_the_dashboard(promtool: Path, tmp_path: Path) -> None:
    asked = [query for query in queries() if not query.startswith("label_values(")]
    rules = [
        {"record": f"panel:{place}", "expr": query.replace("$__rate_interval", "5m").replace("$namespace", ".*")}
        for place, query in enumerate(asked)
    ]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(
        [str(promtool), "check", "rules", str(tmp_path / "rules.yaml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(asked)} rules found" in done.stdout
