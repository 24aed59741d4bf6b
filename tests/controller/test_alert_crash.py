"""A real operator on a real API server, killed at each moment of sending: no message is lost, one at most repeated."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from memdiag.kube.api import AlreadyExistsError, HttpApi, connect
from memdiag.kube.kinds import DIAGNOSIS, KINDS, definition
from testbed.control_plane import free_port
from tests.alerts.fake_slack import FakeSlack, Fault, slack_server
from tests.controller.support import Cluster, OperatorProcess, ended, identity, report, running, wait_for

pytestmark = [pytest.mark.api_server, pytest.mark.timeout(180)]

HOME, ROLLED_OUT = "alerts-home", "alerts-roll-out"
PODS = 200
MOMENTS = {
    "before-claim": 1,
    "between-claim-and-sending": 1,
    "between-accepting-and-writing": 2,
    "after-writing": 1,
}
"""When the operator is killed, and how often the message is in Slack in the end."""


@pytest.fixture(scope="module")
def cluster(api_server: Any) -> Cluster:
    """Give the API server with our kinds, memdiag's namespace, and a namespace for each moment."""
    api = HttpApi(connect(Path(api_server.kubeconfig)))
    for kind in KINDS:
        with contextlib.suppress(AlreadyExistsError):  # other tests share this API server
            api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition(kind))
    api_server.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    found = Cluster(api)
    for name in (HOME, ROLLED_OUT, *MOMENTS):
        found.namespace(name)
    return found


@pytest.fixture(scope="module")
def slack() -> Iterator[FakeSlack]:
    """Give a Slack with a channel for each moment, so that none waits for another."""
    with slack_server() as found:
        for moment in MOMENTS:
            found.add(moment)
        yield found


@pytest.fixture(scope="module")
def port() -> int:
    """Give the port on which the operator says how it is."""
    return free_port()


@pytest.fixture(scope="module")
def operator(
    api_server: Any, cluster: Cluster, slack: FakeSlack, port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    folder = tmp_path_factory.mktemp("alerts")
    routes = [{"channel": f"#{moment}", "namespaces": [moment]} for moment in MOMENTS]
    spaces = {"include": [ROLLED_OUT, *MOMENTS]}
    settings = {"channel": "#alerts", "routes": routes, "namespaces": spaces, "baseURL": slack.api}
    (folder / "alerts.json").write_text(json.dumps({"clusterName": "test", "slack": settings}))
    (folder / "bot-token").write_text(slack.token)
    words = ["--alerts", str(folder / "alerts.json"), "--alerts-secret", str(folder / "bot-token")]
    words += ["--health-port", str(port)]
    process = OperatorProcess(Path(api_server.kubeconfig), folder / "operator.log", *words, namespace=HOME)
    process.start()
    yield process
    assert process.stop() == 0, process.log()
    assert farewell(process.log()) < 4, "kopf waited 5 s for what is not its own, and cancelled it"
    assert '"level": "error"' not in process.log()
    assert slack.token not in process.log()


def farewell(log: str) -> float:
    """Return the seconds from the moment that kopf is told to end to the operator's last word."""
    lines = [json.loads(line) for line in log.splitlines()]
    (last,) = [line for line in lines if line["message"] == "operator stopped"]
    (told,) = [line for line in lines if line["message"].startswith("Stop-flag is set")]
    return (datetime.fromisoformat(last["time"]) - datetime.fromisoformat(told["time"])).total_seconds()


def kill(cluster: Cluster, moment: str) -> None:
    """Let a container of a Deployment die, as an agent reports it."""
    uid = cluster.pod(moment, "web-abc-1", ["app"], cluster.deployment(moment, "web"))
    number = identity(6000 + list(MOMENTS).index(moment))
    cluster.pod_status(moment, "web-abc-1", running("app", number))
    cluster.report(f"kill-{moment}", report(uid, number, time.time()), HOME)


def alert(cluster: Cluster, moment: str) -> dict[str, Any]:
    found: dict[str, Any] = (cluster.diagnosis(moment, "deployment-web-app") or {}).get("status", {}).get("alert", {})
    return found


def posted(slack: FakeSlack, moment: str) -> int:
    channel = next(one for one in slack.channels if one.name == moment)
    return len([one for one in slack.heads() if one.channel == channel.identity])


def test_a_crash_at_any_moment_loses_no_message_and_repeats_one_at_most(
    cluster: Cluster, slack: FakeSlack, operator: OperatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    wait_for(lambda: "operator watches" in operator.log(), 60)
    kill(cluster, "after-writing")
    wait_for(lambda: alert(cluster, "after-writing").get("picture"))
    assert alert(cluster, "after-writing")["told"]["kills"] == 1

    slack.faults.append(Fault.HANG)
    kill(cluster, "between-claim-and-sending")
    wait_for(lambda: not slack.faults)
    assert alert(cluster, "between-claim-and-sending")["claim"]["attempt"] == 1

    slack.faults.append(Fault.LOST)
    kill(cluster, "between-accepting-and-writing")
    wait_for(lambda: posted(slack, "between-accepting-and-writing"))
    assert "told" not in alert(cluster, "between-accepting-and-writing")

    kill(cluster, "before-claim")
    operator.kill()
    before = {moment: posted(slack, moment) for moment in MOMENTS}
    assert not alert(cluster, "before-claim")

    operator.start()
    for moment in MOMENTS:
        wait_for(lambda moment=moment: alert(cluster, moment).get("picture"), 60)  # type: ignore[misc]  # a default
    after = {moment: posted(slack, moment) for moment in MOMENTS}
    with capsys.disabled():
        print("\noperator killed                   before  after a restart")
        for moment in MOMENTS:
            print(f"{moment:<33} {before[moment]:>6}  {after[moment]:>6}")
    assert after == MOMENTS
    assert before["between-claim-and-sending"] == 0
    for moment in MOMENTS:
        assert "claim" not in alert(cluster, moment)
    assert {one.ts for one in slack.heads()} >= {alert(cluster, moment)["thread"] for moment in MOMENTS}
    assert len([file for file in slack.files.values() if "thread" in file]) == len(MOMENTS)
    assert slack.refused == []


def suspects(port: int) -> float:
    """Return how many ends with 137 the operator has seen."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith('memdiag_suspects_total{outcome="seen"}'))


def test_a_roll_out_of_200_pods_that_ignore_sigterm_makes_no_object_and_no_alert(
    cluster: Cluster, slack: FakeSlack, operator: OperatorProcess, port: int
) -> None:
    wait_for(lambda: "operator watches" in operator.log(), 60)
    owner, posted_before, seen_before = cluster.deployment(ROLLED_OUT, "web"), len(slack.messages), suspects(port)

    def replace(number: int) -> None:
        name, run = f"web-abc-{number}", identity(7000 + number)
        path = f"/api/v1/namespaces/{ROLLED_OUT}/pods/{name}"
        cluster.pod(ROLLED_OUT, name, ["app"], owner)
        cluster.pod_status(ROLLED_OUT, name, running("app", run))
        cluster.api.delete(path)
        # the kubelet waits in vain, kills, says so, and lets go of the pod
        cluster.pod_status(ROLLED_OUT, name, ended("app", run, "Error", 137))
        cluster.api.delete(f"{path}?gracePeriodSeconds=0")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(replace, range(PODS)))
    wait_for(lambda: suspects(port) == seen_before + PODS, 60)
    assert cluster.api.get(f"/api/v1/namespaces/{ROLLED_OUT}/pods")["items"] == []
    assert cluster.incidents(ROLLED_OUT) == []
    assert cluster.api.get(DIAGNOSIS.path(ROLLED_OUT))["items"] == []
    assert cluster.api.get(f"/api/v1/namespaces/{ROLLED_OUT}/events")["items"] == []
    assert len(slack.messages) == posted_before
