"""The documented commands of helm, kubectl and `memdiag check`, as they are written, against a real API server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from memdiag.controller.incidents import DIAGNOSIS_LABEL
from memdiag.kube.kinds import API_VERSION, KINDS
from testbed.control_plane import ControlPlane
from tests.docs.pages import REPOSITORY, commands, lines, pages, spoken
from tests.docs.proofs import API, PLACES, filled, proof_of
from tests.docs.test_commands import simple

pytestmark = [pytest.mark.api_server, pytest.mark.timeout(600)]

ORDER = ("kubectl create namespace", "kubectl label", "helm install", "", "helm upgrade", "helm uninstall")
END = "kubectl delete crd"
STATUS = {"cause": "Leak", "kills": {"total": 2}, "missing": ["a second run"]}
OBJECTS: tuple[dict[str, Any], ...] = (
    {"apiVersion": "v1", "kind": "Node", "metadata": {"name": PLACES["NODE"]}},
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACES["YOURS"]}},
    {
        "apiVersion": API_VERSION,
        "kind": "MemoryDiagnosis",
        "metadata": {"name": PLACES["NAME"], "namespace": PLACES["YOURS"]},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
            "container": "checkout",
        },
    },
    {
        "apiVersion": API_VERSION,
        "kind": "MemoryIncident",
        "metadata": {
            "name": "checkout-1",
            "namespace": PLACES["YOURS"],
            "labels": {DIAGNOSIS_LABEL: PLACES["NAME"]},
        },
        "spec": {
            "pod": {"name": "checkout-1", "uid": "0f2f1e2a-3b4c-4d5e-8f60-718293a4b5c6"},
            "container": "checkout",
            "containerID": "a" * 64,
            "source": "Kernel",
            "kill": {
                "time": "2026-01-01T00:00:00.000000Z",
                "kind": "ContainerKilled",
                "limitHit": "Container",
                "explanation": "The container's own limit was hit.",
            },
        },
    },
)


def written() -> Iterator[str]:
    """Yield the lines that this test runs: those of code blocks whose every part it stands for, whole ones of prose."""
    for page in pages():
        told = [each for each in commands(page) if all((row := proof_of(p)) and row[1] is API for p in simple(each))]
        whole = [each for each in spoken(page) if re.fullmatch(r"kubectl [a-z]+ [^…]+", each.text)]
        for command in (*told, *whole):
            yield from command.text.split(" && ")


def place(command: str) -> int:
    if command.startswith(END):
        return len(ORDER)
    return next((index for index, start in enumerate(ORDER) if start and command.startswith(start)), ORDER.index(""))


@dataclass(frozen=True)
class Shell:
    """A shell in which kubectl, helm and memdiag are found, the cluster by $KUBECONFIG, and the chart in the folder."""

    folder: Path
    environment: dict[str, str]

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        words = ["bash", "-c", filled(command)]
        return subprocess.run(
            words, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=120
        )

    def did(self, command: str, fine: tuple[int, ...] = (0,)) -> str:
        done = self.run(command)
        assert done.returncode in fine, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def shell(api_server: ControlPlane, helm: Path, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    folder = tmp_path_factory.mktemp("reader")
    programs = folder / "bin"
    programs.mkdir()
    for name, program in (
        ("kubectl", api_server.program("kubectl")),
        ("helm", helm),
        ("memdiag", Path(sys.executable).parent / "memdiag"),
    ):
        (programs / name).symlink_to(program)
    for name in ("charts", "examples"):
        (folder / name).symlink_to(REPOSITORY / name)
    for name in ("bot-token.txt", "webhook-url.txt"):
        (folder / name).write_text("what Slack shows once\n")
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_bytes(api_server.kubeconfig.read_bytes())
    homes = {f"HELM_{name}_HOME": str(folder / name) for name in ("CACHE", "CONFIG", "DATA")}
    path = f"{programs}:{os.environ['PATH']}"
    shell = Shell(folder, {**os.environ, **homes, "PATH": path, "KUBECONFIG": str(kubeconfig), "HOME": str(folder)})
    shell.did(f"kubectl config set-context --current --namespace={PLACES['YOURS']}")
    names = " ".join(f"{kind.plural}.memdiag.dev" for kind in KINDS)
    # other tests share this API server; a reader's cluster has no kinds yet
    shell.did(f"kubectl delete crd --ignore-not-found {names}")
    return shell


def fill(shell: Shell, folder: Path) -> None:
    file = folder / "objects.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": OBJECTS}))
    shell.did("kubectl wait --for=condition=Established --timeout=30s crd -l app.kubernetes.io/part-of=memdiag")
    shell.did(f"kubectl apply -f {file}")
    patch = json.dumps({"status": STATUS})
    shell.did(f"kubectl patch memorydiagnosis NAME -n YOURS --subresource=status --type=merge -p '{patch}'")


def transcripts() -> dict[str, list[str]]:
    """Return the heads of tables that the pages show, by the command that is said to print them."""
    found: dict[str, list[str]] = {}
    for page in pages():
        before = ""
        for line in lines(page):
            if before.startswith("$ kubectl get "):
                found[before.removeprefix("$ ")] = line.text.split()
            before = "" if line.code is None else line.text
    return found


def test_every_command_does_what_the_page_says(shell: Shell, tmp_path: Path) -> None:
    heads = transcripts()
    assert heads
    wanted = sorted(dict.fromkeys(written()), key=place)
    assert {place(command) for command in wanted} == set(range(len(ORDER) + 1))
    ready = False
    for command in wanted:
        if not ready and place(command) >= ORDER.index(""):
            fill(shell, tmp_path)
            ready = True
        fine = (0, 1) if "grep" in command else (1,) if command.startswith("memdiag check") else (0,)
        said = shell.did(command, fine)
        if command.startswith("memdiag check"):
            assert "ok   kinds" in said  # and no workload is ready: no controller runs here
        if command in heads:
            assert said.splitlines()[0].split() == heads[command], command
    assert "memdiag.dev" not in shell.did("kubectl get crd -o name")
    shell.did("kubectl delete node NODE")
