"""memdiag's accounts with the chart's rights on a real API server, without the workloads that would use them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from memdiag.agent.delivery import ApiClient
from memdiag.kube.api import Api, HttpApi, TransientError, connect
from memdiag.kube.kinds import KINDS
from testbed.control_plane import ControlPlane
from tests.chart.rendering import RELEASE, one, pod_spec, render
from tests.controller.audit import Right
from tests.controller.support import token_kubeconfig, wait_for

_WIDE = ("clusterrolebinding", "clusterrole", "validatingadmissionpolicybinding", "validatingadmissionpolicy")
_WORKLOADS = {"Deployment", "DaemonSet"}
OPERATOR, AGENT = f"{RELEASE}-memdiag-operator", f"{RELEASE}-memdiag-agent"


@dataclass(frozen=True)
class Installed:
    """One release's accounts."""

    plane: ControlPlane
    api: Api
    """The administrator's."""
    namespace: str
    objects: tuple[dict[str, Any], ...]
    """What the chart renders, workloads included."""

    def user(self, account: str) -> str:
        """Return an account's name as the API server writes it."""
        return f"system:serviceaccount:{self.namespace}:{account}"

    def token(self, account: str, pod: dict[str, Any] | None = None) -> str:
        """Return a token of an account; one of a pod is bound to it and its node, as the kubelet's are."""
        words = ["create", "token", account, "--namespace", self.namespace, "--duration=2h"]
        if pod is not None:
            metadata = pod["metadata"]
            words += ["--bound-object-kind=Pod", f"--bound-object-name={metadata['name']}"]
            words += [f"--bound-object-uid={metadata['uid']}"]
        return self.plane.kubectl(*words).strip()

    def kubeconfig(self, account: str, target: Path) -> Path:
        """Write a kubeconfig with an account's token."""
        return token_kubeconfig(self.plane.kubeconfig, self.token(account), target)

    def agent(self, node: str, folder: Path) -> ApiClient:
        """Return the agent's own way to the API server, with the token of a pod of the DaemonSet on that node."""
        template = pod_spec(one(list(self.objects), "DaemonSet"))
        body = {"metadata": {"name": f"agent-{node}"}, "spec": {**template, "nodeName": node}}
        pod = self.api.create(f"/api/v1/namespaces/{self.namespace}/pods", body)
        token = folder / f"{node}.token"
        token.write_text(self.token(AGENT, pod))
        server = yaml.safe_load(self.plane.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
        assert urlsplit(server).scheme == "https"
        return ApiClient(server, self.namespace, token, self.plane.folder / "pki" / "ca.crt")

    def operator_words(self, health_port: int) -> list[str]:
        """Return the operator's command line as the chart writes it, what follows its namespace."""
        (container,) = pod_spec(one(list(self.objects), "Deployment"))["containers"]
        words: list[str] = list(container["args"])
        assert words[:3] == ["operator", "--namespace", "$(POD_NAMESPACE)"]
        words[words.index("--health-port") + 1] = str(health_port)
        return words[3:]

    def operator_env(self, pod: str) -> dict[str, str]:
        """Return the operator's environment in a pod of that name."""
        return {"POD_NAMESPACE": self.namespace, "POD_SERVICE_ACCOUNT": OPERATOR, "POD_ID": pod}

    def granted(self, account: str) -> frozenset[Right]:
        """Return every right that a binding gives the account."""
        return frozenset(self._granted(account))

    def _granted(self, account: str) -> Iterator[Right]:
        subject = {"kind": "ServiceAccount", "name": account, "namespace": self.namespace}
        roles = {(each["kind"], each["metadata"]["name"]): each for each in self.objects}
        for binding in self.objects:
            if subject not in binding.get("subjects", ()):
                continue
            for rule in roles[(binding["roleRef"]["kind"], binding["roleRef"]["name"])]["rules"]:
                for group in rule["apiGroups"]:
                    for resource in rule["resources"]:
                        yield from (Right(group, resource, verb) for verb in rule["verbs"])

    def remove(self) -> None:
        """Take back what is not in the namespace."""
        for kind in _WIDE:
            names = [each["metadata"]["name"] for each in self.objects if each["kind"].lower() == kind]
            if names:
                self.plane.kubectl("delete", "--ignore-not-found", kind, *names)


def install(plane: ControlPlane, helm: Path, namespace: str, *settings: str, policy: bool = True) -> Installed:
    """Apply kinds, accounts and rights as the chart renders them, with the admission policy if that is wanted."""
    objects = tuple(render(helm, *settings, namespace=namespace))
    left_out = _WORKLOADS if policy else _WORKLOADS | {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
    file = plane.folder / f"{namespace}.json"
    wanted = [each for each in objects if each["kind"] not in left_out and not _hook(each)]
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": wanted}))
    plane.kubectl("create", "namespace", namespace)
    plane.kubectl("apply", "--server-side", "--force-conflicts", "-n", namespace, "-f", str(file))
    kinds = [each["metadata"]["name"] for each in objects if each["kind"] == "CustomResourceDefinition"]
    plane.kubectl("wait", "--for=condition=Established", "crd", *kinds, "--timeout=30s")
    api = HttpApi(connect(plane.kubeconfig))
    for kind in KINDS:
        wait_for(partial(_listed, api, kind.path()), 40)
    return Installed(plane, api, namespace, objects)


def _listed(api: Api, path: str) -> bool:
    """Say whether a kind that is served is stored as well: for a moment its storage is not there yet."""
    try:
        api.get(path)
    except TransientError:
        return False
    return True


def _hook(item: dict[str, Any]) -> bool:
    return "helm.sh/hook" in (item["metadata"].get("annotations") or {})
