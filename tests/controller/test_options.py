"""The operator's options, and which namespaces they choose."""

from __future__ import annotations

import argparse

import pytest

from memdiag.controller.namespaces import Namespaces
from memdiag.controller.options import Keep, configure, options_of


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    configure(parser)
    return parser.parse_args(["--namespace", "memdiag", *words])


def test_the_defaults_are_those_of_the_design() -> None:
    found = options_of(parsed())
    assert found.keep == Keep(20, 500, 5000)
    assert (found.second_witness, found.agents, found.quiet_hours) == (True, True, 24)
    assert (found.include_namespaces, found.exclude_namespaces, found.namespace_selector) == ((), (), "")


def test_everything_can_be_said() -> None:
    words = "--no-second-witness --no-agents --include-namespaces a,team-* --exclude-namespaces b --quiet-hours 0.5"
    words += " --namespace-selector env=prod --keep-per-workload 5 --keep-per-namespace 6 --keep-in-cluster 7"
    found = options_of(parsed(*words.split(), "--service-account", "operator"))
    assert (found.second_witness, found.agents, found.quiet_hours, found.keep) == (False, False, 0.5, Keep(5, 6, 7))
    assert (found.include_namespaces, found.exclude_namespaces) == (("a", "team-*"), ("b",))
    assert (found.namespace_selector, found.service_account) == ("env=prod", "operator")


@pytest.mark.parametrize(
    "words",
    [
        ("--keep-per-workload", "201"),
        ("--keep-in-cluster", "0"),
        ("--keep-in-cluster", "many"),
        ("--quiet-hours", "-1"),
        ("--quiet-hours", "x"),
        ("--health-port", "70000"),
    ],
)
def test_nonsense_is_refused(words: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(*words)
    said = capsys.readouterr().err
    assert words[0] in said
    assert f"{words[1]} is no" in said


@pytest.mark.parametrize(
    ("include", "exclude", "chosen"),
    [
        ((), (), True),
        (("team-*",), (), True),
        (("other",), (), False),
        ((), ("team-a",), False),
        (("*",), ("t*",), False),
    ],
)
def test_names_and_patterns(include: tuple[str, ...], exclude: tuple[str, ...], chosen: bool) -> None:
    assert Namespaces(include, exclude).chosen("team-a") is chosen


def test_labels_choose_what_the_watch_shows() -> None:
    found = Namespaces(selector="env=prod")
    assert not found.chosen("team-a")
    for name in ("team-a", "team-b"):
        found.changed({"metadata": {"name": name, "uid": f"uid-{name}"}})
    assert found.chosen("team-a")
    found.listed({"uid-team-a"})
    assert not found.chosen("team-b")
    found.removed({"metadata": {"name": "team-a", "uid": "uid-team-a"}})
    assert not found.chosen("team-a")
