"""Slack on a real kubelet: the Secret as a file in the operator's pod, `memdiag alert test` with it, a kill told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from testbed import cache
from testbed.cache import REPOSITORY
from testbed.cluster import Cluster
from testbed.shell import wait_for
from testbed.target import NAMESPACE, RELEASE
from tests.alerts.fake_slack import CHANNEL, CHANNEL_ID, FakeSlack, slack_server

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]

SECRET, SPACE, WORKLOAD = "memdiag-slack", "told", "greedy"
MOST_SECONDS = 15
"""From the kill to the message; the node's kernel makes each system call dear."""
GREEDY = "import time; time.sleep(4); b'x' * 2**27"


@pytest.fixture(scope="module")
def slack(memdiag_cluster: Cluster) -> Iterator[FakeSlack]:
    cluster = memdiag_cluster
    with slack_server() as found:
        port = urlsplit(found.url).port
        assert port
        found.url = f"http://{cluster.plane.lend(port)}"
        token = f"--from-literal=bot-token={found.token}"
        cluster.kubectl("create", "secret", "generic", SECRET, "-n", NAMESPACE, token)
        values = {
            "enabled": "true",
            "secret": SECRET,
            "channel": f"#{CHANNEL}",
            "baseURL": found.api,
            # what else dies on this node is not told
            "namespaces.include": f"{{{SPACE}}}",
        }
        words = [word for name, value in values.items() for word in ("--set", f"alerts.slack.{name}={value}")]
        chart = REPOSITORY / "charts/memdiag"
        cluster.helm("upgrade", RELEASE, chart, "--reset-then-reuse-values", *words, "--wait", "--timeout", "120s")
        yield found
        cluster.kubectl("delete", "secret", SECRET, "-n", NAMESPACE)


def test_the_mounted_credential_brings_a_test_message_and_its_picture(
    memdiag_cluster: Cluster, slack: FakeSlack
) -> None:
    operator = ("exec", "-n", NAMESPACE, f"deployment/{RELEASE}-operator", "--")
    said = memdiag_cluster.kubectl(*operator, "memdiag", "alert", "test").splitlines()
    assert said == [
        f"ok   #{CHANNEL}: the test message is there ({CHANNEL_ID})",
        f"ok   #{CHANNEL}: the picture is in its thread",
    ]
    (message,) = slack.messages
    assert [file["thread"] for file in slack.files.values()] == [message.ts]
    assert slack.refused == []


def test_a_kill_is_told(memdiag_cluster: Cluster, slack: FakeSlack, tmp_path: Path) -> None:
    cluster = memdiag_cluster
    before = len(slack.messages)
    cluster.kubectl("create", "namespace", SPACE)
    greedy = {
        "name": WORKLOAD,
        "image": "python:3.13-slim-trixie",
        "command": ["python3", "-c", GREEDY],
        "resources": {"limits": {"memory": "48Mi"}},
    }
    labels = {"app": WORKLOAD}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [greedy], "terminationGracePeriodSeconds": 0}}
    spec = {"selector": {"matchLabels": labels}, "template": pod}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": WORKLOAD}, "spec": spec}
    manifest = tmp_path / "deployment.json"
    manifest.write_text(json.dumps(deployment))
    cluster.kubectl("apply", "-n", SPACE, "-f", str(manifest))
    wait_for("the message", lambda: len(slack.messages) > before, timeout=60, log=None)
    head = slack.messages[before]
    assert WORKLOAD in head.words()
    assert SPACE in head.words()
    incidents = json.loads(cluster.kubectl("get", "memoryincidents", "-n", SPACE, "-o", "json"))["items"]
    killed = min(datetime.fromisoformat(each["spec"]["kill"]["time"]).timestamp() for each in incidents)
    seconds = head.at - killed
    kept = cache.logs() / "node-slack.txt"
    kept.write_text(f"{seconds:.2f} s from the kill to the message\n\n{head.words()}\n")
    assert 0 < seconds < MOST_SECONDS
    diagnosis = json.loads(cluster.kubectl("get", "memorydiagnoses", "-n", SPACE, "-o", "json"))["items"][0]
    alerted = next(each for each in diagnosis["status"]["conditions"] if each["type"] == "Alerted")
    assert alerted["status"] == "True"
    cluster.kubectl("delete", "deployment", WORKLOAD, "-n", SPACE)
