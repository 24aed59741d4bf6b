"""What is due, in which channel, how loudly and how often: the pure rules."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from memdiag.alerts import failures
from memdiag.alerts.budget import Budget
from memdiag.alerts.credential import Credential
from memdiag.alerts.failures import (
    AlertError,
    BusyError,
    MissingThreadError,
    RefusedError,
    Scope,
    UncertainError,
    failure,
)
from memdiag.alerts.routing import Allowed, Choice, Route, choose
from memdiag.alerts.settings import Method, SettingsError, load, parse
from memdiag.alerts.slack import Bot, Webhook
from memdiag.alerts.steps import State, counts_more, occasion, severity
from memdiag.alerts.storms import Group, Storms
from memdiag.model.occasion import Occasion, Severity
from memdiag.model.verdict import Cause, Mechanism


def state(cause: Cause = Cause.LEAK, *, loud: bool = False, resolved: bool = False, kills: int = 1) -> State:
    return State(cause, Severity.CRITICAL if loud else Severity.WARNING, resolved, kills)


@pytest.mark.parametrize(
    ("now", "told", "why"),
    [
        (state(), None, Occasion.KILLED),
        (state(kills=0), None, None),
        (state(resolved=True), None, None),
        (state(), state(), None),
        (state(kills=2), state(), None),
        (state(Cause.GROWTH), state(), Occasion.CAUSE_CHANGED),
        (state(loud=True), state(), Occasion.ESCALATED),
        (state(), state(loud=True), None),
        (state(resolved=True), state(), Occasion.RESOLVED),
        (state(Cause.GROWTH, resolved=True), state(), Occasion.RESOLVED),
        (state(), state(resolved=True), None),
        (state(kills=2), state(resolved=True), Occasion.REOPENED),
    ],
)
def test_what_is_due(now: State, told: State | None, why: Occasion | None) -> None:
    assert occasion(now, told) is why


def test_a_count_is_not_a_message() -> None:
    assert counts_more(state(kills=2), state())
    assert not counts_more(state(), state())
    assert not counts_more(state(), None)


@pytest.mark.parametrize(
    ("cause", "mechanism", "kills", "expected"),
    [
        (Cause.LEAK, None, [(0.0, 1)], Severity.WARNING),
        (Cause.LEAK, None, [(float(one), 1) for one in range(5)], Severity.CRITICAL),
        (Cause.LEAK, None, [(one * 1000.0, 1) for one in range(5)], Severity.WARNING),
        (Cause.LEAK, None, [(0.0, 100)], Severity.CRITICAL),
        (Cause.NODE_PRESSURE, Mechanism.NODE_OVERCOMMIT, [(0.0, 1)], Severity.CRITICAL),
        (Cause.NODE_PRESSURE, Mechanism.EVICTION, [(0.0, 1)], Severity.WARNING),
        (Cause.NOT_KERNEL_OOM, None, [(0.0, 9)], Severity.INFO),
    ],
)
def test_how_loudly(cause: Cause, mechanism: Mechanism | None, kills: Any, expected: Severity) -> None:
    assert severity(cause, mechanism, kills) is expected


ROUTES = (Route("#leaks", causes=(Cause.LEAK,), min_severity=Severity.CRITICAL), Route("#team-a", ("team-a-*",)))
ALLOWED = (Allowed(("team-a-*",), ("#team-a-oom", "C0AB")),)


@pytest.mark.parametrize(
    ("namespace", "loud", "wish", "choice"),
    [
        ("shop", Severity.WARNING, None, Choice("#default")),
        ("shop", Severity.CRITICAL, None, Choice("#leaks")),
        ("team-a-web", Severity.WARNING, None, Choice("#team-a")),
        ("team-a-web", Severity.WARNING, "team-a-oom", Choice("#team-a-oom")),
        ("team-a-web", Severity.WARNING, " #Team-A-OOM ", Choice("#team-a-oom")),
        ("team-a-web", Severity.WARNING, "C0AB", Choice("C0AB")),
        ("team-a-web", Severity.WARNING, "#general", Choice("#team-a", "#general")),
        ("shop", Severity.WARNING, "team-a-oom", Choice("#default", "team-a-oom")),
    ],
)
def test_which_channel(namespace: str, loud: Severity, wish: str | None, choice: Choice) -> None:
    found = choose(namespace, Cause.LEAK, loud, default="#default", routes=ROUTES, allowed=ALLOWED, wish=wish)
    assert found == choice


def test_a_budget_counts_each_message_once_for_an_hour() -> None:
    budget = Budget(2)
    budget.note("shop", "web", [100.0], 100.0)
    budget.note("shop", "web", [100.0], 101.0)
    assert budget.free_at("shop", 101.0) is None
    assert budget.is_last("shop", 101.0)
    budget.note("shop", "api", [200.0], 200.0)
    assert budget.free_at("shop", 201.0) == 3700.0
    assert budget.free_at("other", 201.0) is None
    assert budget.free_at("shop", 3701.0) is None


def test_a_clock_that_was_ahead_uses_no_budget_once_it_is_put_right() -> None:
    budget = Budget(2)
    budget.note("shop", "web", [90_000.0, 90_001.0], 90_001.0)
    assert budget.free_at("shop", 90_001.0) == 93_600.0
    assert budget.free_at("shop", 100.0) is None
    budget.note("shop", "web", [90_000.0, 90_001.0, 130.0], 100.0)
    assert budget.is_last("shop", 100.0)


def test_a_storm_is_many_within_a_short_time() -> None:
    storms = Storms(3, 60.0)
    shop, node = Group("#a", namespace="shop"), Group("#a", node="node-a")
    assert not storms.is_storm(shop, 2, 0.0)
    assert not storms.is_storm(Group("#a", namespace="other"), 1, 1.0)
    assert storms.is_storm(shop, 1, 30.0)
    assert storms.summary_until(shop, 31.0) == 90.0
    assert storms.summary_until(shop, 91.0) is None
    assert not storms.is_storm(shop, 1, 200.0)
    assert storms.is_storm(node, 2, 0.0)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (200, "channel_not_found", RefusedError),
        (200, "invalid_blocks", RefusedError),
        (403, "invalid_token", RefusedError),
        (404, "no_service", RefusedError),
        (410, "channel_is_archived", RefusedError),
        (404, "", RefusedError),
        (200, "something_new", RefusedError),
        (429, "", BusyError),
        (200, "ratelimited", BusyError),
        (503, "", BusyError),
        (200, "internal_error", UncertainError),
        (500, "rollup_error", UncertainError),
        (200, "message_not_found", MissingThreadError),
    ],
)
def test_what_an_answer_means(status: int, code: str, kind: type[AlertError]) -> None:
    found = failure(status, code, 7.0)
    assert type(found) is kind
    if isinstance(found, BusyError):
        assert found.after == 7.0


def test_a_code_is_only_ever_a_word() -> None:
    found = failure(200, "<script> xoxb-1 \n" + "x" * 100, None)
    assert isinstance(found, RefusedError)
    assert found.code.startswith("scriptxoxb1x")
    assert found.code.isalnum()
    assert len(found.code) <= 64
    assert found.scope is Scope.MESSAGE


GOOD: dict[str, Any] = {"clusterName": "prod", "slack": {"channel": "#alerts"}}


def test_settings_have_defaults() -> None:
    found = parse(GOOD)
    assert (found.cluster, found.channel, found.method) == ("prod", "#alerts", Method.BOT)
    assert (found.cooldown, found.budget, found.storm_workloads, found.min_severity) == (600.0, 30, 5, Severity.WARNING)
    assert found.base_url == "https://slack.com/api/"


@pytest.mark.parametrize(
    ("slack", "message"),
    [
        ({}, "alerts.slack.channel: with a bot token a channel is needed"),
        ({"method": "mail"}, "alerts.slack.method: mail is none of bot, webhook"),
        ({"method": "webhook", "channel": "#a"}, "a webhook has one channel of its own"),
        ({"channel": "#a", "colour": "red"}, "alerts.slack: unknown key colour"),
        ({"channel": "#a", "routes": [{"namespaces": ["x"]}]}, r"alerts.slack.routes\[0\].channel: is needed"),
        (
            {"channel": "#a", "routes": [{"channel": "b", "causes": ["Bad"]}]},
            r"routes\[0\].causes: Bad is none of Leak",
        ),
        ({"channel": "#a", "allowedChannels": [{"channels": ["#b"]}]}, r"allowedChannels\[0\].namespaces: is needed"),
        ({"channel": "#a", "cooldownMinutes": -1}, "cooldownMinutes: should be a number between 0 and 10080"),
        ({"channel": "#a", "budgetPerHour": "many"}, "budgetPerHour: should be a number"),
        ({"channel": "#a", "pictures": "yes"}, "pictures: should be true or false"),
        ({"channel": "#a", "proxy": "proxy:3128"}, "proxy: should begin with https:// or http://"),
        ({"channel": "#a", "namespaces": {"include": "x"}}, "namespaces.include: should be a list of texts"),
        ({"channel": ["#a"]}, "channel: should be a short text"),
        ({"channel": "#a", "routes": {}}, "routes: should be a list"),
        ([], "alerts.slack: should be an object"),
    ],
)
def test_bad_settings_name_the_key_and_the_remedy(slack: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse({"slack": slack})


def test_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.json: cannot be read"):
        load(tmp_path / "absent.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(SettingsError, match=r"bad\.json: no JSON"):
        load(tmp_path / "bad.json")
    (tmp_path / "wrong.json").write_text('{"slack": {}}')
    with pytest.raises(SettingsError, match=r"wrong\.json: alerts\.slack\.channel"):
        load(tmp_path / "wrong.json")


@pytest.mark.parametrize(
    ("method", "secret", "remedy"),
    [
        (Method.BOT, "", "is empty"),
        (Method.BOT, "https://hooks.slack.com/services/x", "set alerts.slack.method to webhook"),
        (Method.WEBHOOK, "xoxb-1", "is no URL"),
        (Method.BOT, "xoxb-1\nxoxb-2", "more than one word"),
    ],
)
def test_a_secret_that_is_none_says_what_is_wrong(tmp_path: Path, method: Method, secret: str, remedy: str) -> None:
    path = tmp_path / "token"
    path.write_text(secret)
    with pytest.raises(RefusedError, match=remedy) as found:
        Credential(path, method).delivery()
    assert not secret or secret not in str(found.value)
    with pytest.raises(RefusedError, match="cannot be read"):
        Credential(tmp_path / "absent", method).delivery()


def test_a_secret_is_read_anew_and_kept_while_it_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("xoxb-1\n")
    credential = Credential(path, Method.BOT)
    first = credential.delivery()
    assert isinstance(first, Bot)
    assert credential.delivery() is first
    path.write_text("xoxb-2")
    assert credential.delivery() is not first
    path.write_text("https://hooks.slack.com/services/T/B/x")
    assert isinstance(Credential(path, Method.WEBHOOK).delivery(), Webhook)
    assert "xoxb" not in repr(credential)


def test_the_documentation_has_every_refusal_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "docs/slack.md").read_text()
    rows = page.partition("| Slack's word |")[2].partition("\n\n")[0].splitlines()[2:]
    told = {code for row in rows for code in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert told == {*failures._CREDENTIALS, *failures._CHANNELS, *failures._MESSAGES}
