"""Readers and parsers against a real kernel (see guest.py)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.support import ID, POD

SOURCE = Path(__file__).parents[2] / "operator"


@pytest.mark.quick_kernel
def test_a_cgroups_life_and_death(quick_kernel: Callable[..., Any], tmp_path: Path) -> None:
    guest = Path(__file__).with_name("guest.py")
    ran = quick_kernel(
        [sys.executable, guest, tmp_path],
        tmp_path,
        env={"PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert ran.status == 0, ran.stderr
    seen = json.loads((tmp_path / "seen.json").read_text())
    path = f"/kubepods/pod{POD}/{ID}"
    assert seen["created"] == [ID]
    assert seen["modified"]
    assert seen["signal"]
    assert seen["limit"] == 8 * 2**20
    assert seen["has_stat"]
    assert 7 * 2**20 < seen["peak"] <= 8 * 2**20
    assert seen["pressure"]
    assert seen["cpu"]
    assert (seen["oom_kill"], seen["local_oom"], seen["vmstat"]) == (1, 1, 1)
    assert seen["containers"] == [[POD, ID, path]]
    assert seen["parents"] == ["", "/kubepods"]
    assert seen["kills"] == [[path, path, True, True]]
    assert seen["gone"] == [True, True, True, True]
    assert seen["late_watch"] is None
    assert seen["meminfo"]
