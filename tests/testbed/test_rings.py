from pathlib import Path

import pytest

from testbed import binaries
from testbed.rings import Count, Outcome, _lint_chart, main, summary


def test_a_ring_that_was_not_run_is_never_called_passed(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = [
        Outcome("unit", 1.0, Count(passed=3), good=True),
        Outcome("node", 0.1, Count(skipped=6), good=True, remark="6 NOT RUN: the reasons stand above"),
    ]
    assert summary(outcomes) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1].startswith("ok   unit")
    assert said[2].startswith("GAPS node")
    assert "NOT RUN" in said[2]
    assert said[-1] == "3 passed, 0 failed, 6 skipped"


def test_one_failed_ring_fails_all(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = [Outcome("unit", 1.0, Count(passed=3), good=True), Outcome("api", 1.0, Count(1, 2), good=False)]
    assert summary(outcomes) == 1
    assert "FAIL api" in capsys.readouterr().out


def test_a_ring_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nod"]) == 2
    assert "no such ring: nod" in capsys.readouterr().err


def test_style_never_waits_for_helm_to_be_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("MEMDIAG_CACHE", str(tmp_path))
    assert _lint_chart() is None
    binaries.artifact("helm").path.mkdir()
    command = _lint_chart()
    assert command
    assert command[1:5] == ("lint", "--strict", "--quiet", "charts/memdiag")
