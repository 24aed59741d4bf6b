"""Slack in the chart: settings that the operator reads, a Secret that is only a file, ways out, remedies."""

from __future__ import annotations

import argparse
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from memdiag.alerts.routing import Allowed, Route
from memdiag.alerts.settings import API, Method, Settings, parse
from memdiag.controller.options import configure, options_of
from memdiag.model.occasion import Severity
from memdiag.model.verdict import Cause
from testbed.control_plane import ControlPlane
from tests.chart.rendering import CHART, NAMESPACE, RELEASE, REPOSITORY, documents, one, pod_spec, render, run_helm

pytestmark = pytest.mark.api_server

BOT = ("alerts.slack.enabled=true", "alerts.slack.secret=memdiag-slack", "alerts.slack.channel=#memory")
HOOK = "https://hooks.slack.example/services/T0/B0/verysecret"
WEBHOOK = ("alerts.slack.enabled=true", "alerts.slack.method=webhook", f"alerts.slack.credential={HOOK}")


def from_file(helm: Path, name: str) -> list[dict[str, Any]]:
    words = ("template", RELEASE, str(CHART), "-n", NAMESPACE, "--kube-version", "1.37.0")
    done = run_helm(helm, *words, "-f", str(CHART / f"ci/{name}-values.yaml"))
    assert done.returncode == 0, done.stderr
    return documents(done.stdout)


def read(objects: list[dict[str, Any]]) -> Settings:
    """Return the settings as the operator reads them."""
    return parse(json.loads(one(objects, "ConfigMap", "-alerts")["data"]["alerts.json"]))


def test_off_leaves_nothing(helm: Path) -> None:
    off, bare = from_file(helm, "slack-off"), render(helm)
    assert "slack" not in json.dumps([each for each in off if each["kind"] != "CustomResourceDefinition"])
    assert [each["metadata"]["name"] for each in off] == [each["metadata"]["name"] for each in bare]


def test_the_defaults_of_the_chart_are_the_operators_own(helm: Path) -> None:
    assert read(render(helm, *BOT)) == Settings(channel="#memory")


def test_every_setting_reaches_the_operator(helm: Path) -> None:
    assert read(from_file(helm, "slack-routes")) == Settings(
        cluster="prod-eu",
        method=Method.BOT,
        channel="C0123456789",
        routes=(
            Route("#platform", causes=(Cause.NODE_PRESSURE,)),
            Route("#payments-oom", namespaces=("pay-*",), min_severity=Severity.CRITICAL),
        ),
        allowed=(Allowed(("team-*",), ("#team-a", "#team-b")),),
        include=("team-*", "pay-*", "kube-system"),
        exclude=("team-sandbox",),
        min_severity=Severity.INFO,
        cooldown=150.0,
        budget=60,
        storm_workloads=10,
        storm_seconds=120.0,
        pictures=False,
        base_url="https://slack-gov.com/api/",
        proxy="http://proxy.example:3128",
    )


@pytest.mark.parametrize(
    ("settings", "secret", "key"),
    [(BOT, "memdiag-slack", "bot-token"), (WEBHOOK, "r1-memdiag-alerts", "webhook-url")],
    ids=["bot", "webhook"],
)
def test_the_credential_is_a_file_and_nothing_else(
    helm: Path, settings: tuple[str, ...], secret: str, key: str
) -> None:
    objects = render(helm, *settings)
    spec = pod_spec(one(objects, "Deployment"))
    (container,) = spec["containers"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    kept = volumes["alerts-secret"]["secret"]
    assert (kept["secretName"], kept["items"], kept["optional"]) == (secret, [{"key": key, "path": key}], True)
    assert kept["defaultMode"] == 0o440
    assert spec["securityContext"]["fsGroup"] == 65532
    assert mounts["alerts-secret"]["readOnly"]
    assert mounts["alerts"]["readOnly"]
    parser = argparse.ArgumentParser()
    configure(parser)
    found = options_of(parser.parse_args(container["args"][1:]))
    assert found.alerts == Path(mounts["alerts"]["mountPath"]) / "alerts.json"
    assert found.alerts_secret == Path(mounts["alerts-secret"]["mountPath"]) / key
    assert all("secretKeyRef" not in json.dumps(variable) for variable in container["env"])
    assert volumes["alerts"]["configMap"]["name"] == one(objects, "ConfigMap", "-alerts")["metadata"]["name"]


def test_a_webhook_is_in_the_secret_that_the_chart_makes_and_nowhere_else(helm: Path) -> None:
    objects = from_file(helm, "slack-webhook")
    secret = one(objects, "Secret")
    url = "https://hooks.slack.example/services/T0/B0/not-a-real-one"
    assert base64.b64decode(secret["data"]["webhook-url"]).decode() == url
    assert "not-a-real-one" not in json.dumps([each for each in objects if each is not secret])
    assert read(objects) == Settings(method=Method.WEBHOOK)
    assert not [each for each in render(helm, *BOT) if each["kind"] == "Secret"]


def test_a_changed_setting_restarts_the_operator(helm: Path) -> None:
    def checksum(*settings: str) -> str:
        annotations = one(render(helm, *settings), "Deployment")["spec"]["template"]["metadata"]["annotations"]
        return str(annotations["memdiag.dev/alerts-checksum"])

    assert checksum(*BOT) == checksum(*BOT)
    assert checksum(*BOT) != checksum(*BOT, "alerts.slack.budgetPerHour=5")


def test_the_annotation_costs_rights_only_where_it_is_allowed(helm: Path) -> None:
    def readable(objects: list[dict[str, Any]]) -> set[str]:
        rules = one(objects, "ClusterRole", "-operator")["rules"]
        return {resource for rule in rules if "get" in rule["verbs"] for resource in rule["resources"]}

    more = {"deployments", "statefulsets", "daemonsets", "cronjobs", "namespaces"}
    assert not more & readable(render(helm, *BOT))
    assert more <= readable(from_file(helm, "slack-routes"))


@pytest.mark.parametrize(
    ("settings", "port"),
    [
        ((), 443),
        (("alerts.slack.proxy=http://proxy.example:3128",), 3128),
        (("alerts.slack.proxy=http://proxy.example",), 80),
        (("alerts.slack.baseURL=https://slack.example:8443/api/",), 8443),
        (("alerts.slack.baseURL=https://[fd00::1]/api/",), 443),
    ],
)
def test_a_network_policy_lets_the_operator_reach_slack(helm: Path, settings: tuple[str, ...], port: int) -> None:
    closed = ("networkPolicy.enabled=true", "networkPolicy.apiServer.cidrs={10.0.0.1/32}")
    objects = render(helm, *BOT, *closed, *settings)
    assert one(objects, "NetworkPolicy", "-operator")["spec"]["egress"][-1] == {
        "ports": [{"port": port, "protocol": "TCP"}]
    }
    assert len(one(objects, "NetworkPolicy", "-agent")["spec"]["egress"]) == 2
    narrow = one(from_file(helm, "slack-routes"), "NetworkPolicy", "-operator")["spec"]["egress"][-1]
    assert narrow["to"] == [{"ipBlock": {"cidr": "10.1.0.0/16"}}]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (("alerts.slack.chanel=#a",), "additional properties 'chanel' not allowed"),
        (("alerts.slack.routes[0].chanel=#a",), "/alerts/slack/routes/0"),
        (("alerts.slack.routes[0].channel=#a", "alerts.slack.routes[0].causes={Leaks}"), "/routes/0/causes/0"),
        (("alerts.slack.allowedChannels[0].channels={#a}",), "missing property 'namespaces'"),
        (("alerts.slack.method=email",), "/alerts/slack/method"),
        (("alerts.slack.minSeverity=high",), "/alerts/slack/minSeverity"),
        (("alerts.slack.budgetPerHour=0",), "/alerts/slack/budgetPerHour"),
        (("alerts.slack.storm.workloads=1",), "/alerts/slack/storm/workloads"),
        (("alerts.slack.proxy=http://me:password@proxy:3128",), "/alerts/slack/proxy"),
        (("alerts.slack.enabled=true",), f"the name of a Secret in namespace {NAMESPACE} with the key bot-token"),
        (("alerts.slack.enabled=true", "alerts.slack.secret=a"), "set alerts.slack.channel"),
        ((*BOT, "alerts.slack.credential=xoxb-verysecret"), "not both"),
        ((*WEBHOOK, "alerts.slack.channel=#a"), "a webhook has one channel of its own"),
        ((*WEBHOOK, "alerts.slack.method=bot", "alerts.slack.channel=#a"), "set alerts.slack.method to match"),
    ],
)
def test_wrong_values_are_refused_with_the_remedy_and_show_no_secret(
    helm: Path, settings: tuple[str, ...], expected: str
) -> None:
    words = [word for setting in (REPOSITORY, *settings) for word in ("--set", setting)]
    done = run_helm(helm, "template", RELEASE, str(CHART), "--namespace", NAMESPACE, "--kube-version", "1.37.0", *words)
    assert done.returncode != 0
    assert expected in done.stderr
    assert "verysecret" not in done.stderr


def test_the_notes_say_how_to_try_it(helm: Path, api_server: ControlPlane) -> None:
    words = [word for setting in (REPOSITORY, *BOT) for word in ("--set", setting)]
    words += ["--namespace", NAMESPACE, "--kubeconfig", str(api_server.kubeconfig)]
    done = run_helm(helm, "install", RELEASE, str(CHART), "--dry-run=client", *words)
    assert done.returncode == 0, done.stderr
    notes = done.stdout.partition("NOTES:")[2]
    assert f"kubectl -n {NAMESPACE} exec deployment/r1-memdiag-operator -- memdiag alert test" in notes


def test_the_schema_knows_what_the_operator_knows() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    slack = schema["properties"]["alerts"]["properties"]["slack"]["properties"]
    assert slack["routes"]["items"]["properties"]["causes"]["items"]["enum"] == list(Cause)
    assert schema["$defs"]["severity"]["enum"] == list(Severity)
    assert slack["method"]["enum"] == list(Method)
    assert API == "https://slack.com/api/"
