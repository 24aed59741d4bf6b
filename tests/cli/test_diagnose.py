"""`memdiag diagnose` as people and programs call it."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from bench.verdict.simulated import FAMILIES, simulate
from memdiag.cli.main import main
from memdiag.cli.offline import finding_of
from memdiag.model.trace import Trace
from memdiag.model.tracefile import lines
from memdiag.model.verdict import Action, Diagnosis, Forecast, Recommendation
from memdiag.report.text import Screen, text

BY_NAME = {family.name: family for family in FAMILIES}


def leak(path: Path, seed: int = 1) -> Path:
    path.write_text("".join(lines(simulate(BY_NAME["leak linear"], seed, kills=2))), encoding="utf-8")
    return path


def test_json_is_the_documented_object_one_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(leak(tmp_path / "a.jsonl")), str(leak(tmp_path / "b.jsonl", 2))]
    assert main(["diagnose", *names, "-o", "json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["trace"] for one in found] == names
    for one in found:
        assert set(one) == {
            "trace",
            "cause",
            "mechanism",
            "confidence",
            "summary",
            "evidence",
            "missing",
            "next_steps",
            "would_settle",
            "recommendation",
            "forecast",
            "suspicion",
        }
        assert one["cause"] == "Leak"
        assert set(one["evidence"][0]) == {"name", "for", "value", "threshold", "weight", "statement"}
        assert set(one["recommendation"]) == {
            "action",
            "limit_bytes",
            "request_bytes",
            "range_bytes",
            "basis",
            "stop_gap",
            "clamps",
            "warnings",
        }
        assert set(one["recommendation"]["stop_gap"]) == {"limit_bytes", "uptime_seconds"}


def test_people_read_cause_evidence_and_advice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", str(leak(tmp_path / "a.jsonl"))]) == 0
    text = capsys.readouterr().out
    for word in (
        "Cause: Leak (HeapLeak), confidence",
        "Evidence:",
        "for Leak +",
        "Recommended: fix the leak",
        "Memory over runs",
        "OOM kill",
        "Until then:",
        "Next:",
    ):
        assert word in text


def test_people_read_who_clamped_and_what_would_undo_the_advice() -> None:
    advice = Recommendation(
        Action.LOWER_LIMIT,
        2**28,
        None,
        None,
        "why",
        clamps=("Held down by a quota.",),
        warnings=("vpa\x1b[0m owns it.",),
    )
    found = Diagnosis(None, None, 0.0, "calm", (), (), advice, Forecast(7200.0, 3600.0, None))
    said = text(finding_of("a.jsonl", Trace(()), found), Screen())
    assert (
        "Recommended: lower the limit to 256 MiB\n  why\n  Held down by a quota.\n  Warning: vpa\\x1b[0m owns it."
        in said
    )
    assert "the limit is reached in about 2h (between 1h and perhaps never)" in said
    reached = text(finding_of("a.jsonl", Trace(()), replace(found, forecast=Forecast(0.0, 0.0, None))), Screen())
    assert "Forecast: the limit has been reached." in reached


def test_packed_traces_and_standard_input_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = leak(tmp_path / "a.jsonl").read_text(encoding="utf-8")
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.encode()))
    for name in ("a.jsonl", "a.jsonl.gz"):
        with (tmp_path / name).open() as stream:
            monkeypatch.setattr("sys.stdin", stream)
            assert main(["diagnose", str(packed), "-", "-o", "json"]) == 0
        first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
        assert {**first, "trace": "-"} == second


def test_bad_input_is_named_and_loses_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = leak(tmp_path / "good.jsonl")
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"type":"header","version":"memdiag.trace/v1"}\n{"type":"sample"}\n', encoding="utf-8")
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(good.read_bytes())[:-20])
    binary = tmp_path / "binary.jsonl"
    binary.write_bytes(b"\xff\xfe\x00")
    files = [str(path) for path in (broken, cut, binary, tmp_path / "absent.jsonl", tmp_path, good)]
    assert main(["diagnose", *files, "-o", "json"]) == 2
    captured = capsys.readouterr()
    assert json.loads(captured.out)["cause"] == "Leak"
    errors = captured.err.splitlines()
    assert len(errors) == 5
    assert "broken.jsonl:2: t: is missing" in errors[0]
    assert "broken gzip" in errors[1]
    assert "not UTF-8" in errors[2]
    assert "No such file" in errors[3]
    assert "directory" in errors[4]


def test_text_from_a_trace_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = tmp_path / "evil.jsonl"
    header = {"type": "header", "version": "memdiag.trace/v1", "namespace": "\x1b[2J", "container": "a\u202eb\r"}
    evil.write_text(json.dumps(header) + "\n", encoding="utf-8")
    assert main(["diagnose", str(evil)]) == 0
    assert all(letter.isprintable() or letter == "\n" for letter in capsys.readouterr().out)


def test_a_cohort_makes_replicas_speak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(leak(tmp_path / f"{seed}.jsonl", seed)) for seed in range(3)]
    assert main(["diagnose", "--cohort", *names, "-o", "json"]) == 0
    for line in capsys.readouterr().out.splitlines():
        assert "replicas_rise" in {piece["name"] for piece in json.loads(line)["evidence"]}


def test_yaml_is_a_document_a_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(leak(tmp_path / f"{seed}.jsonl", seed)) for seed in range(2)]
    assert main(["diagnose", *names, "-o", "yaml"]) == 0
    found = list(yaml.safe_load_all(capsys.readouterr().out))
    assert [one["trace"] for one in found] == names
    assert main(["diagnose", names[0], "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == found[0]


def test_html_is_one_page_for_all_traces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(leak(tmp_path / f"{seed}.jsonl", seed)) for seed in range(2)]
    assert main(["diagnose", *names, "-o", "html"]) == 0
    page = capsys.readouterr().out
    assert page.startswith("<!DOCTYPE html>")
    assert page.count("<article>") == 2
    assert page.count("Evidence for and against") == 2


def test_without_a_readable_trace_there_is_no_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", str(tmp_path / "absent.jsonl"), "-o", "html"]) == 2
    assert capsys.readouterr().out == ""
