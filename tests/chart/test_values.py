"""The chart's values: each explained, each used, each checked, and refused with the remedy when wrong."""

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

from memdiag.alerts.settings import parse
from tests.chart.rendering import CHART, REPOSITORY, ROOT, render, run_helm

FREE_MAPS = {
    "affinity", "annotations", "commonAnnotations", "commonLabels", "extraEnv", "labels", "nodeSelector",
    "podAnnotations", "podLabels", "seLinuxOptions",
}  # fmt: skip
"""Maps whose keys are the user's or Kubernetes's."""
REMEDY = "set image.repository: build the image from the Dockerfile, push it to your registry"


def keys(values: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every value."""
    for key, value in values.items():
        yield (*above, key)
        if isinstance(value, dict) and key not in FREE_MAPS:
            yield from keys(value, (*above, key))


VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
PATHS = sorted(keys(VALUES))


def explained() -> set[tuple[str, ...]]:
    """Return the path of every key below a comment that starts with `# --`."""
    found: set[tuple[str, ...]] = set()
    above: list[tuple[int, str]] = []
    comment = False
    for line in (CHART / "values.yaml").read_text().splitlines():
        words = line.strip()
        if words.startswith("#"):
            comment = comment or words.startswith("# -- ")
            continue
        match = re.match(r"( *)([A-Za-z][\w.-]*):", line)
        if match:
            depth = len(match[1])
            above = [each for each in above if each[0] < depth] + [(depth, match[2])]
            if comment:
                found.add(tuple(name for _, name in above))
        comment = False
    return found


@pytest.mark.parametrize("path", PATHS, ids=".".join)
def test_every_value_is_explained(path: tuple[str, ...]) -> None:
    assert path in explained()


def test_every_value_is_used_by_a_template() -> None:
    text = "\n".join(path.read_text() for path in (CHART / "templates").rglob("*.*"))
    for path in PATHS:
        if isinstance(VALUES.get(path[0]), dict) and len(path) == 1:
            continue
        component = path[0] in {"operator", "agent"}
        names = [".".join(path[:2])] if "resources" in path else [".".join(path)]
        if component and path[1] in {"priorityClassName", "nodeSelector", "tolerations", "affinity"}:
            names = [f".values.{path[1]}"]
            assert f'"values" .Values.{path[0]})' in text
        inside = re.search(
            rf"with \.Values\.{re.escape('.'.join(path[:-1]))} }}}}.*?[ (]\.{path[-1]}\b", text, re.DOTALL
        )
        assert all(name in text for name in names) or inside, path


def test_the_table_of_values_in_the_readme_has_them_all() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "charts/readme.py"), "--check"], check=False)
    assert done.returncode == 0
    rows = re.findall(r"^\| `([\w.]+)` \|", (CHART / "README.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(".".join(path) for path in PATHS)


def test_a_stale_table_is_found_and_repaired(tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "charts/readme.py"), "--chart", str(tmp_path)]
    (tmp_path / "values.yaml").write_text('# -- What it\n# is | was.\na:\n  # -- How many.\n  b: "1"\nc: 2\n')
    (tmp_path / "README.md").write_text("no marks\n")
    assert subprocess.run([*script, "--check"], check=False).returncode == 2
    (tmp_path / "README.md").write_text("head\n<!-- values: begin -->\nold\n<!-- values: end -->\nfoot\n")
    assert subprocess.run([*script, "--check"], check=False).returncode == 1
    assert subprocess.run(script, check=False).returncode == 0
    text = (tmp_path / "README.md").read_text()
    assert '| `a` |  | What it is \\| was. |\n| `a.b` | `"1"` | How many. |\n<!-- values: end -->\nfoot' in text
    assert subprocess.run([*script, "--check"], check=False).returncode == 0


def test_every_value_is_in_the_schema() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    def resolve(node: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in node:
            return node
        found: dict[str, Any] = schema["$defs"][node["$ref"].removeprefix("#/$defs/")]
        return found

    for path in PATHS:
        node = schema
        for key in path:
            node = resolve(node["properties"][key])


def default(path: tuple[str, ...]) -> Any:
    """Return what a value is where nobody sets it."""
    value: Any = VALUES
    for key in path:
        value = value[key]
    return value


def test_what_matters_cannot_be_left_out() -> None:
    """As by `null`, or by `helm upgrade --reuse-values` from a chart without it: never a silent 0 or false."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    always = {("image", "repository"), ("networkPolicy", "apiServer", "ports")}
    for path in PATHS:
        node = schema
        for key in path[:-1]:
            node = node["properties"][key]
            if "$ref" in node:
                break  # resources; templates/validate.yaml says what they need
        else:
            value = default(path)
            matters = bool(value) and path[-1] not in FREE_MAPS and not isinstance(value, list)
            assert (path[-1] in node.get("required", ())) == (matters or path in always), path


@pytest.mark.api_server
def test_null_is_the_same_as_nothing(helm: Path) -> None:
    on = (
        "alerts.slack.enabled=true", "alerts.slack.secret=s", "alerts.slack.channel=#a", "networkPolicy.enabled=true",
        "podMonitor.enabled=true", "prometheusRule.enabled=true", "grafanaDashboard.enabled=true", "openshift.scc=true",
        "operator.standby=true", "history.prometheus.url=https://p",
    )  # fmt: skip
    assert parse({"clusterName": None, "slack": {"channel": "#a", "routes": None, "baseURL": None, "proxy": None}}) == (
        parse({"slack": {"channel": "#a"}})
    ), "of alerts the operator itself reads null as nothing"
    taken = {setting.split("=")[0] for setting in (*on, REPOSITORY)}
    nulls = [".".join(path) for path in PATHS if not default(path) and path[0] != "alerts"]
    nulls = [name for name in nulls if name not in taken]
    assert {"operator.podLabels", "operator.podAnnotations", "commonAnnotations", "podMonitor.labels"} <= set(nulls)
    assert render(helm, *on, *(f"{name}=null" for name in nulls)) == render(helm, *on)


def test_every_map_of_the_schema_is_closed() -> None:
    def maps(node: object, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        if isinstance(node, dict):
            if node.get("type") == "object":
                yield name, node
            for key, inner in node.items():
                yield from maps(inner, key)
        elif isinstance(node, list):
            for inner in node:
                yield from maps(inner, name)

    schema = json.loads((CHART / "values.schema.json").read_text())
    open_maps = {name for name, node in maps(schema, "values") if node.get("additionalProperties") is not False}
    users = FREE_MAPS - {
        "affinity",
        "seLinuxOptions",
        "commonAnnotations",
        "commonLabels",
        "extraEnv",
        "podAnnotations",
        "podLabels",
    }
    assert open_maps == users | {"global", "kubernetes", "variables", "volume"}


@pytest.mark.api_server
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ((), REMEDY),
        (("image.repository=",), REMEDY),
        ((REPOSITORY, "agent.enabeld=true"), "additional properties 'enabeld' not allowed"),
        ((REPOSITORY, "replicas=2"), "additional properties 'replicas' not allowed"),
        ((REPOSITORY, "image.digest=abc"), "/image/digest"),
        ((REPOSITORY, "image.pullPolicy=Sometimes"), "/image/pullPolicy"),
        ((REPOSITORY, "agent.resources.limits.memory=64Mb"), "/agent/resources/limits/memory"),
        ((REPOSITORY, "agent.updateStrategy.maxUnavailable=0"), "/agent/updateStrategy/maxUnavailable"),
        ((REPOSITORY, "alerts.slack.secret=Slack_Token"), "/alerts/slack/secret"),
        ((REPOSITORY, "agent.enabled=maybe"), "/agent/enabled"),
        ((REPOSITORY, "operator.quietHours=null"), "at '/operator': missing property 'quietHours'"),
        ((REPOSITORY, "crds.keep=null"), "at '/crds': missing property 'keep'"),
        ((REPOSITORY, "agent.resources=null"), "at '/agent': missing property 'resources'"),
        ((REPOSITORY, "agent.resources.limits=null"), "set agent.resources.limits.memory"),
        ((REPOSITORY, r"commonLabels.app\.kubernetes\.io/name=x"), "invalid propertyName 'app.kubernetes.io/name'"),
        ((REPOSITORY, "operator.extraEnv.POD_NAMESPACE=x"), "invalid propertyName 'POD_NAMESPACE'"),
        ((REPOSITORY, "agent.extraEnv.NODE_NAME=x"), "invalid propertyName 'NODE_NAME'"),
        ((REPOSITORY, "agent.extraVolumes[0].name=a"), "/agent/extraVolumes/0"),
        ((REPOSITORY, "agent.extraVolumes[0].name=proc"), "/agent/extraVolumes/0/name"),
        ((REPOSITORY, "operator.extraVolumeMounts[0].path=/a"), "additional properties 'path' not allowed"),
        ((REPOSITORY, "agent.stateHostPath=/"), "/agent/stateHostPath"),
        ((REPOSITORY, "agent.stateHostPath=/var/../etc"), "/agent/stateHostPath"),
        ((REPOSITORY, "networkPolicy.apiServer.ports=null"), "missing property 'ports'"),
        ((REPOSITORY, "networkPolicy.apiServer.cidrs={10.0.0.1}"), "/networkPolicy/apiServer/cidrs/0"),
        ((REPOSITORY, "prometheusRule.disabled={NoSuchAlert}"), "/prometheusRule/disabled/0"),
        ((REPOSITORY, "podMonitor.interval=soon"), "/podMonitor/interval"),
        ((REPOSITORY, "podMonitor.enabled=true", "serviceMonitor.enabled=true"), "not both"),
    ],
)
def test_wrong_values_are_refused_with_their_place(helm: Path, settings: tuple[str, ...], expected: str) -> None:
    words = [word for setting in settings for word in ("--set", setting)]
    done = run_helm(helm, "template", "r1", str(CHART), "--kube-version", "1.37.0", *words)
    assert done.returncode != 0
    assert expected in done.stderr


@pytest.mark.api_server
def test_the_remedy_is_told_even_when_the_schema_is_skipped(helm: Path) -> None:
    done = run_helm(helm, "template", "r1", str(CHART), "--kube-version", "1.37.0", "--skip-schema-validation")
    assert done.returncode != 0
    assert REMEDY in done.stderr


def sync(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the script that copies the CRDs."""
    command = [sys.executable, str(ROOT / "charts/sync.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_copies_of_the_kinds_are_in_step() -> None:
    done = sync("--check")
    assert done.returncode == 0, done.stderr


def test_sync_finds_and_repairs_drift(tmp_path: Path) -> None:
    source, target = tmp_path / "crds", tmp_path / "copies"
    source.mkdir()
    folders = ("--source", str(source), "--target", str(target))
    assert sync(*folders).returncode == 2
    (source / "a.yaml").write_text("a: 1\n")
    assert sync("--check", *folders).returncode == 1
    assert not target.exists()
    assert sync(*folders).returncode == 0
    assert (target / "a.yaml").read_text() == "a: 1\n"
    (target / "old.yaml").write_text("")
    done = sync("--check", *folders)
    assert done.returncode == 1
    assert "old.yaml" in done.stderr
    assert sync(*folders).returncode == 0
    assert [path.name for path in target.iterdir()] == ["a.yaml"]
