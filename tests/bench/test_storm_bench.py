"""The storm on a real kernel: what was killed is told, once each, with and without a kill -9 of the agent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bench.storm.__main__ import faults, measure, table

ROW = {
    "kills": 4,
    "seconds": 1.5,
    "told": 4,
    "right": 4,
    "in_log": 2,
    "late": 0,
    "last_report_after": 0.5,
    "absent": 0.0,
}


@pytest.mark.quick_kernel
@pytest.mark.timeout(400)
def test_no_kill_is_lost_and_none_is_told_twice(quick_kernel: Callable[..., Any]) -> None:
    rows = measure(containers=50, kills=4)
    print(table(rows))
    assert [row["kills"] for row in rows] == [200, 200]
    assert faults(rows) == []
    assert rows[1]["late"] > 0, "the agent was not there for some"


def test_the_table_and_what_is_called_lost() -> None:
    lost = {**ROW, "told": 3, "right": 3}
    assert faults([ROW, ROW]) == []
    assert faults([ROW, lost]) == ["the agent killed by -9 halfway: 4 kills, 3 told, 3 with the right container"]
    assert faults([{**ROW, "told": 5}, ROW])
    assert "in seconds" in table([ROW, lost])
