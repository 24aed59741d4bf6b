"""The demo on kind: what is asked of docker, kind, helm and kubectl, and in which order. Stand-ins answer for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from testbed import demo, kind
from testbed.__main__ import main
from testbed.shell import TestbedError

DIAGNOSES = json.dumps({"items": [{"status": {"cause": "Leak"}}] * 3})
STAND_IN = """#!/bin/sh
echo "$(basename "$0") $*" >> "{log}"
case "$(basename "$0") $*" in
  *"docker version"*) echo 28.1.1 ;;
  *memorydiagnoses*json) echo '{diagnoses}' ;;
  *memoryincidents*json) echo '{{"items": []}}' ;;
  *"kind create"*) touch "{folder}/kubeconfig" ;;
  *"-o name"*) echo memorydiagnosis/one ;;
esac
"""


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put stand-ins on the PATH and return the file in which they write how they were called."""
    programs, log = tmp_path / "bin", tmp_path / "said"
    programs.mkdir()
    monkeypatch.setenv("MEMDIAG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    text = STAND_IN.format(log=log, diagnoses=DIAGNOSES, folder=kind.make().folder)
    for name in ("docker", "kind", "kubectl", "helm"):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    return log


def test_the_demo_on_kind_builds_loads_installs_and_shows(said: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--kind"]) == 0
    calls = said.read_text().splitlines()

    def place(beginning: str) -> int:
        return next(number for number, call in enumerate(calls) if call.startswith(beginning))

    assert place("docker version") == 0
    loaded = place("kind load docker-image localhost/memdiag:demo --name memdiag-demo")
    assert place("docker build -t localhost/memdiag:demo") < loaded
    assert place("kind delete cluster --name memdiag-demo") < place("kind create cluster --name memdiag-demo") < loaded
    folder = kind.make().folder
    helm = next(call for call in calls if call.startswith("helm"))
    assert helm.startswith(f"helm --kubeconfig={folder}/kubeconfig -n memdiag install memdiag ")
    assert "image.repository=localhost/memdiag" in helm
    assert "image.tag=demo" in helm
    assert loaded < calls.index(helm) < place(f"kubectl --kubeconfig={folder}/kubeconfig apply -f ")
    assert "make demo-down KIND=1" in capsys.readouterr().out

    assert main(["down", "--kind"]) == 0
    assert said.read_text().splitlines()[-1] == "kind delete cluster --name memdiag-demo"
    assert not folder.exists()


def test_without_a_daemon_or_a_program_the_remedy_is_told(
    said: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = said.parent / "bin"
    (programs / "docker").write_text("#!/bin/sh\necho cannot connect >&2\nexit 1\n")
    assert main(["demo", "--kind"]) == 1
    told = capsys.readouterr().err
    assert "Docker's daemon does not answer: install Docker and start its daemon" in told
    assert "cannot connect" in told
    assert not said.exists()
    (programs / "kind").unlink()
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(TestbedError, match=r"kind is not on the PATH: install kind .*run the demo without KIND"):
        demo.up_on_kind()
