"""The agent's bench: its table says what was measured, and what was not."""

from __future__ import annotations

from typing import Any

from bench.agent import node
from bench.agent.__main__ import missed, table

MIB = 2**20


def row(containers: int, cpu: float, pss: int, calls: float | None) -> dict[str, Any]:
    agent = {"cpu": cpu, "Pss": pss * MIB, "calls": calls, "journal_an_hour": 3 * MIB, "snapshot": MIB}
    return {"containers": containers, "agent": agent, "minimal": {"cpu": 0.02, "calls": calls}}


def test_the_table_has_ratio_and_derived_cost() -> None:
    text = table([row(250, 0.03, 24, 1000.0)], 2e-6)
    assert "1.50" in text
    assert "24.0" in text
    assert "9.0 MiB" in text
    assert "0.20 %" in text


def test_what_was_not_counted_is_not_guessed() -> None:
    assert "0.00 %" not in table([row(250, 0.03, 24, None)], 2e-6)


def test_calls_that_tracing_slowed_down_are_scaled_from_the_smallest() -> None:
    said = table([row(50, 0.03, 24, 200.0), row(500, 0.03, 24, 700.0)], 2e-6).splitlines()
    assert said[1].split()[7] == "200"
    assert said[2].split()[7] == "~2000"


def test_bars_are_judged_at_250_only() -> None:
    good, dear, fat = row(250, 0.03, 24, None), row(250, 0.05, 24, None), row(250, 0.03, 31, None)
    assert missed([good, row(500, 0.9, 99, None)]) == []
    assert len(missed([dear])) == 1
    assert len(missed([fat])) == 1


def test_the_node_is_told_in_percent_of_a_core_and_mib() -> None:
    said = node.table([node.Cost("kubelet", 0.05, 64 * 2**20)], 40).splitlines()
    assert said[0].startswith("on a node with 40 containers")
    assert said[1].split() == ["kubelet", "5.00", "%", "64.0"]
