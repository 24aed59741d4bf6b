"""Workloads recorded afresh on a real kernel get the verdict of their label."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.verdict.corpus import Case, read
from memdiag.diagnosis import diagnose
from testbed.quick import Result
from testbed.workloads import record
from testbed.workloads.families import labels

# the longest trace, the guest's start and the programs' compilation
pytestmark = [pytest.mark.quick_kernel, pytest.mark.timeout(300)]

SEED = 100
"""None of the committed traces has it."""
FAMILIES = (
    "leak-c-per-request",
    "leak-python-per-request",
    "growth-data-python",
    "low-burst-c",
    "external-kill-python",
)


def test_fresh_recordings_are_never_judged_wrongly(
    quick_kernel: Callable[..., Result], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = [word for family in FAMILIES for word in ("--family", family)]
    status = record.main([*chosen, "--seeds", str(SEED), "--out", str(tmp_path), "--minutes", "4", "--memory", "2G"])
    assert status == 0, capsys.readouterr()
    said: dict[str, tuple[str, str]] = {}
    for family in FAMILIES:
        name, label = f"{family}-{SEED}", labels()[family]
        trace = read(tmp_path / f"{name}.jsonl.gz")
        assert Case(name, family, SEED, label["cause"], label.get("mechanism"), trace).as_meant, name
        said[family] = label["cause"], str(diagnose(trace).cause)
    assert all(cause in (label, "Inconclusive") for label, cause in said.values()), said
    assert sum(cause == label for label, cause in said.values()) >= len(FAMILIES) - 1, said
