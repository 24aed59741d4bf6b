"""What the agent serves of itself, and the last check that no kill was missed."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import pytest

from memdiag.agent import metrics
from memdiag.agent.crosscheck import CrossCheck, topmost
from memdiag.agent.health import Health, Signals
from memdiag.agent.spool import SpoolCounts

DOCS = Path(__file__).parents[2] / "docs"
GOOD = Signals(
    last_sample=0.25, oldest_report=3.0, last_delivery_turn=1.0, containers=3, last_delivery=12.5, spool_reports=2,
    spool_bytes=4096, dead_letters=1, spool=SpoolCounts(delivered=9, rejected=1), kills=7, kills_late=2, kills_missed=1,
    kills_outside=4, trends=1, watches_refused=5, overflows=0,
)  # fmt: skip


def series(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.split(" ") for line in lines)}


def test_metrics_say_the_signals() -> None:
    found = series(metrics.expose(GOOD).decode())
    wanted = {
        "memdiag_agent_last_sample_age_seconds": 0.25,
        "memdiag_agent_last_delivery_age_seconds": 12.5,
        "memdiag_agent_spool_reports": 2,
        "memdiag_agent_spool_bytes": 4096,
        "memdiag_agent_dead_letters": 1,
        "memdiag_agent_kernel_log_readable": 1,
        "memdiag_agent_kills_total": 7,
        "memdiag_agent_kills_missed_total": 1,
        "memdiag_agent_kills_outside_pods_total": 4,
        "memdiag_agent_reports_rejected_total": 1,
        "memdiag_agent_watches_refused_total": 5,
        "memdiag_agent_watch_overflows_total": 0,
    }
    assert {name: found[name] for name in wanted} == wanted
    assert found["process_resident_memory_bytes"] > 0


def test_what_is_not_known_is_left_out_and_counters_begin_at_nothing() -> None:
    found = series(metrics.render(metrics.of_signals(Signals(None, None, None, 0, kernel_log="refused"))))
    assert "memdiag_agent_last_sample_age_seconds" not in found
    assert "memdiag_agent_kills_outside_pods_total" not in found
    assert found["memdiag_agent_kernel_log_readable"] == 0
    assert found["memdiag_agent_kills_total"] == 0


def test_every_metric_is_documented() -> None:
    assert metrics.page() in (DOCS / "agent.md").read_text(encoding="utf-8")


def test_they_are_served_beside_health() -> None:
    health = Health("127.0.0.1", 0, lambda: GOOD, metrics.expose, metrics.CONTENT_TYPE)
    health.start()
    try:
        base = f"http://127.0.0.1:{health.port}"
        with urllib.request.urlopen(f"{base}/metrics", timeout=5) as answer:  # noqa: S310 - our own server
            assert answer.headers["Content-Type"] == metrics.CONTENT_TYPE
            assert b"memdiag_agent_kills_total 7" in answer.read()
        with urllib.request.urlopen(f"{base}/healthz", timeout=5) as answer:  # noqa: S310 - our own server
            assert b'"deadLetters": 1' in answer.read()
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{base}/secrets", timeout=5)  # noqa: S310 - our own server
    finally:
        health.stop()


def test_the_topmost_cgroups_of_pods_are_found_wherever_they_are_nested() -> None:
    plain = [
        "",
        "/kubepods.slice",
        "/kubepods.slice/kubepods-burstable.slice",
        "/kubepods.slice/kubepods-besteffort.slice",
    ]
    kind = ["", "/kubelet.slice", "/kubelet.slice/kubelet-kubepods.slice", "/kubelet.slice/kubelet-kubepods.slice/x"]
    assert topmost(plain) == ["/kubepods.slice"]
    assert topmost(kind) == ["/kubelet.slice/kubelet-kubepods.slice"]
    assert topmost(["", "/pods", "/pods/a"]) == ["/pods"]


def test_a_kill_that_was_never_told_is_found_at_the_second_look() -> None:
    check = CrossCheck()
    check.begin(node=10, above={"/kubepods": 4}, told=0)
    assert check.look(node=12, above={"/kubepods": 6}, told=2) == 0
    assert (check.missed, check.outside) == (0, 0)
    assert check.look(node=14, above={"/kubepods": 8}, told=3) == 0, "it may be on its way"
    assert check.look(node=14, above={"/kubepods": 8}, told=3) == 1
    assert check.look(node=14, above={"/kubepods": 8}, told=3) == 0, "a miss is counted once"
    assert check.missed == 1


def test_a_kill_outside_of_pods_is_no_miss() -> None:
    check = CrossCheck()
    check.begin(node=10, above={"/kubepods": 4}, told=0)
    for _ in range(3):
        assert check.look(node=13, above={"/kubepods": 5}, told=1) == 0
    assert (check.missed, check.outside) == (0, 2)


def test_a_cgroup_made_anew_counts_from_nothing_and_vmstat_stands_in_for_none() -> None:
    check = CrossCheck()
    check.begin(node=None, above={"/kubepods": 9}, told=0)
    assert check.look(node=None, above={"/kubepods": 2}, told=2) == 0
    assert check.outside is None
    alone = CrossCheck()
    alone.begin(node=5, above={}, told=0)
    assert [alone.look(node=6, above={}, told=0) for _ in range(2)] == [0, 1]
