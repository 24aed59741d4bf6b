"""`memdiag list`: order by harm, columns, documents, colours."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from memdiag.cli.list import harm, listed, ordered, rows
from memdiag.cli.target import Target
from memdiag.controller.alertfacts import View, view
from memdiag.kube.kinds import DIAGNOSIS
from memdiag.model.report import rfc3339
from memdiag.report.text import Screen
from tests.cli.shop import World, said, stock

NOW = 1_764_000_000.0
DAY = 86400.0


def diagnosed(name: str, *ages: float, **status: Any) -> View:
    recent = [
        {"time": rfc3339(NOW - age), "pod": "p", "kind": "ContainerKilled", "incident": f"i-{age}"} for age in ages
    ]
    kills = {"total": len(ages), "lastTime": recent[0]["time"], "recent": recent} if ages else {}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    return view(
        {
            "metadata": {"namespace": "shop", "name": name, "creationTimestamp": rfc3339(NOW - DAY)},
            "spec": {"targetRef": target, "container": "app"},
            "status": {"kills": kills, **status},
        }
    )


def resolved(name: str, *ages: float) -> View:
    condition = {"type": "Resolved", "status": "True", "reason": "Quiet", "lastTransitionTime": rfc3339(NOW)}
    return diagnosed(name, *ages, conditions=[condition])


def test_the_most_harmful_comes_first() -> None:
    found = [
        diagnosed("never"),
        resolved("resolved", 60.0, 61.0, 62.0),
        diagnosed("long-ago", 5 * DAY, 5 * DAY, 5 * DAY),
        diagnosed("twice", 60.0, 120.0),
        diagnosed("once", 60.0),
    ]
    assert [one.name for one in ordered(found, NOW)] == ["twice", "once", "long-ago", "never", "resolved"]
    assert harm(diagnosed("a", DAY), NOW) == pytest.approx(0.5)


def test_a_summary_counts_as_many_kills_as_it_stands_for() -> None:
    kill = {"time": rfc3339(NOW), "pod": "p", "kind": "Summary", "incident": "i", "count": 40}
    assert harm(diagnosed("a", kills={"total": 40, "recent": [kill]}), NOW) == 40


def test_a_table_is_as_kubectls_and_grey_where_nothing_is_left_to_do() -> None:
    found = [diagnosed("a", 60.0, cause="Leak", confidencePercent=97, recommended="fix leak"), resolved("b", 60.0)]
    plain = rows(found, Screen(), NOW, wide=False, everywhere=True)
    heads = "NAMESPACE NAME WORKLOAD CONTAINER CAUSE CONFIDENCE LIMIT RECOMMENDED KILLS LAST-KILL AGE"
    assert plain[0].split() == heads.split()
    assert plain[1].split() == ["shop", "a", "a", "app", "Leak", "97", "-", "fix", "leak", "1", "60s", "1d"]
    assert plain[0].index("CAUSE") == plain[1].index("Leak")
    painted = rows(found, Screen(colour=True), NOW, wide=False, everywhere=True)
    assert "\x1b[1;31mLeak\x1b[0m" in painted[1]
    assert painted[2].startswith("\x1b[90m")


def test_wide_tells_kind_mechanism_state_and_summary_and_nothing_steers_the_terminal() -> None:
    found = [diagnosed("a", 60.0, summary="evil \x1b[2J", mechanism="HeapLeak"), resolved("b", 60.0)]
    lines = rows(found, Screen(), NOW, wide=True, everywhere=False)
    assert lines[0].split()[-4:] == ["KIND", "MECHANISM", "STATE", "SUMMARY"]
    assert "HeapLeak" in lines[1]
    assert lines[1].endswith("open       evil \\x1b[2J")
    assert "resolved" in lines[2]
    assert all(letter.isprintable() for line in lines for letter in line)


def test_on_a_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    world = World()
    stock(world, "shop")
    assert said(listed, Target(world, "shop")) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["NAME", "deployment-checkout-app", "deployment-sessions-app", "deployment-reports-app"]
    assert said(listed, Target(world, None), "-A") == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["shop", "deployment-checkout-app"]
    assert said(listed, Target(world, "shop"), "-o", "json") == 0
    as_json = json.loads(capsys.readouterr().out)
    assert (as_json["kind"], as_json["apiVersion"]) == ("List", "v1")
    assert [item["metadata"]["name"] for item in as_json["items"]] == names[1:]
    assert said(listed, Target(world, "shop"), "-o", "yaml") == 0
    assert yaml.safe_load(capsys.readouterr().out) == as_json


def test_labels_choose_and_nothing_found_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    world = World()
    stock(world, "shop")
    path = DIAGNOSIS.path("shop", "deployment-reports-app")
    world.patch(path, {"metadata": {"labels": {"team": "a"}}})
    assert said(listed, Target(world, "shop"), "-l", "team=a") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["deployment-reports-app"]
    assert said(listed, Target(world, "shop"), "-l", "team=b") == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "No diagnosis in namespace shop.\n")
