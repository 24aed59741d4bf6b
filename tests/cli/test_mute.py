"""`memdiag mute`: until when, and off again."""

from __future__ import annotations

import argparse
import time

import pytest

from memdiag.cli.mute import duration, muted
from memdiag.cli.target import Refused, Target
from memdiag.controller.alertfacts import view
from memdiag.kube.kinds import DIAGNOSIS
from tests.cli.shop import World, said

NAME = "deployment-web-app"
SPEC = {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "container": "app"}


def test_it_is_muted_for_a_while_and_not_any_more(capsys: pytest.CaptureFixture[str]) -> None:
    world, path = World(), DIAGNOSIS.path("shop", NAME)
    world.put(path, {"metadata": {"name": NAME, "namespace": "shop"}, "spec": {**SPEC, "headroomPercent": 20}})
    assert said(muted, Target(world, "shop"), NAME, "--for", "2h") == 0
    until = view(world.objects[path]).muted_until
    assert until is not None
    assert until - time.time() == pytest.approx(7200, abs=5)
    assert "deployment-web-app: muted until 20" in capsys.readouterr().out
    assert said(muted, Target(world, "shop"), NAME, "--off") == 0
    assert world.objects[path]["spec"] == {**SPEC, "headroomPercent": 20}
    assert "not muted any more" in capsys.readouterr().out


def test_what_is_not_there_cannot_be_muted() -> None:
    with pytest.raises(Refused, match="no diagnosis"):
        said(muted, Target(World(), "shop"), NAME, "--for", "2h")


@pytest.mark.parametrize(("text", "seconds"), [("90m", 5400), ("2h", 7200), ("1d12h", 129600), ("1w", 604800)])
def test_durations(text: str, seconds: int) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["2", "h", "2y", "-2h", "0s", "2h ", "400d", "1.5h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        duration(text)
