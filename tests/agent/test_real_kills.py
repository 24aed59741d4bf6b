"""The real agent, beside real cgroups of a real kernel in which real processes are killed (see guest.py)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memdiag.model.history import History, HistoryRun, decode
from memdiag.model.report import LONGEST_COLUMN, from_rfc3339
from tests.agent.guest import CGROUPFS_POD, IDS, STORM, SYSTEMD_POD

pytestmark = [pytest.mark.quick_kernel, pytest.mark.timeout(300)]
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def result(quick_kernel: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    work = tmp_path_factory.mktemp("kills")
    guest = Path(__file__).with_name("guest.py")
    ran = quick_kernel(
        [sys.executable, guest, work],
        work,
        timeout=240,
        env={"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'operator'}", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    log = work / "agent.log"
    assert ran.status == 0, f"{ran.stderr}\n{log.read_text() if log.exists() else ''}"
    found: dict[str, Any] = json.loads((work / "result.json").read_text())
    return found


def reports_of(result: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [report["spec"] for report in result["reports"] if report["spec"]["containerID"] == IDS[name]]


def report_of(result: dict[str, Any], name: str) -> dict[str, Any]:
    (spec,) = reports_of(result, name)
    return spec


def test_every_kill_is_told_once(result: dict[str, Any]) -> None:
    assert len(result["reports"]) == len(IDS) + STORM
    assert {name: len(reports_of(result, name)) for name in IDS} == dict.fromkeys(IDS, 1)
    stormed = [report["spec"]["containerID"] for report in result["reports"]]
    assert sum(1 for found in stormed if int(found, 16) >= 0x1000) == len({f for f in stormed if int(f, 16) >= 0x1000})
    assert result["spooled"] == []
    assert result["dead_letters"] == []


def test_a_container_that_grew_shows_its_growth(result: dict[str, Any]) -> None:
    spec = report_of(result, "single")
    kill = spec["kill"]
    assert (spec["podUID"], kill["limitHit"], kill["containerDied"], kill["groupKill"]) == (
        SYSTEMD_POD,
        "Container",
        True,
        False,
    )
    assert kill["usageBytes"] == kill["limitBytes"] == 64 * 2**20
    assert spec["container"]["stat"]["anon"] > 50 * 2**20
    runs = spec["history"]["runs"]
    history = History(
        tuple(HistoryRun(run["containerID"], None, None) for run in runs), dict(spec["history"]["columns"])
    )
    (run,) = [run for run in decode(history) if run.container_id == IDS["single"]]
    demands = [sample.demand for sample in run.samples if sample.demand is not None]
    assert len(demands) >= 4
    assert demands == sorted(demands)
    assert demands[-1] > 50 * 2**20
    assert all(len(text) <= LONGEST_COLUMN for text in spec["history"]["columns"].values())


def test_it_is_told_within_two_seconds(result: dict[str, Any]) -> None:
    arrived = result["arrived"]
    late = [
        arrived[report["metadata"]["name"]] - from_rfc3339(report["spec"]["kill"]["time"])
        for report in result["reports"]
        if report["spec"]["containerID"] in (IDS["group"], IDS["pod_limit"], IDS["sub_second"])
    ]
    assert len(late) == 3
    assert max(late) < 2.0


def test_a_group_kill_is_one_report_of_all_its_victims(result: dict[str, Any]) -> None:
    spec = report_of(result, "group")
    assert spec["kill"]["groupKill"] is True
    assert spec["kill"]["victimCount"] == len(spec["kill"]["victims"]) == 4
    assert spec["kill"]["containerDied"] is True


def test_a_child_dies_and_its_container_lives_on(result: dict[str, Any]) -> None:
    spec = report_of(result, "child")
    assert spec["podUID"] == CGROUPFS_POD
    assert spec["kill"]["containerDied"] is False
    assert spec["kill"]["victimCount"] == 1


def test_the_pods_limit_is_named(result: dict[str, Any]) -> None:
    spec = report_of(result, "pod_limit")
    assert spec["kill"]["limitHit"] == "Pod"
    assert spec["kill"]["limitHitCgroup"].endswith(".slice")
    assert spec["kill"]["limitBytes"] == 24 * 2**20
    assert spec["pod"]["current"] == spec["kill"]["usageBytes"]
    fullest = spec["kill"]["shares"][0]
    assert fullest["containerID"] == IDS["pod_limit"]
    assert fullest["bytes"] > 0.8 * 24 * 2**20


def test_a_container_of_less_than_a_second_and_one_with_a_hostile_name(result: dict[str, Any]) -> None:
    assert report_of(result, "sub_second")["kill"]["limitHit"] == "Container"
    hostile = report_of(result, "hostile")
    assert hostile["kill"]["limitHit"] == "Container"
    assert all(" " <= letter <= "~" for letter in hostile["kill"]["victims"][0]["comm"])


def test_a_sub_cgroup_belongs_to_its_container(result: dict[str, Any]) -> None:
    spec = report_of(result, "sub_cgroup")
    assert spec["kill"]["limitHit"] == "Container"
    assert spec["kill"]["taskCgroup"].endswith("/container")


def test_a_storm_beyond_the_logs_rate_limit_loses_no_kill(result: dict[str, Any]) -> None:
    storm = [report["spec"] for report in result["reports"] if int(report["spec"]["containerID"], 16) >= 0x1000]
    assert len(storm) == STORM
    swallowed = [spec for spec in storm if "constraint" not in spec["kill"]]
    assert swallowed
    assert {spec["kill"]["limitHit"] for spec in storm} == {"Container"}
    assert all(any("kernel log" in reason for reason in spec["missing"]) for spec in swallowed)


def test_a_kill_in_the_agents_absence_is_found_late(result: dict[str, Any]) -> None:
    spec = report_of(result, "down")
    assert spec["foundLate"] is True
    assert spec["kill"]["limitHit"] == "Container"
    assert [report["spec"]["foundLate"] for report in result["reports"]].count(True) == 1
    runs = [run["containerID"] for run in spec["history"]["runs"]]
    assert IDS["single"] in runs, "the history of before the restart was kept"


def test_health_and_size(result: dict[str, Any]) -> None:
    assert result["ready"] == 200
    assert result["stopped"] == 0
    assert max(size for size, _ in result["requests"]) < 24 * 1024
