"""The rights of the chart's accounts on a real API server: an agent may report on its own node, and nothing else."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from memdiag.model.report import GROUP, VERSION
from testbed.control_plane import ControlPlane
from tests.chart.rendering import one, pod_spec, render

pytestmark = pytest.mark.api_server

HOME, NEIGHBOUR, ELSEWHERE = "policy-home", "policy-neighbour", "policy-elsewhere"
"""Namespaces: of the release under test, of a second release, of neither."""
OWN_NODE, OTHER_NODE = "policy-node-a", "policy-node-b"
AGENT = "r1-memdiag-agent"
SECONDS_TO_TAKE_EFFECT = 30.0
SECONDS_OF_A_TOKEN = 3600

_ordinals = itertools.count(1)


def report(node: str | None) -> dict[str, Any]:
    """Return a small valid report that says it comes from a node."""
    ordinal = next(_ordinals)
    spec = {
        "bootID": "0d3a1c1e-8d7c-4c3f-9b7a-2f0d5f0f6a11",
        "podUID": "6f1d5d0a-3c55-4f2b-8f8f-0a8c1f7e2d10",
        "containerID": "c" * 64,
        "ordinal": ordinal,
        "kill": {"time": "2026-01-01T00:00:00.000000Z", "limitHit": "Container"},
    }
    named = {} if node is None else {"node": node}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "MemoryReport",
        "metadata": {"name": f"report-{ordinal}"},
        "spec": {**named, **spec},
    }


@dataclass(frozen=True)
class Caller:
    """Somebody who speaks to the API server."""

    api: Any
    """The client; untyped, since plain maps are sent where its stubs know only its own classes."""

    @property
    def core(self) -> Any:
        """Namespaces, nodes, pods, accounts."""
        return client.CoreV1Api(self.api)

    @property
    def objects(self) -> Any:
        """Our kinds."""
        return client.CustomObjectsApi(self.api)

    @property
    def roles(self) -> Any:
        """RBAC."""
        return client.RbacAuthorizationV1Api(self.api)

    @property
    def policies(self) -> Any:
        """Admission."""
        return client.AdmissionregistrationV1Api(self.api)

    def create(self, node: str | None, namespace: str = HOME, *, dry_run: bool = False) -> str:
        """Create a report and return its name. Raises ApiException when refused."""
        body = report(node)
        dry = {"dry_run": "All"} if dry_run else {}
        self.objects.create_namespaced_custom_object(GROUP, VERSION, namespace, "memoryreports", body, **dry)
        name: str = body["metadata"]["name"]
        return name

    def refused(self, node: str | None, namespace: str = HOME) -> str:
        """Say why creating a report is refused; an assertion fails when it is not."""
        with pytest.raises(ApiException) as caught:
            self.create(node, namespace)
        assert caught.value.status == 403
        return str(caught.value.body)


@dataclass(frozen=True)
class Installed:
    """The chart's rights in force, and ways to get a token."""

    admin: Caller

    def caller(self, token: str) -> Caller:
        """Return somebody who holds a token and nothing else."""
        known = self.admin.api.configuration
        bare = client.Configuration(host=known.host)
        bare.ssl_ca_cert = known.ssl_ca_cert
        bare.api_key = {"authorization": f"Bearer {token}"}
        return Caller(client.ApiClient(bare))

    def account(self, name: str, namespace: str = HOME, pod: Any = None) -> Caller:
        """Return a service account's caller; given a pod, the token is bound to it and its node."""
        spec: dict[str, Any] = {"audiences": [], "expirationSeconds": SECONDS_OF_A_TOKEN}
        if pod is not None:
            spec["boundObjectRef"] = {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": pod.metadata.name,
                "uid": pod.metadata.uid,
            }
        answer = self.admin.core.create_namespaced_service_account_token(name, namespace, {"spec": spec})
        return self.caller(answer.status.token)

    def pod(self, template: dict[str, Any], name: str, node: str, namespace: str = HOME) -> Any:
        """Create a pod on a node, as the DaemonSet's controller and the scheduler would."""
        body = {"metadata": {"name": name}, "spec": {**template, "nodeName": node}}
        return self.admin.core.create_namespaced_pod(namespace, body)


def in_force(admin: Caller, namespace: str) -> bool:
    """Say whether the policy of a namespace refuses even the administrator by now."""
    try:
        admin.create(OWN_NODE, namespace, dry_run=True)
    except ApiException as refusal:
        return "may create reports" in str(refusal.body)
    return False


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Wait for something that takes effect soon."""
    end = time.monotonic() + SECONDS_TO_TAKE_EFFECT
    while not true():
        assert time.monotonic() < end, f"{what}: not within {SECONDS_TO_TAKE_EFFECT:.0f} s"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def agent_template(helm: Path) -> dict[str, Any]:
    return pod_spec(one(render(helm, namespace=HOME), "DaemonSet"))


@pytest.fixture(scope="module")
def installed(api_server: ControlPlane, helm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    connect: Any = config.new_client_from_config
    admin = Caller(connect(config_file=str(api_server.kubeconfig)))
    core = admin.core
    for namespace in (HOME, NEIGHBOUR, ELSEWHERE):
        core.create_namespace({"metadata": {"name": namespace}})
    for node in (OWN_NODE, OTHER_NODE):
        core.create_node({"metadata": {"name": node}})
    for namespace, kinds in ((HOME, "true"), (NEIGHBOUR, "false")):
        file = tmp_path_factory.mktemp("rendered") / f"{namespace}.yaml"
        file.write_text(yaml.safe_dump_all(render(helm, f"crds.enabled={kinds}", namespace=namespace)))
        api_server.kubectl("apply", "--server-side", "--force-conflicts", "-n", namespace, "-f", str(file))
    api_server.kubectl("wait", "--for=condition=Established", "crd/memoryreports.memdiag.dev", "--timeout=30s")
    for namespace in (HOME, NEIGHBOUR):
        wait_until(partial(in_force, admin, namespace), f"policy of {namespace}")
    yield Installed(admin)
    policies = admin.policies
    roles = admin.roles
    for namespace in (HOME, NEIGHBOUR):
        stem = f"r1-memdiag-{namespace}"
        policies.delete_validating_admission_policy_binding(f"{stem}-reports")
        policies.delete_validating_admission_policy(f"{stem}-reports")
        roles.delete_cluster_role_binding(f"{stem}-operator")
        for suffix in ("operator", "view", "edit"):
            roles.delete_cluster_role(f"{stem}-{suffix}")
    for node in (OWN_NODE, OTHER_NODE):
        core.delete_node(node)
    for namespace in (HOME, NEIGHBOUR, ELSEWHERE):
        core.delete_namespace(namespace)
    admin.api.close()


@pytest.fixture(scope="module")
def agent(installed: Installed, agent_template: dict[str, Any]) -> Caller:
    return installed.account(AGENT, pod=installed.pod(agent_template, "agent-a", OWN_NODE))


def allow_reports(installed: Installed, account: str, account_namespace: str, namespace: str) -> None:
    """Give an account the right to create reports in a namespace, past what the chart gives."""
    roles = installed.admin.roles
    name = f"extra-{account}"
    rules = [{"apiGroups": [GROUP], "resources": ["memoryreports"], "verbs": ["create"]}]
    roles.create_namespaced_role(namespace, {"metadata": {"name": name}, "rules": rules})
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": account_namespace}],
    }
    roles.create_namespaced_role_binding(namespace, binding)


def test_policy_compiles_without_a_type_warning(installed: Installed) -> None:
    policies = installed.admin.policies
    policy = policies.read_validating_admission_policy(f"r1-memdiag-{HOME}-reports")
    checking = policy.status.type_checking if policy.status else None
    assert checking is None or not checking.expression_warnings


def test_an_agent_reports_on_its_own_node(installed: Installed, agent: Caller) -> None:
    name = agent.create(OWN_NODE)
    kept = installed.admin.objects.get_namespaced_custom_object(GROUP, VERSION, HOME, "memoryreports", name)
    assert kept["spec"]["node"] == OWN_NODE


def test_a_report_on_another_node_is_refused(agent: Caller) -> None:
    assert f'the agent on node {OWN_NODE} may not report on node \\"{OTHER_NODE}\\"' in agent.refused(OTHER_NODE)


@pytest.mark.parametrize("node", ["", OWN_NODE.upper(), f"{OWN_NODE} ", OWN_NODE[:-1]])
def test_a_node_that_is_nearly_right_is_refused(agent: Caller, node: str) -> None:
    assert "may not report on node" in agent.refused(node)


def test_a_report_without_a_node_is_refused(agent: Caller) -> None:
    with pytest.raises(ApiException) as caught:
        agent.create(None)
    assert caught.value.status in {403, 422}


def test_a_token_bound_to_no_pod_is_refused(installed: Installed) -> None:
    assert "names no node" in installed.account(AGENT).refused(OWN_NODE)


def test_the_administrator_is_refused_too(installed: Installed) -> None:
    assert f"only system:serviceaccount:{HOME}:{AGENT} may create reports" in installed.admin.refused(OWN_NODE)


def test_another_account_with_the_right_is_refused(installed: Installed, agent_template: dict[str, Any]) -> None:
    core = installed.admin.core
    core.create_namespaced_service_account(HOME, {"metadata": {"name": "intruder"}})
    allow_reports(installed, "intruder", HOME, HOME)
    pod = installed.pod({**agent_template, "serviceAccountName": "intruder"}, "intruder", OWN_NODE)
    intruder = installed.account("intruder", pod=pod)
    wait_until(lambda: "may create reports, not" in intruder.refused(OWN_NODE), "the intruder's role")


def test_the_operator_may_not_report(installed: Installed, agent_template: dict[str, Any]) -> None:
    template = {**agent_template, "serviceAccountName": "r1-memdiag-operator"}
    operator = installed.account("r1-memdiag-operator", pod=installed.pod(template, "operator", OWN_NODE))
    assert "cannot create resource" in operator.refused(OWN_NODE)


def test_another_namespace_is_refused_even_with_the_right(installed: Installed, agent: Caller) -> None:
    assert "cannot create resource" in agent.refused(OWN_NODE, ELSEWHERE)
    allow_reports(installed, AGENT, HOME, ELSEWHERE)
    wanted = f"reports belong in namespace {HOME}, not in {ELSEWHERE}"
    wait_until(lambda: wanted in agent.refused(OWN_NODE, ELSEWHERE), "the agent's extra role")


def test_a_second_release_is_not_in_the_way(installed: Installed, agent_template: dict[str, Any]) -> None:
    pod = installed.pod(agent_template, "agent-a", OWN_NODE, NEIGHBOUR)
    neighbour = installed.account(AGENT, NEIGHBOUR, pod)
    assert neighbour.create(OWN_NODE, NEIGHBOUR)
    assert "may not report on node" in neighbour.refused(OTHER_NODE, NEIGHBOUR)
    assert "cannot create resource" in neighbour.refused(OWN_NODE, HOME)


def test_an_agent_reads_and_deletes_nothing(agent: Caller) -> None:
    objects, core = agent.objects, agent.core
    name = agent.create(OWN_NODE)
    forbidden: dict[str, Callable[[], object]] = {
        "list reports": lambda: objects.list_namespaced_custom_object(GROUP, VERSION, HOME, "memoryreports"),
        "get a report": lambda: objects.get_namespaced_custom_object(GROUP, VERSION, HOME, "memoryreports", name),
        "delete a report": lambda: objects.delete_namespaced_custom_object(GROUP, VERSION, HOME, "memoryreports", name),
        "change a report": lambda: objects.patch_namespaced_custom_object(
            GROUP, VERSION, HOME, "memoryreports", name, {"metadata": {"labels": {"a": "b"}}}
        ),
        "list incidents": lambda: objects.list_cluster_custom_object(GROUP, VERSION, "memoryincidents"),
        "read its own pod": lambda: core.read_namespaced_pod("agent-a", HOME),
        "list pods": core.list_pod_for_all_namespaces,
        "list secrets": lambda: core.list_namespaced_secret(HOME),
        "read its node": lambda: core.read_node(OWN_NODE),
    }
    for what, attempt in forbidden.items():
        with pytest.raises(ApiException) as caught:
            attempt()
        assert caught.value.status == 403, what


def test_a_report_beyond_the_bounds_of_the_schema_is_refused(installed: Installed, agent: Caller) -> None:
    def said(**changes: Any) -> str:
        body = report(OWN_NODE)
        body["spec"] |= changes
        with pytest.raises(ApiException) as caught:
            agent.objects.create_namespaced_custom_object(GROUP, VERSION, HOME, "memoryreports", body)
        assert caught.value.status == 422
        return str(caught.value.body)

    assert "spec.containerID" in said(containerID="c" * 4096)
    assert "spec.kill.limitHit" in said(kill={"time": "2026-01-01T00:00:00.000000Z", "limitHit": "Everything"})
    assert "spec.ordinal" in said(ordinal=-1)
    victims = [{"pid": number, "comm": "a"} for number in range(1000)]
    assert "spec.kill.victims" in said(kill={"time": "2026-01-01T00:00:00.000000Z", "victims": victims})
    before = installed.admin.objects.list_namespaced_custom_object(GROUP, VERSION, HOME, "memoryreports")
    assert all(each["spec"]["ordinal"] > 0 for each in before["items"])


def test_tenants_view_incidents_edit_diagnoses_and_never_see_a_report(installed: Installed) -> None:
    """The roles are aggregated by a controller, which no cluster of this ring has: here they are bound themselves."""
    roles = installed.admin.roles
    reviews: Any = client.AuthorizationV1Api(installed.admin.api)
    for role in ("view", "edit"):
        name = f"r1-memdiag-{HOME}-{role}"
        found = roles.read_cluster_role(name)
        assert found.metadata.labels[f"rbac.authorization.k8s.io/aggregate-to-{role}"] == "true"
        subjects = [{"kind": "User", "name": f"a-{role}er", "apiGroup": "rbac.authorization.k8s.io"}]
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
        body = {"metadata": {"name": f"a-{role}er"}, "roleRef": reference, "subjects": subjects}
        roles.create_namespaced_role_binding(ELSEWHERE, body)

    def may(user: str, verb: str, plural: str, namespace: str = ELSEWHERE) -> bool:
        asked = {"verb": verb, "group": GROUP, "resource": plural, "namespace": namespace}
        answer = reviews.create_subject_access_review({"spec": {"user": user, "resourceAttributes": asked}})
        return bool(answer.status.allowed)

    wait_until(lambda: may("a-viewer", "list", "memoryincidents"), "the viewer's role")
    for verb in ("get", "list", "watch"):
        assert may("a-viewer", verb, "memoryincidents")
        assert may("a-viewer", verb, "memorydiagnoses")
    wait_until(lambda: may("a-editer", "patch", "memorydiagnoses"), "the editor's role")
    assert may("a-editer", "create", "memorydiagnoses")
    for verb in ("create", "update", "patch", "delete"):
        assert not may("a-viewer", verb, "memorydiagnoses")
        assert not may("a-editer", verb, "memoryincidents")
    for user in ("a-viewer", "a-editer"):
        assert not [verb for verb in ("get", "list", "create", "delete") if may(user, verb, "memoryreports")]
        assert not may(user, "list", "memoryincidents", HOME)


def test_the_operators_rights_are_enough_and_not_more(installed: Installed) -> None:
    user = f"system:serviceaccount:{HOME}:r1-memdiag-operator"
    reviews: Any = client.AuthorizationV1Api(installed.admin.api)

    def may(verb: str, group: str, resource: str, namespace: str = ELSEWHERE) -> bool:
        plural, _, part = resource.partition("/")
        asked = {"verb": verb, "group": group, "resource": plural, "subresource": part, "namespace": namespace}
        answer = reviews.create_subject_access_review({"spec": {"user": user, "resourceAttributes": asked}})
        return bool(answer.status.allowed)

    allowed = [
        ("list", "", "pods"),
        ("watch", "", "pods"),
        ("get", "apps", "replicasets"),
        ("get", "batch", "jobs"),
        ("create", "", "events"),
        ("patch", "", "events"),
        ("create", GROUP, "memoryincidents"),
        ("patch", GROUP, "memoryincidents/status"),
        ("create", GROUP, "memorydiagnoses"),
        ("patch", GROUP, "memorydiagnoses"),
        ("delete", GROUP, "memorydiagnoses"),
        ("update", GROUP, "memorydiagnoses/status"),
    ]
    refused = [
        ("patch", "", "pods"),
        ("get", "", "secrets"),
        ("get", "", "configmaps"),
        ("patch", "apps", "deployments"),
        ("list", GROUP, "memoryreports"),
        ("update", GROUP, "memoryincidents"),
        ("get", "", "pods"),
        ("deletecollection", GROUP, "memorydiagnoses"),
    ]
    assert [asked for asked in allowed if not may(*asked)] == []
    assert [asked for asked in refused if may(*asked)] == []
    assert may("delete", GROUP, "memoryreports", HOME)
    assert not may("create", GROUP, "memoryreports", HOME)
