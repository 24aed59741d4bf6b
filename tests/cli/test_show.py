"""`memdiag show`, `report` and `trace`: one diagnosis of a cluster, in full."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from memdiag.cli.main import main
from memdiag.cli.online import diagnosis, finding_of, incidents_of
from memdiag.cli.report import reported
from memdiag.cli.show import shown
from memdiag.cli.target import Refused, Target
from memdiag.cli.trace import exported, numbered
from memdiag.kube.kinds import DIAGNOSIS
from memdiag.model.tracefile import parse
from tests.cli.shop import World, said, stock
from tests.controller.support import MIB

LEAK, LOW = "deployment-checkout-app", "deployment-reports-app"


@pytest.fixture(scope="module")
def target() -> Target:
    world = World()
    stock(world, "shop")
    return Target(world, "shop")


def test_show_tells_verdict_evidence_chart_and_steps(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(shown, target, LEAK) == 0
    text = capsys.readouterr().out
    for words in (
        "deployment-checkout-app: shop/checkout/app",
        "Cause: Leak (HeapLeak), confidence",
        "In force: limit 96 MiB; request 96 MiB; 5 kills, the last at",
        "Recommended: fix the leak",
        "Memory over runs of pod checkout-abc-x7k20 (1 other pod not drawn):",
        "limit 96 MiB",
        "OOM kill",
        "Next:",
        "for Leak +",
        "against Growth -",
    ):
        assert words in text, words
    assert "Apply the recommended limit" not in text, "a leak has none"
    assert "\x1b" not in text, "no terminal, no colours"
    assert said(shown, target, LOW) == 0
    assert "kubectl memdiag apply deployment-reports-app -n shop --yes" in capsys.readouterr().out


def test_what_the_last_kill_was_is_told(target: Target) -> None:
    found = diagnosis(target, LEAK)
    finding = finding_of(found, incidents_of(target, found), 0.0)
    assert finding.last_kill.pod == "checkout-abc-x7k20"
    assert finding.last_kill.limit_hit == "Container"
    assert finding.last_kill.victims[0].comm == "python3"
    assert finding.last_kill.kernel_log
    assert [task.comm for task in finding.last_kill.tasks] == ["python3", "sh"]
    assert finding.last_kill.processes[0].grew == 70 * MIB
    assert [kill.what for kill in finding.recent] == ["the container"] * 5
    assert [trace.pod for trace in finding.traces] == ["checkout-abc-x7k20", "checkout-abc-x7k21"]


def test_a_diagnosis_without_verdict_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    world = World()
    spec = {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}, "container": "app"}
    world.put(DIAGNOSIS.path("shop", "mine"), {"metadata": {"name": "mine", "namespace": "shop"}, "spec": spec})
    assert said(shown, Target(world, "shop"), "mine") == 0
    assert "No kill of this container is known yet." in capsys.readouterr().out


def test_a_name_that_is_none_is_refused_with_those_that_there_are(target: Target) -> None:
    with pytest.raises(Refused, match=r"no diagnosis deployment-chekout in namespace shop; there are: .*checkout-app"):
        said(shown, target, "deployment-chekout")
    with pytest.raises(Refused, match="in namespace empty nor any other"):
        said(shown, Target(target.api, "empty"), LEAK)


def test_a_report_is_one_page(target: Target, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "report.html"
    assert said(reported, target, LEAK, "-o", str(page)) == 0
    assert "is written" in capsys.readouterr().err
    html = page.read_text(encoding="utf-8")
    assert html.startswith("<!DOCTYPE html>")
    assert "checkout" in html
    assert said(reported, target, LEAK, "-o", "-") == 0
    kept = re.compile(r"Made by memdiag [^<]*|\d+[smh] ago")
    assert kept.sub("", capsys.readouterr().out) == kept.sub("", html)
    with pytest.raises(Refused, match="cannot be written"):
        said(reported, target, LEAK, "-o", str(tmp_path / "no/where.html"))


@pytest.mark.parametrize("name", ["trace.jsonl", "trace.jsonl.gz"])
def test_an_exported_trace_has_the_same_verdict(
    name: str, target: Target, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for diagnosed in (LEAK, LOW):
        files = tmp_path / f"{diagnosed}-{name}"
        assert said(exported, target, diagnosed, "-o", str(files)) == 0
        command = capsys.readouterr().err.partition("read back with: memdiag ")[2].split()
        assert main(command) == 0
        status = diagnosis(target, diagnosed).status
        kind = f"{status.cause} ({status.mechanism}), confidence {status.confidence_percent} %"
        told = capsys.readouterr().out
        assert f"Cause: {kind}" in told.split("\n\n")[0]
        assert status.summary is not None
        assert status.summary in told


def test_an_export_needs_an_incident(tmp_path: Path) -> None:
    world = World()
    spec = {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}, "container": "app"}
    world.put(DIAGNOSIS.path("shop", "mine"), {"metadata": {"name": "mine", "namespace": "shop"}, "spec": spec})
    with pytest.raises(Refused, match="no incident is kept"):
        said(exported, Target(world, "shop"), "mine", "-o", str(tmp_path / "a"))


def test_files_of_other_pods_are_numbered() -> None:
    assert [numbered("x/a.jsonl.gz", number) for number in (1, 2)] == ["x/a.jsonl.gz", "x/a.2.jsonl.gz"]
    assert numbered("trace", 3) == "trace.3"


def test_what_is_left_out_of_the_standard_output_is_said(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(exported, target, LEAK, "-o", "-") == 0
    captured = capsys.readouterr()
    assert parse(captured.out.splitlines(), "-").pod == "checkout-abc-x7k20"
    assert captured.err == "1 other pod is left out, as only a file has others beside it: -o FILE\n"
