"""`memdiag alert test` against a local Slack: what it says of each channel, and that it shows no secret."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from memdiag.alerts import compose
from memdiag.alerts.blocks import render
from memdiag.alerts.slack import Bot
from memdiag.cli.alert import attempts
from memdiag.cli.main import main
from tests.alerts.fake_slack import HOOK, TOKEN, FakeSlack, Fault, check_blocks, slack_server

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with slack_server(spacing=0.0) as running:
        yield running


@pytest.fixture
def run(slack: FakeSlack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def told(*words: str, secret: str = TOKEN, **changes: Any) -> tuple[int, str, str]:
        found = {"method": "bot", "channel": "#alerts", "baseURL": slack.api, "pictures": False, **changes}
        settings, credential = tmp_path / "alerts.json", tmp_path / "credential"
        settings.write_text(json.dumps({"clusterName": "prod-eu", "slack": found}))
        credential.write_text(secret)
        status = main(["alert", "test", "--alerts", str(settings), "--alerts-secret", str(credential), *words])
        out, err = capsys.readouterr()
        assert not [part for part in (TOKEN, HOOK, "verysecret") if part in out + err]
        return status, out, err

    return told


def test_each_channel_that_the_settings_name_gets_one_message(run: Run, slack: FakeSlack) -> None:
    slack.add("leaks")
    slack.add("team-a")
    routes = [{"channel": "#leaks", "causes": ["Leak"]}, {"channel": "alerts"}]
    allowed = [{"namespaces": ["shop"], "channels": ["#team-a"]}]
    status, out, _ = run(routes=routes, allowedChannels=allowed)
    assert status == 0
    assert out.count("ok   ") == len(slack.messages) == 3
    assert {one.channel for one in slack.messages} == {"C0000000001", "C0000000002", "C0000000003"}
    assert all("this is a test" in one.words() and "of cluster" not in one.words() for one in slack.messages)


def test_a_picture_is_tried_as_well(run: Run, slack: FakeSlack) -> None:
    status, out, _ = run("--channel", "alerts", pictures=True)
    assert status == 0
    assert "ok   alerts: the picture is in its thread" in out
    (file,) = slack.files.values()
    assert file["thread"] == slack.messages[0].ts
    slack.scopes.discard("files:write")
    status, out, _ = run(pictures=True)
    assert status == 1
    assert "FAIL #alerts, picture: Slack refuses with missing_scope\n     give the Slack app the scope" in out


def test_what_slack_refuses_has_a_remedy_and_other_channels_are_tried(run: Run, slack: FakeSlack) -> None:
    slack.add("old", archived=True)
    slack.add("closed", member=False)
    status, out, _ = run(routes=[{"channel": f"#{name}"} for name in ("old", "closed", "unknown")])
    assert status == 1
    assert "ok   #alerts" in out
    assert "FAIL #closed: Slack refuses with not_in_channel\n     invite the app" in out
    assert "FAIL #old: Slack refuses with is_archived\n     the channel is archived" in out
    assert "FAIL #unknown: Slack refuses with channel_not_found" in out


def test_a_credential_that_is_refused_ends_it(run: Run, slack: FakeSlack) -> None:
    status, out, _ = run(secret="xoxb-another-verysecret", routes=[{"channel": "#leaks"}])
    assert status == 1
    assert out.count("FAIL") == 1
    assert "invalid_auth" in out
    assert "create a new bot token" in out
    assert "No other channel was tried." in out
    status, out, _ = run(secret="")
    assert (status, out) == (1, "FAIL the Secret: no credential\n     the Secret's key credential is empty\n")


def test_a_webhook_has_one_channel(run: Run, slack: FakeSlack) -> None:
    webhook = partial(run, secret=slack.webhook, method="webhook", channel=None)
    assert webhook()[:2] == (0, "ok   the webhook's channel: the test message is there\n")
    assert len(slack.messages) == 1
    assert webhook("--channel", "x")[0] == 2
    slack.hook = "no_service"
    status, out, _ = webhook()
    assert status == 1
    assert "create a new incoming webhook" in out


def test_a_dry_run_prints_blocks_and_sends_nothing(run: Run, slack: FakeSlack) -> None:
    status, out, err = run("--dry-run", secret="")
    assert status == 0
    check_blocks(json.loads(out)["blocks"])
    assert "It would go to #alerts." in err
    assert not slack.calls


def test_settings_that_cannot_be_used_say_where_to_run_it(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(chanel="x")[0] == 2
    assert main(["alert", "test", "--alerts", "/nowhere/alerts.json"]) == 2
    said = capsys.readouterr().err
    assert "/nowhere/alerts.json: cannot be read" in said
    assert "kubectl -n memdiag exec deployment/memdiag-operator -- memdiag alert test" in said


@pytest.mark.parametrize(
    ("faults", "word"),
    [
        ([Fault.LIMITED] * 2, "ok"),
        ([Fault.LIMITED] * 3, "alerts.slack.proxy"),
        ([Fault.BROKEN], "ok"),
        ([Fault.INTERNAL], "the message may be there"),
    ],
)
def test_a_busy_slack_is_waited_for_within_bounds(slack: FakeSlack, faults: list[Fault], word: str) -> None:
    slack.faults.extend(faults)
    pauses: list[float] = []
    delivery = Bot(slack.token, base_url=slack.api)
    (tried,) = attempts(delivery, ["#alerts"], render(compose.sample(None)), None, pauses.append)
    assert word in str(tried)
    assert len(pauses) <= 2
    assert all(0 < pause <= 30 for pause in pauses)
