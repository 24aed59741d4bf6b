"""Each right that the chart gives the agent is needed: without it something stops that docs/agent-security.md names."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memdiag.agent.processes import NEAR_SECONDS
from tests.chart.rendering import one, pod_spec, render

pytestmark = [pytest.mark.quick_kernel, pytest.mark.timeout(300)]
REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "agent-security.md").read_text()

WITHOUT: dict[str, dict[str, Any]] = {
    "capability SYSLOG": {"capabilities": []},
    "uid 0": {"uid": 65532},
    "mount cgroup": {"options": ["--cgroup-root", "{nothing}"]},
    "mount proc": {"options": ["--proc-root", "{nothing}"]},
    "mount state": {"options": ["--state-dir", "{read-only}"]},
}
"""What is taken away, and what is different then."""
WHOLE = "as the chart has it"


@pytest.fixture(scope="module")
def agent(helm: Path) -> dict[str, Any]:
    spec = pod_spec(one(render(helm), "DaemonSet"))
    (container,) = spec["containers"]
    return {**container, "pod": spec}


@pytest.fixture(scope="module")
def result(
    quick_kernel: Callable[..., Any], agent: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    work = tmp_path_factory.mktemp("permissions")
    context = agent["securityContext"]
    whole = {"capabilities": context["capabilities"]["add"], "uid": context["runAsUser"], "options": [], "near": 1.0}
    variants = [
        {"name": name, **whole, **other} for name, other in {WHOLE: {"near": NEAR_SECONDS + 4}, **WITHOUT}.items()
    ]
    (work / "variants.json").write_text(json.dumps(variants))
    path = f"{REPOSITORY}:{REPOSITORY / 'operator'}"
    guest = Path(__file__).with_name("permissions_guest.py")
    ran = quick_kernel(
        [sys.executable, guest, work], work, timeout=240, env={"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    )
    log = work / "agent.log"
    assert ran.status == 0, f"{ran.stderr}\n{log.read_text() if log.exists() else ''}"
    found: dict[str, Any] = json.loads((work / "result.json").read_text())
    return found


def test_every_right_of_the_chart_is_put_to_the_proof(agent: dict[str, Any]) -> None:
    context = agent["securityContext"]
    rights = {f"capability {name}" for name in context["capabilities"]["add"]}
    rights |= {f"mount {mount['name']}" for mount in agent["volumeMounts"]}
    rights |= {f"uid {context['runAsUser']}"}
    assert rights == set(WITHOUT)
    assert (context["privileged"], context["capabilities"]["drop"]) == (False, ["ALL"])
    assert not {"hostNetwork", "hostPID", "hostIPC"} & agent["pod"].keys()


def test_with_them_the_kernels_report_is_told_and_what_is_not_permitted_is_missing(result: dict[str, Any]) -> None:
    spec = result[WHOLE]["spec"]
    assert spec["kill"]["victims"][0]["pid"]
    assert spec["kill"]["constraint"] == "Memcg"
    assert not [reason for reason in spec["missing"] if "kernel log" in reason]
    assert spec["processes"]["largest"][0]["rssBytes"] > 0
    assert "pssBytes" not in spec["processes"]["largest"][0]
    assert "processes: smaps_rollup is not permitted (it needs SYS_PTRACE), so there is no pss" in spec["missing"]


@pytest.mark.parametrize("name", ["capability SYSLOG", "uid 0"])
def test_without_the_kernels_log_a_kill_is_told_without_its_victim(result: dict[str, Any], name: str) -> None:
    spec = result[name]["spec"]
    assert spec["kill"]["limitHit"] == "Container", "the counters know whose limit it was"
    assert "victims" not in spec["kill"]
    assert [reason for reason in spec["missing"] if reason.startswith("kernel log: syslog(2) was refused")]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mount cgroup", "--cgroup-root /run/nothing is no cgroup v2 root"),
        ("mount proc", "--proc-root /run/nothing is no /proc"),
        ("mount state", "is --state-dir /run/read-only/state a writable folder?"),
    ],
)
def test_without_a_mount_it_says_which_and_does_not_start(result: dict[str, Any], name: str, words: str) -> None:
    assert result[name]["status"] == 2
    assert words in result[name]["said"]
    assert "Traceback" not in result[name]["said"]


@pytest.mark.parametrize("name", list(WITHOUT))
def test_the_page_says_what_stops_without_each(name: str) -> None:
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| {name} |")]
    assert len(row.split("|")) == 5
