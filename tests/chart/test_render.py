"""The rendered chart: valid, hardened, and saying exactly what was meant."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import yaml

from memdiag.cli import check
from memdiag.controller.options import Keep, configure, options_of
from memdiag.controller.prometheus import StoreOptions
from testbed.control_plane import ControlPlane
from tests.chart.rendering import (
    CHART,
    NAMESPACE,
    RELEASE,
    REPOSITORY,
    empty_places,
    one,
    pod_spec,
    render,
    run_helm,
    validate,
)

pytestmark = pytest.mark.api_server

CASES: dict[str, tuple[str, ...]] = {
    "defaults": (),
    "no agent": ("agent.enabled=false",),
    "no kinds": ("crds.enabled=false",),
    "kinds not kept": ("crds.keep=false",),
    "everything set": (
        "imagePullSecrets={one,two}",
        "image.tag=1.2.3",
        "operator.priorityClassName=system-cluster-critical",
        "agent.priorityClassName=system-node-critical",
        "operator.tolerations[0].operator=Exists",
        "operator.secondWitness=false",
        "operator.namespaces.include={team-*,shop}",
        "operator.namespaces.exclude={kube-system}",
        "operator.namespaces.selector=env=prod",
        "operator.quietHours=6",
        "operator.scrapeAnnotations=true",
        "operator.standby=true",
        "history.prometheus.url=https://mimir.example/prometheus",
        "history.prometheus.tenant=team-a",
        "history.prometheus.secret=store",
        "history.prometheus.token=true",
        "history.prometheus.ca=true",
        "agent.updateStrategy.maxUnavailable=3",
        "agent.scrapeAnnotations=true",
        "agent.kernelLog=none",
        "fullnameOverride=watcher",
    ),
    "more volumes": (
        "operator.extraVolumes[0].name=company",
        "operator.extraVolumes[0].configMap.name=authorities",
        "operator.extraVolumeMounts[0].name=company",
        "operator.extraVolumeMounts[0].mountPath=/etc/ssl/company",
        "agent.extraEnv.TZ=Europe/Berlin",
        "agent.extraVolumes[0].name=scratch",
        "agent.extraVolumes[0].emptyDir.sizeLimit=1Mi",
        "agent.extraVolumeMounts[0].name=scratch",
        "agent.extraVolumeMounts[0].mountPath=/scratch",
    ),
    "everything on": (
        "commonLabels.team=sre",
        "commonAnnotations.note=yes",
        "networkPolicy.enabled=true",
        "grafanaDashboard.enabled=true",
        "agent.seLinuxOptions.type=spc_t",
    ),
    "slack": (
        "alerts.slack.enabled=true",
        "alerts.slack.credential=xoxb-not-a-real-one",
        "alerts.slack.channel=#memory",
        "alerts.slack.allowedChannels[0].namespaces={team-*}",
        "alerts.slack.allowedChannels[0].channels={#team}",
    ),
    "lists emptied": ("agent.tolerations=null", "agent.nodeSelector=null", "operator.nodeSelector=null"),
}
SELECTOR_KEYS = {"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"}
LABEL_KEYS = SELECTOR_KEYS | {
    "app.kubernetes.io/version",
    "app.kubernetes.io/part-of",
    "app.kubernetes.io/managed-by",
    "helm.sh/chart",
}
LONGEST_CRDS = 100_000
"""Bytes; a release's Secret holds chart and manifest and must stay below 1 MiB."""


@pytest.fixture(params=list(CASES.values()), ids=list(CASES))
def objects(helm: Path, request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return render(helm, *request.param)


def hook(each: dict[str, Any]) -> bool:
    """Say whether an object is there only for `helm test`."""
    return "helm.sh/hook" in each["metadata"].get("annotations", {})


@pytest.fixture(scope="module")
def defaults(helm: Path) -> list[dict[str, Any]]:
    return render(helm)


def test_lint_is_clean(helm: Path) -> None:
    done = run_helm(helm, "lint", "--strict", str(CHART), "--set", REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr


def test_objects_are_valid_kubernetes(objects: list[dict[str, Any]]) -> None:
    for each in objects:
        validate(each)


def test_nothing_null_or_empty_is_rendered(objects: list[dict[str, Any]]) -> None:
    ours = [each for each in objects if each["kind"] != "CustomResourceDefinition"]
    assert [f"{each['kind']}{place}" for each in ours for place in empty_places(each)] == []


def test_every_object_is_labelled_and_leaves_its_namespace_to_helm(objects: list[dict[str, Any]]) -> None:
    for each in objects:
        assert set(each["metadata"]["labels"]) >= LABEL_KEYS, each["metadata"]["name"]
        assert "namespace" not in each["metadata"]


def test_selectors_hold_what_never_changes_and_match_their_pods(objects: list[dict[str, Any]]) -> None:
    for each in (each for each in objects if each["kind"] in {"Deployment", "DaemonSet"}):
        selector = each["spec"]["selector"]["matchLabels"]
        assert set(selector) == SELECTOR_KEYS
        assert selector.items() <= each["spec"]["template"]["metadata"]["labels"].items()


def test_operator_meets_the_restricted_standard(objects: list[dict[str, Any]]) -> None:
    deployment = one(objects, "Deployment")
    spec = pod_spec(deployment)
    standby = any(each["kind"] == "Lease" for each in objects)
    assert deployment["spec"]["replicas"] == (2 if standby else 1)
    gently = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    assert deployment["spec"]["strategy"] == (gently if standby else {"type": "Recreate"})
    # one replica must not hold up the draining of its node
    budgets = [each["spec"] for each in objects if each["kind"] == "PodDisruptionBudget"]
    assert [(each["maxUnavailable"], each["selector"]) for each in budgets] == (
        [(1, deployment["spec"]["selector"])] if standby else []
    )
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    group = spec["securityContext"].pop("fsGroup", None)
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    kinds = [next(iter(set(volume) - {"name"})) for volume in spec["volumes"]]
    assert set(kinds) <= {"configMap", "emptyDir", "secret"}
    # a mounted Secret is readable to the operator's group alone
    assert group == (65532 if "secret" in kinds else None)
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all("hostPort" not in port for port in container["ports"])


def test_agent_has_syslog_and_nothing_else(defaults: list[dict[str, Any]]) -> None:
    spec = pod_spec(one(defaults, "DaemonSet"))
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "runAsUser": 0,
        "runAsNonRoot": False,
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], "add": ["SYSLOG"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    paths = {volume["name"]: volume["hostPath"]["path"] for volume in spec["volumes"]}
    assert paths == {"cgroup": "/sys/fs/cgroup", "proc": "/proc", "state": "/var/lib/memdiag"}
    assert {mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")} == {"state"}


def test_agent_runs_on_every_linux_node_and_rolls_out_gently(defaults: list[dict[str, Any]]) -> None:
    agent = one(defaults, "DaemonSet")
    assert pod_spec(agent)["tolerations"] == [{"operator": "Exists"}]
    assert pod_spec(agent)["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert agent["spec"]["updateStrategy"]["rollingUpdate"] == {"maxUnavailable": "10%"}


def test_commands_fit_the_mounts_and_ports(defaults: list[dict[str, Any]]) -> None:
    (agent,) = pod_spec(one(defaults, "DaemonSet"))["containers"]
    words = agent["args"]
    assert words[0] == "agent"
    options = dict(zip(words[1::2], words[2::2], strict=True))
    mounts = {mount["name"]: mount["mountPath"] for mount in agent["volumeMounts"]}
    assert options == {
        "--cgroup-root": mounts["cgroup"],
        "--proc-root": mounts["proc"],
        "--state-dir": mounts["state"],
        "--namespace": "$(POD_NAMESPACE)",
        "--health-port": str(agent["ports"][0]["containerPort"]),
        "--kernel-log": "syslog",
    }
    (operator,) = pod_spec(one(defaults, "Deployment"))["containers"]
    words = operator["args"]
    assert words[0] == "operator"
    assert dict(zip(words[1::2], words[2::2], strict=True)) == {
        "--namespace": "$(POD_NAMESPACE)",
        "--health-port": str(operator["ports"][0]["containerPort"]),
        "--quiet-hours": "24",
        "--keep-per-workload": "20",
        "--keep-per-namespace": "500",
        "--keep-in-cluster": "5000",
    }
    parser = argparse.ArgumentParser()
    configure(parser)
    assert options_of(parser.parse_args(words[1:])).keep == Keep()
    for container in (agent, operator):
        for probe, path in (("startup", "/healthz"), ("liveness", "/healthz"), ("readiness", "/readyz")):
            assert container[f"{probe}Probe"]["httpGet"] == {"path": path, "port": container["ports"][0]["name"]}
        assert container["resources"]["limits"]["memory"]


def test_agent_may_create_reports_and_nothing_else(defaults: list[dict[str, Any]]) -> None:
    assert one(defaults, "Role", "-agent")["rules"] == [
        {"apiGroups": ["memdiag.dev"], "resources": ["memoryreports"], "verbs": ["create"]}
    ]
    holders = [
        each["roleRef"]["name"]
        for each in defaults
        if each["kind"] in {"RoleBinding", "ClusterRoleBinding"}
        for subject in each["subjects"]
        if subject["name"].endswith("-agent")
    ]
    assert holders == [one(defaults, "Role", "-agent")["metadata"]["name"]]


def test_operator_writes_its_own_kinds_and_events_only(defaults: list[dict[str, Any]]) -> None:
    reading = {"get", "list", "watch"}
    for each in (each for each in defaults if each["kind"] in {"Role", "ClusterRole"} and not hook(each)):
        for rule in each["rules"]:
            words = [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]
            assert "*" not in words
            assert "secrets" not in words
            own = rule["apiGroups"] == ["memdiag.dev"] or rule["resources"] == ["events"]
            assert set(rule["verbs"]) <= reading or own


def test_roles_join_the_built_in_ones(defaults: list[dict[str, Any]]) -> None:
    view, edit = one(defaults, "ClusterRole", "-view"), one(defaults, "ClusterRole", "-edit")
    assert view["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"] == "true"
    assert edit["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
    assert [rule["resources"] for rule in view["rules"]] == [["memoryincidents", "memorydiagnoses"]]
    assert [rule["resources"] for rule in edit["rules"]] == [["memorydiagnoses"]]


def test_two_releases_share_no_cluster_scoped_name(helm: Path) -> None:
    def names(release: str, namespace: str) -> set[tuple[str, str]]:
        rendered = render(helm, "crds.enabled=false", release=release, namespace=namespace)
        return {
            (each["kind"], each["metadata"]["name"])
            for each in rendered
            if each["kind"].startswith(("Cluster", "Validating"))
        }

    first = names(RELEASE, NAMESPACE)
    assert len(first) == 6
    assert not first & names(RELEASE, "elsewhere")
    assert not first & names("r2", NAMESPACE)


@pytest.mark.parametrize("word", ["n", "1e3", "007"])
def test_names_that_look_like_other_types_stay_text(helm: Path, word: str) -> None:
    for each in render(helm, release=word, namespace=word):
        validate(each)
        assert each["metadata"]["labels"]["app.kubernetes.io/instance"] == word


@pytest.mark.parametrize("name", ["1e3", f"prod.{'s' * 248}"])
def test_what_is_there_already_may_have_any_name_that_kubernetes_gives(helm: Path, name: str) -> None:
    values = ("operator.priorityClassName", "history.prometheus.secret", "alerts.slack.secret", "imagePullSecrets[0]")
    slack = ("alerts.slack.enabled=true", "alerts.slack.channel=#a")
    more = (*slack, "fullnameOverride=1e3", "prometheusRule.enabled=true")
    objects = render(helm, *more, *(f"{value}={name}" for value in values))
    spec = pod_spec(one(objects, "Deployment"))
    secrets = [volume["secret"]["secretName"] for volume in spec["volumes"] if "secret" in volume]
    assert [spec["priorityClassName"], *secrets, spec["imagePullSecrets"][0]["name"]] == [name] * 4
    assert one(objects, "PrometheusRule")["metadata"]["name"] == "1e3"


def test_dots_of_a_releases_name_are_in_no_services(helm: Path) -> None:
    objects = render(helm, "serviceMonitor.enabled=true", release="team.memory")
    services = [each for each in objects if each["kind"] == "Service"]
    assert {each["metadata"]["name"] for each in services} == {
        "team-memory-memdiag-agent",
        "team-memory-memdiag-operator",
    }
    for each in objects:
        assert each["metadata"]["labels"]["app.kubernetes.io/instance"] == "team.memory"


def test_long_release_names_still_fit(helm: Path) -> None:
    for each in render(helm, release="r" * 53, namespace="n" * 63):
        assert len(each["metadata"]["name"]) <= (253 if each["kind"].startswith(("Cluster", "Valid", "Custom")) else 63)
        assert all(len(value) <= 63 for value in each["metadata"]["labels"].values())


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        ((), "registry.example/memdiag:0.1.0"),
        (("image.tag=1.2.3",), "registry.example/memdiag:1.2.3"),
        (("image.tag=1.2.3", "image.digest=sha256:" + "a" * 64), "registry.example/memdiag@sha256:" + "a" * 64),
    ],
)
def test_one_image_for_both(helm: Path, settings: tuple[str, ...], reference: str) -> None:
    rendered = render(helm, *settings)
    images = {pod_spec(one(rendered, kind))["containers"][0]["image"] for kind in ("Deployment", "DaemonSet")}
    assert images == {reference}


def test_kinds_are_the_generated_ones_and_outlive_the_release(defaults: list[dict[str, Any]]) -> None:
    sources = {path: yaml.safe_load(path.read_text()) for path in (CHART.parent.parent / "crds").glob("*.yaml")}
    assert sum(path.stat().st_size for path in sources) < LONGEST_CRDS
    assert len(sources) == 3
    for source in sources.values():
        rendered = one(defaults, "CustomResourceDefinition", source["metadata"]["name"])
        assert rendered["spec"] == source["spec"]
        assert rendered["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_kinds_can_go_with_the_release_or_be_left_out(helm: Path) -> None:
    kind = "CustomResourceDefinition"
    gone = [each for each in render(helm, "crds.keep=false") if each["kind"] == kind]
    assert len(gone) == 3
    assert all("helm.sh/resource-policy" not in each["metadata"].get("annotations", {}) for each in gone)
    assert not [each for each in render(helm, "crds.enabled=false") if each["kind"] == kind]


def test_without_the_agent_no_right_is_left_to_it_and_reports_are_still_guarded(helm: Path) -> None:
    rendered = render(helm, "agent.enabled=false")
    assert not [each for each in rendered if each["metadata"]["name"].endswith("-agent")]
    assert one(rendered, "ValidatingAdmissionPolicy")["spec"]["failurePolicy"] == "Fail"


def test_notes_name_the_next_command(helm: Path, api_server: ControlPlane) -> None:
    words = ("--dry-run=client", "--namespace", NAMESPACE, "--set", REPOSITORY)
    # Helm 3 asks a cluster even then
    done = run_helm(helm, "install", RELEASE, str(CHART), *words, "--kubeconfig", str(api_server.kubeconfig))
    assert done.returncode == 0, done.stderr
    assert "kubectl get memorydiagnosis -A" in done.stdout
    assert f"label --overwrite namespace {NAMESPACE} pod-security.kubernetes.io/enforce=privileged" in done.stdout


def test_the_operator_is_told_what_the_values_say(helm: Path) -> None:
    objects = render(helm, "agent.enabled=false", *CASES["everything set"])
    (operator,) = pod_spec(one(objects, "Deployment"))["containers"]
    parser = argparse.ArgumentParser()
    configure(parser)
    found = options_of(parser.parse_args(operator["args"][1:]))
    assert (found.second_witness, found.agents, found.quiet_hours) == (False, False, 6)
    assert (found.include_namespaces, found.exclude_namespaces) == (("team-*", "shop"), ("kube-system",))
    assert found.namespace_selector == "env=prod"
    folder = Path("/etc/memdiag/history")
    url = "https://mimir.example/prometheus"
    assert found.store == StoreOptions(url, folder / "ca.crt", folder / "token", "team-a")
    assert found.standby
    rules = one(objects, "ClusterRole", "-operator")["rules"]
    assert [rule["verbs"] for rule in rules if rule["resources"] == ["namespaces"]] == [["list", "watch"]]


def test_common_labels_and_annotations_reach_every_object_and_pod_and_no_selector(helm: Path) -> None:
    for each in render(helm, "commonLabels.team=sre", "commonAnnotations.note=yes"):
        places = [each["metadata"]]
        if each["kind"] in {"Deployment", "DaemonSet"}:
            places.append(each["spec"]["template"]["metadata"])
            assert "team" not in each["spec"]["selector"]["matchLabels"]
        for place in places:
            assert place["labels"]["team"] == "sre", each["metadata"]["name"]
            assert place["annotations"]["note"] == "yes", each["metadata"]["name"]


def test_further_variables_and_volumes_join_the_charts_own(helm: Path) -> None:
    bare, more = render(helm), render(helm, *CASES["more volumes"])
    for kind, name, path in (("Deployment", "company", "/etc/ssl/company"), ("DaemonSet", "scratch", "/scratch")):
        before, after = pod_spec(one(bare, kind)), pod_spec(one(more, kind))
        assert next(each for each in after["volumes"] if each not in before["volumes"])["name"] == name
        mounts = [spec["containers"][0]["volumeMounts"] for spec in (before, after)]
        assert mounts[1] == [*mounts[0], {"name": name, "mountPath": path}]
    variables = [pod_spec(one(objects, "DaemonSet"))["containers"][0]["env"] for objects in (bare, more)]
    assert variables[1] == [*variables[0], {"name": "TZ", "value": "Europe/Berlin"}]


def test_labels_of_pods_never_replace_the_charts_own(helm: Path) -> None:
    objects = render(helm, "operator.podLabels.tier=a", "commonLabels.tier=b", "operator.podAnnotations.note=mine")
    pod = one(objects, "Deployment")["spec"]["template"]["metadata"]
    assert pod["labels"]["tier"] == "b"
    assert pod["annotations"]["note"] == "mine"


def test_the_check_of_helm_test_reads_and_is_gone_afterwards(defaults: list[dict[str, Any]], helm: Path) -> None:
    hooks = [each for each in defaults if hook(each)]
    assert {each["kind"] for each in hooks} == {"ServiceAccount", "Role", "RoleBinding", "Pod"}
    for each in hooks:
        assert each["metadata"]["annotations"]["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
    spec = one(defaults, "Pod")["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["image"] == pod_spec(one(defaults, "Deployment"))["containers"][0]["image"]
    parser = argparse.ArgumentParser()
    check.configure(parser)
    found = parser.parse_args(container["args"][1:])
    assert (found.namespace, found.release, found.no_agents) == (NAMESPACE, RELEASE, False)
    bare = one(render(helm, "agent.enabled=false"), "Pod")["spec"]["containers"][0]["args"]
    assert parser.parse_args(bare[1:]).no_agents


def test_network_policies_open_one_port_and_the_ways_that_are_needed(helm: Path) -> None:
    objects = render(helm, "networkPolicy.enabled=true")
    for component in ("operator", "agent"):
        spec = one(objects, "NetworkPolicy", f"-{component}")["spec"]
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        assert spec["ingress"] == [{"ports": [{"port": "health", "protocol": "TCP"}]}]
        assert [port["port"] for rule in spec["egress"] for port in rule["ports"]] == [53, 53, 443, 6443]
        assert spec["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == component
    there = one(render(helm, "networkPolicy.enabled=true", "openshift.scc=true"), "NetworkPolicy", "-agent")
    names = [(port["port"], port["protocol"]) for port in there["spec"]["egress"][0]["ports"]]
    assert names == [(53, "UDP"), (53, "TCP"), (5353, "UDP"), (5353, "TCP")], "the pods of OpenShift's name servers"
    bare = render(helm, "networkPolicy.enabled=true", "agent.enabled=false")
    assert one(bare, "NetworkPolicy")["metadata"]["name"].endswith("-operator")


@pytest.mark.parametrize("case", ["defaults", "more volumes"])
def test_openshift_gets_what_the_agent_needs_and_no_privilege(helm: Path, case: str) -> None:
    objects = render(helm, "openshift.scc=true", *CASES[case])
    allowed = one(objects, "SecurityContextConstraints")
    assert allowed["allowedCapabilities"] == ["SYSLOG"]
    assert not allowed["allowPrivilegedContainer"]
    assert allowed["users"] == [f"system:serviceaccount:{NAMESPACE}:r1-memdiag-agent"]
    spec = pod_spec(one(objects, "DaemonSet"))
    used = {next(iter(set(volume) - {"name"})) for volume in spec["volumes"]}
    # the service account's token is a projected volume, which the API server adds
    assert {*used, "projected"} == set(allowed["volumes"])
    nonroot = one(objects, "RoleBinding", "-nonroot")
    assert nonroot["roleRef"]["name"] == "system:openshift:scc:nonroot-v2"
    numeric = {one(objects, "Pod")["spec"]["serviceAccountName"], f"{RELEASE}-memdiag-operator"}
    assert {subject["name"] for subject in nonroot["subjects"]} == numeric
