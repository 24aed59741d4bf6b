"""The memdiag command itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.verdict.simulated import FAMILIES, simulate
from memdiag import __version__
from memdiag.cli.main import main
from memdiag.model.tracefile import lines


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for command in ("diagnose", "record", "agent", "operator"):
        assert command in text


def test_help_of_diagnose_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["diagnose", "--help"])
    assert "memdiag diagnose checkout.jsonl.gz" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"memdiag {__version__}\n"


@pytest.mark.parametrize("words", [[], ["dance"], ["diagnose"]])
def test_a_wrong_call_ends_with_2_and_no_stack_trace(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    trace = tmp_path / "a.jsonl"
    trace.write_text("".join(lines(simulate(FAMILIES[0], 1))), encoding="utf-8")
    many = [str(trace)] * 60
    program = [sys.executable, "-m", "memdiag", "diagnose", "-o", "json", *many]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141
