"""The rights of the chart's accounts: every path is gone with them, nothing is refused, nothing is granted unused."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from memdiag.controller.diagnoser import Diagnoser
from memdiag.controller.metrics import Metrics
from memdiag.controller.options import Keep
from memdiag.controller.upkeep import LIFE, Upkeep
from memdiag.controller.workloads import Workloads
from memdiag.kube.api import HttpApi, connect
from memdiag.kube.kinds import API_VERSION, DIAGNOSIS, KINDS
from memdiag.model.history import HistoryRun, encode
from memdiag.model.report import Report
from memdiag.model.trend import Trend, TrendReport, trend_to_object
from testbed.control_plane import ControlPlane, free_port
from tests.alerts.fake_slack import TOKEN, FakeSlack, slack_server
from tests.chart.rendering import one
from tests.controller.audit import WRITING, Asked, Right, read
from tests.controller.installed import AGENT, OPERATOR, Installed, install
from tests.controller.shop import verdict
from tests.controller.support import (
    MIB,
    Cluster,
    OperatorProcess,
    ended,
    identity,
    ramp,
    report,
    report_object,
    running,
    wait_for,
)
from tests.controller.usage_api import served

pytestmark = [pytest.mark.api_server, pytest.mark.timeout(240)]

HOME, SHOP, NODE = "rights", "rights-shop", "rights-node"
EVERY_OPTION = (
    "operator.standby=true",
    "operator.namespaces.selector=watched=yes",
    "operator.retention.workload=2",
    "alerts.slack.enabled=true",
    "alerts.slack.secret=slack",
    "alerts.slack.channel=#alerts",
    "alerts.slack.minSeverity=Info",
    "alerts.slack.storm.workloads=50",
    "alerts.slack.allowedChannels[0].namespaces={rights-*}",
    "alerts.slack.allowedChannels[0].channels={#team}",
)
WISH = "memdiag.dev/slack-channel"
OLD = time.time() - 30 * 24 * 3600
VPA: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {
        "name": "verticalpodautoscalers.autoscaling.k8s.io",
        "annotations": {"api-approved.kubernetes.io": "unapproved, a test's own"},
    },
    "spec": {
        "group": "autoscaling.k8s.io",
        "scope": "Namespaced",
        "names": {"plural": "verticalpodautoscalers", "singular": "vpa", "kind": "VerticalPodAutoscaler"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                    }
                },
            }
        ],
    },
}


class Scene:
    """The cluster, two operators of one installation, and what is done there."""

    def __init__(self, installed: Installed, cluster: Cluster, folder: Path) -> None:
        self.installed = installed
        self.cluster = cluster
        self.agent = installed.agent(NODE, folder)
        self.folder = folder
        self.ports: dict[str, int] = {}
        self.first, self.second = self._operator("first"), self._operator("second")

    def _operator(self, name: str) -> OperatorProcess:
        port = self.ports[name] = free_port()
        words = self.installed.operator_words(port)
        words[words.index("--alerts") + 1] = str(self.folder / "alerts.json")
        words[words.index("--alerts-secret") + 1] = str(self.folder / "bot-token")
        return OperatorProcess(
            self.installed.kubeconfig(OPERATOR, self.folder / name),
            self.folder / f"{name}.log",
            *words,
            namespace=HOME,
            env=self.installed.operator_env(name),
        )

    def create(self, path: str, **body: Any) -> dict[str, Any]:
        return self.cluster.api.create(path, body)

    def batch(self, kind: str, name: str, spec: Any, above: dict[str, Any] | None = None) -> dict[str, Any]:
        """Create a Job or CronJob; return the reference by which others name it as their controller."""
        owners = [] if above is None else [{**above, "controller": True}]
        metadata = {"name": name, "ownerReferences": owners}
        path = f"/apis/batch/v1/namespaces/{SHOP}/{kind.lower()}s"
        made = self.create(path, kind=kind, metadata=metadata, spec=spec)
        return {"apiVersion": "batch/v1", "kind": kind, "name": name, "uid": made["metadata"]["uid"]}

    def counts(self, diagnosis: str, kills: int) -> Callable[[], bool]:
        """Return the question whether a diagnosis counts so many kills."""
        return lambda: self.cluster.total(SHOP, diagnosis) == kills

    def pod(self, name: str, owner: dict[str, Any] | None, *statuses: dict[str, Any]) -> str:
        uid = self.cluster.pod(SHOP, name, ["app"], owner, node=NODE)
        self.cluster.pod_status(SHOP, name, *statuses)
        return uid

    def deliver(self, name: str, found: Report) -> None:
        """Create a report as the agent does."""
        answer = self.agent.create(json.dumps(report_object(name, replace(found, node=NODE), HOME)).encode())
        assert answer.status in (201, 409), answer

    def alert(self, diagnosis: str) -> dict[str, Any]:
        """Return what people were told of a diagnosis."""
        found: dict[str, Any] = (self.cluster.diagnosis(SHOP, diagnosis) or {}).get("status", {}).get("alert", {})
        return found

    def ready(self, name: str) -> bool:
        """Say whether an operator calls itself ready."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[name]}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def plateau(uid: str, number: int, when: float) -> Report:
    """Return the report of a container that ran close below its limit all its life."""
    samples = ramp(when, 600, 120 * MIB, 122 * MIB)
    run = HistoryRun(identity(number), samples[0].t, when, killed=True)
    return report(uid, identity(number), when, history=encode([(run, samples)]), container=samples[-1].level)


def surround(scene: Scene) -> None:
    """Put around the workload what bounds its limit."""
    core, target = f"/api/v1/namespaces/{SHOP}", {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    limits = [{"type": "Container", "max": {"memory": "2Gi"}}]
    scene.create(f"{core}/limitranges", metadata={"name": "rules"}, spec={"limits": limits})
    hard, used = {"limits.memory": "10Gi"}, {"limits.memory": "1Gi"}
    scene.create(f"{core}/resourcequotas", metadata={"name": "team"}, spec={"hard": hard})
    scene.cluster.api.patch(f"{core}/resourcequotas/team/status", {"status": {"hard": hard, "used": used}})
    policies = [{"containerName": "app", "maxAllowed": {"memory": "1Gi"}}]
    scene.create(
        f"/apis/autoscaling.k8s.io/v1/namespaces/{SHOP}/verticalpodautoscalers",
        apiVersion="autoscaling.k8s.io/v1",
        kind="VerticalPodAutoscaler",
        metadata={"name": "web"},
        spec={"targetRef": target, "resourcePolicy": {"containerPolicies": policies}},
    )
    average = {"type": "Utilization", "averageUtilization": 80}
    metric = {"type": "Resource", "resource": {"name": "memory", "target": average}}
    scene.create(
        f"/apis/autoscaling/v2/namespaces/{SHOP}/horizontalpodautoscalers",
        metadata={"name": "web"},
        spec={"scaleTargetRef": target, "maxReplicas": 3, "metrics": [metric]},
    )


def kills_of_a_deployment(scene: Scene) -> None:
    """Kill a replica three times, of which two are kept, have one told again, and let the API have its word."""
    owner = scene.cluster.deployment(SHOP, "web")
    surround(scene)
    uid = scene.pod("web-abc-1", owner, running("app", identity(1)))
    now = time.time()
    for number in (1, 2, 3):
        scene.cluster.pod_status(SHOP, "web-abc-1", running("app", identity(number), restarts=number - 1))
        scene.deliver(f"kill-{number}", plateau(uid, number, now - 2000 + 600 * number))
        wait_for(scene.counts("deployment-web-app", number))
    wait_for(lambda: len(scene.cluster.incidents(SHOP)) == 2)
    scene.deliver("kill-3-again", plateau(uid, 3, now - 200))
    scene.cluster.pod_status(SHOP, "web-abc-1", ended("app", identity(3), "Error", 137, restarts=2))
    wait_for(lambda: [one for one in scene.cluster.incidents(SHOP) if "podStatus" in one.get("status", {})])
    scene.deliver("kill-of-another-node", replace(report(uid, identity(3), now), ordinal=9))


def kills_of_others(scene: Scene) -> None:
    """Kill a Job of a CronJob and a bare pod, evict one, and let one rise towards its limit."""
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "app", "image": "example.org/app:1"}]}}
    schedule = {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": template}}}
    nightly = scene.batch("CronJob", "nightly", schedule)
    job = scene.batch("Job", "nightly-1", {"template": template}, nightly)
    uid = scene.pod("nightly-1-x", job, running("app", identity(10)))
    scene.deliver("kill-10", report(uid, identity(10), time.time()))

    uid = scene.pod("alone", None, running("app", identity(11)))
    scene.deliver("kill-11", report(uid, identity(11), OLD))

    scene.pod("evicted", None, ended("app", identity(12), "Error", 137))
    message = "The node was low on resource: memory. Container app was using 120Mi, request is 64Mi, has larger ..."
    status = {"phase": "Failed", "reason": "Evicted", "message": message}
    scene.cluster.api.patch(f"/api/v1/namespaces/{SHOP}/pods/evicted/status", {"status": status})

    uid, now = scene.pod("rising", None, running("app", identity(13))), time.time()
    samples = ramp(now, 3000, high=110 * MIB)
    trend = TrendReport(
        node=NODE,
        boot_id="5a0e3d1c-0000-4000-8000-000000000001",
        pod_uid=uid,
        container_id=identity(13),
        ordinal=1,
        time=now,
        trend=Trend(110 * MIB, 128 * MIB, 0.03 * MIB, 540.0, 500.0, 600.0, 3000.0),
        history=encode([(HistoryRun(identity(13), samples[0].t, None), samples)]),
    )
    assert scene.agent.create(json.dumps(trend_to_object(trend, "trend-13", HOME)).encode()).status == 201

    for name in ("cronjob-nightly-app", "pod-alone-app", "pod-evicted-app"):
        wait_for(scene.counts(name, 1))
    wait_for(lambda: "forecast" in (scene.cluster.diagnosis(SHOP, "pod-rising-app") or {}).get("status", {}))


def kill_where_a_user_was_first(scene: Scene) -> None:
    """Kill a container twice whose diagnosis a user made beforehand: it is adopted, and gets its owner."""
    owner = scene.cluster.deployment(SHOP, "mine")
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "mine"}
    spec = {"targetRef": target, "container": "app"}
    scene.create(DIAGNOSIS.path(SHOP), apiVersion=API_VERSION, kind=DIAGNOSIS.name, metadata={"name": "own"}, spec=spec)
    uid = scene.pod("mine-abc-1", owner, running("app", identity(20)))
    for kills, number in enumerate((20, 21), 1):
        scene.cluster.pod_status(SHOP, "mine-abc-1", running("app", identity(number), restarts=kills - 1))
        scene.deliver(f"kill-{number}", report(uid, identity(number), time.time()))
        wait_for(scene.counts("own", kills))
    found = scene.cluster.diagnosis(SHOP, "own") or {}
    assert [one["name"] for one in found["metadata"]["ownerReferences"]] == ["mine"]


def kills_that_are_told_in_a_channel_of_their_owners_choice(scene: Scene) -> None:
    """Kill what has an annotation itself, and what has one on its namespace only, of a channel that is not allowed."""
    api, apps = scene.cluster.api, f"/apis/apps/v1/namespaces/{SHOP}"
    replicas = scene.cluster.deployment(SHOP, "told")
    api.patch(f"{apps}/deployments/told", {"metadata": {"annotations": {WISH: "#team"}}})
    template = {
        "metadata": {"labels": {"app": "told"}},
        "spec": {"containers": [{"name": "app", "image": "example.org/app:1"}]},
    }
    spec = {"selector": {"matchLabels": {"app": "told"}}, "template": template}
    owners = {"deployment": replicas}
    for kind, wish in (("StatefulSet", {WISH: "team"}), ("DaemonSet", {})):
        metadata = {"name": "told", "annotations": wish}
        made = scene.create(f"{apps}/{kind.lower()}s", kind=kind, metadata=metadata, spec=spec)
        reference = {"apiVersion": "apps/v1", "kind": kind, "name": "told", "uid": made["metadata"]["uid"]}
        owners[kind.lower()] = reference
    for number, (kind, owner) in enumerate(owners.items(), 50):
        uid = scene.pod(f"told-{kind}", owner, running("app", identity(number)))
        scene.deliver(f"kill-{number}", report(uid, identity(number), time.time()))
    for name in (*(f"{kind}-told-app" for kind in owners), "cronjob-nightly-app"):
        wait_for(lambda name=name: scene.alert(name).get("told"), 60)  # type: ignore[misc]  # a default


def change_of_operators(scene: Scene) -> None:
    """End the one at work when all is said: the one that stood by takes over and works."""
    first, second = scene.first, scene.second
    wait_for(lambda: scene.cluster.api.get(f"/api/v1/namespaces/{HOME}/events")["items"])
    assert "operator watches" not in second.log()
    assert first.stop() == 0, first.log()
    wait_for(lambda: "operator watches" in second.log(), 120)
    uid = scene.pod("after", None, running("app", identity(30)))
    scene.deliver("kill-30", report(uid, identity(30), time.time()))
    wait_for(scene.counts("pod-after-app", 1))


def age(scene: Scene) -> None:
    """Let the operator's periodic loop look at the cluster as it will be when diagnoses without owner are too old."""
    api, metrics = HttpApi(connect(scene.folder / "first")), Metrics()
    upkeep = Upkeep(
        api,
        Diagnoser(api, verdict),
        Workloads(api),
        list,
        metrics,
        keep=Keep(),
        quiet_hours=24,
        wall=lambda: time.time() + LIFE + 60,
    )
    upkeep.once()
    assert scene.cluster.diagnosis(SHOP, "pod-alone-app") is None
    assert scene.cluster.diagnosis(SHOP, "deployment-web-app") is not None


@pytest.fixture(scope="module")
def slack() -> Iterator[FakeSlack]:
    with slack_server(spacing=0.0) as found:
        found.add("team")
        yield found


@pytest.fixture(scope="module")
def installed(api_server: ControlPlane, helm: Path, slack: FakeSlack) -> Iterator[Installed]:
    found = install(api_server, helm, HOME, *EVERY_OPTION, f"alerts.slack.baseURL={slack.api}")
    yield found
    found.remove()


@pytest.fixture(scope="module")
def scene(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Give a cluster in which everything was done that memdiag reacts to."""
    folder, cluster = tmp_path_factory.mktemp("rights"), Cluster(installed.api)
    (folder / "alerts.json").write_text(one(list(installed.objects), "ConfigMap", "-alerts")["data"]["alerts.json"])
    (folder / "bot-token").write_text(TOKEN)
    allocatable = {"memory": "8Gi", "cpu": "4", "pods": "110"}
    installed.api.create("/api/v1/nodes", {"metadata": {"name": NODE}, "status": {"allocatable": allocatable}})
    installed.plane.kubectl("apply", "-f", _written(folder / "vpa.json", VPA))
    installed.plane.kubectl("wait", "--for=condition=Established", "crd", VPA["metadata"]["name"], "--timeout=30s")
    cluster.namespace(SHOP, watched="yes")
    installed.api.patch(f"/api/v1/namespaces/{SHOP}", {"metadata": {"annotations": {WISH: "#elsewhere"}}})
    cluster.namespace(f"{SHOP}-unwatched")
    found = Scene(installed, cluster, folder)
    first, second = found.first, found.second
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{HOME}/leases/{OPERATOR}"
    installed.api.get(lease)
    installed.api.delete(lease)
    first.start()
    try:
        with served(installed.plane, installed.api, HOME, {"web-abc-1": {"app": "512Mi"}}):
            wait_for(lambda: "operator watches" in first.log(), 120)
            second.start()
            wait_for(lambda: found.ready("first"), 60)
            kills_of_a_deployment(found)
            kills_of_others(found)
            kill_where_a_user_was_first(found)
            kills_that_are_told_in_a_channel_of_their_owners_choice(found)
            wait_for(lambda: found.ready("second"), 120)
            change_of_operators(found)
            age(found)
            wait_for(lambda: not cluster.api.get(f"{KINDS[0].path(HOME)}")["items"])
        yield found
    finally:
        for operator in (first, second):
            operator.kill()
        found.agent.close()
        installed.plane.kubectl("delete", "crd", VPA["metadata"]["name"])
        installed.plane.kubectl("delete", "node", NODE)


def _written(path: Path, body: dict[str, Any]) -> str:
    path.write_text(json.dumps(body))
    return str(path)


def asked(scene: Scene, account: str) -> list[Asked]:
    user = scene.installed.user(account)
    return [one for one in read(scene.installed.plane.audit_log) if one.user == user]


@pytest.mark.parametrize("account", [OPERATOR, AGENT])
def test_nothing_is_refused(scene: Scene, account: str) -> None:
    found = asked(scene, account)
    assert found
    assert [f"{one.verb} {one.uri}" for one in found if one.code in (401, 403)] == []


@pytest.mark.parametrize("account", [OPERATOR, AGENT])
def test_every_right_is_used(scene: Scene, account: str) -> None:
    granted = scene.installed.granted(account)
    used = {one.right for one in asked(scene, account) if one.right is not None and 200 <= one.code < 300}
    assert granted
    assert sorted(map(str, granted - used)) == [], "granted, and never used with success"
    assert sorted(map(str, used - granted)) == [], "used, and given by somebody else"


def test_nothing_is_written_but_memdiags_own_kinds_events_and_its_lease(scene: Scene) -> None:
    written = {one.right for one in asked(scene, OPERATOR) if one.right is not None and one.verb in WRITING}
    foreign = {one for one in written if one.group != "memdiag.dev"}
    assert foreign == {
        Right("", "events", "create"),
        Right("", "events", "patch"),
        Right("coordination.k8s.io", "leases", "create"),
        Right("coordination.k8s.io", "leases", "update"),
    }
    assert {one.namespace for one in asked(scene, OPERATOR) if "leases" in one.uri} == {HOME}
    for path in ("/api/v1/pods", "/api/v1/nodes", "/apis/apps/v1/deployments", "/apis/batch/v1/jobs"):
        for item in scene.cluster.api.get(path)["items"]:
            managers = {one["manager"] for one in item["metadata"].get("managedFields", ())}
            assert not any("kopf" in one or "memdiag" in one for one in managers)


def test_no_object_of_memdiags_kinds_has_a_finalizer(scene: Scene) -> None:
    items = [item for kind in KINDS for item in scene.cluster.api.get(kind.path())["items"]]
    assert len(items) > 5
    assert [item["metadata"]["name"] for item in items if "finalizers" in item["metadata"]] == []
    assert [item["metadata"]["name"] for item in items if "annotations" in item["metadata"]] == []


def test_use_of_the_replicas_and_what_others_say_stand_in_the_recommendation(scene: Scene) -> None:
    found = (scene.cluster.diagnosis(SHOP, "deployment-web-app") or {})["status"]
    advice = found["recommendation"]
    assert (advice["action"], advice["limit"]) == ("RaiseLimit", "512Mi")
    assert "what pod web-abc-1 uses now by metrics.k8s.io allows no less than 512 MiB" in advice["clamps"][0]
    assert "VerticalPodAutoscaler web" in " ".join(advice["warnings"])
    assert "HorizontalPodAutoscaler web" in " ".join(advice["warnings"])
    assert [one for one in found.get("missing", ()) if "not readable" in one] == []


def test_an_annotation_chooses_among_the_channels_that_are_allowed(scene: Scene, slack: FakeSlack) -> None:
    team = next(channel for channel in slack.channels if channel.name == "team")
    chosen = {name: scene.alert(f"{name}-told-app")["channel"] for name in ("deployment", "statefulset", "daemonset")}
    assert chosen == {"deployment": "#team", "statefulset": "#team", "daemonset": "#alerts"}
    conditions = (scene.cluster.diagnosis(SHOP, "daemonset-told-app") or {})["status"]["conditions"]
    (alerted,) = [one for one in conditions if one["type"] == "Alerted"]
    assert (alerted["status"], alerted["reason"]) == ("True", "ChannelNotAllowed")
    assert len([one for one in slack.heads() if one.channel == team.identity]) == 2
    assert slack.refused == []


def test_kills_older_than_the_installation_are_summed_up_once_and_not_announced(scene: Scene) -> None:
    (summary,) = scene.cluster.api.get(f"/api/v1/namespaces/{HOME}/events")["items"]
    assert summary["reason"] == "KillsFoundAtInstall"
    assert "5 kills of 3 workloads are older than memdiag's installation and were not announced" in summary["message"]
    assert f"{SHOP}/web (3), " in summary["message"]
    told = scene.cluster.api.get(f"/api/v1/namespaces/{SHOP}/events")["items"]
    about = {(one["involvedObject"]["kind"], one["involvedObject"]["name"]): one["count"] for one in told}
    assert not {name for _, name in about} & {"web", "web-abc-1", "alone", "evicted"}
    assert (about["Deployment", "mine"], about["Pod", "mine-abc-1"]) == (2, 2)


def test_without_memdiag_namespaces_and_kinds_can_be_deleted(scene: Scene) -> None:
    """The namespace holds incidents, diagnoses and Events; memdiag's own holds a report that nobody works off."""
    scene.second.stop()
    plane = scene.installed.plane
    uid = scene.pod("late", None, running("app", identity(40)))
    scene.deliver("kill-40", report(uid, identity(40), time.time()))
    # the kubelet's part: nobody else ends pods that have a node
    plane.kubectl("delete", "pods", "--all", "-n", SHOP, "--force", "--grace-period=0")
    plane.start_controllers("namespace-controller")
    try:
        assert "deleted" in plane.kubectl("delete", "namespace", SHOP, "--timeout=60s", timeout=90)
        names = [f"{kind.plural}.memdiag.dev" for kind in KINDS]
        assert plane.kubectl("delete", "crd", *names, "--timeout=60s", timeout=90).count("deleted") == len(KINDS)
    finally:
        plane.process("controller-manager").stop()
