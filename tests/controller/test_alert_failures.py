"""What a crash, a refusal and a lost answer do to an alert, and that no secret is shown anywhere."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memdiag.alerts.settings import Method
from memdiag.controller.metrics import AlertKind, AlertOutcome, Metrics
from memdiag.kube.api import NotFoundError, TransientError
from memdiag.kube.kinds import DIAGNOSIS
from tests.alerts.fake_slack import HOOK, TOKEN, FakeSlack, Fault, slack_server
from tests.controller.alertworld import World, alerting, count, quiet, settings, until

SECRETS = (TOKEN, HOOK, "verysecret")


class CrashError(BaseException):
    """The operator's end: no handler of its own sees it."""


class Crashing(World):
    """A world in which the operator ends at a chosen write of an alert: before it is done, or right after."""

    def __init__(self, when: Callable[[dict[str, Any], dict[str, Any]], bool], *, written: bool) -> None:
        super().__init__()
        self.when: Callable[[dict[str, Any], dict[str, Any]], bool] | None = when
        self.written = written
        self.crashed = False

    def replace(self, path: str, body: Any) -> dict[str, Any]:
        before = self.objects[path.removesuffix("/status")]["status"].get("alert") or {}
        after = (body.get("status") or {}).get("alert") or {}
        if self.crashed or (self.when is not None and self.when(before, after)):
            if self.written and not self.crashed:
                super().replace(path, body)
            self.crashed = True
            raise CrashError
        return super().replace(path, body)


def claims(before: dict[str, Any], after: dict[str, Any]) -> bool:
    return "claim" not in before and "claim" in after


def confirms(before: dict[str, Any], after: dict[str, Any]) -> bool:
    return "claim" in before and "claim" not in after


async def run_and_crash(world: Crashing, slack: FakeSlack, folder: Path, method: Method) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    async with alerting(world, slack, folder, settings(slack, method)):
        world.kill()
        await until(lambda: world.crashed)
        await asyncio.sleep(0.2)
    world.crashed, world.when = False, None


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize(
    ("crash", "messages", "repeated"),
    [
        ((claims, False), 1, 0),
        ((claims, True), 1, 1),
        ((confirms, False), 2, 1),
        ((confirms, True), 1, 0),
    ],
    ids=["before the claim", "between claim and sending", "between acceptance and writing it down", "after all"],
)
def test_a_crash_loses_no_message_and_repeats_one_at_most(
    tmp_path: Path, method: Method, crash: Any, messages: int, repeated: int
) -> None:
    """`messages` is what people see in the end; `repeated` what is sent on the claim of the operator before."""

    async def scene() -> None:
        with slack_server(spacing=0.0) as slack:
            world, metrics = Crashing(crash[0], written=crash[1]), Metrics()
            await run_and_crash(world, slack, tmp_path, method)
            async with alerting(world, slack, tmp_path, settings(slack, method), metrics) as running:
                await until(lambda: world.alert().get("told"))
                await quiet(running)
            assert len(slack.messages) == messages
            assert count(metrics, AlertKind.MESSAGE, AlertOutcome.REPEATED) == repeated
            assert "claim" not in world.alert()

    asyncio.run(scene())


def test_an_operator_that_always_ends_while_sending_stops_repeating(tmp_path: Path) -> None:
    async def scene() -> None:
        with slack_server(spacing=0.0) as slack:
            world = World()
            world.kill()
            claim = {"occasion": "Killed", "time": "2026-01-01T00:00:00Z", "attempt": 3}
            world.change(alert={"claim": claim})
            async with alerting(world, slack, tmp_path, settings(slack)) as running:
                await until(lambda: world.alert().get("told"))
                await quiet(running)
            assert not slack.messages
            assert world.alerted()[:2] == ("Unknown", "Unconfirmed")

    asyncio.run(scene())


def test_what_is_being_sent_when_the_operator_is_told_to_end_is_written_down(tmp_path: Path) -> None:
    async def scene() -> None:
        with slack_server(spacing=0.0) as slack:
            world = World()
            async with alerting(world, slack, tmp_path, settings(slack)):
                world.kill()
                await until(lambda: slack.messages)
            assert world.alert().get("told")
            async with alerting(world, slack, tmp_path, settings(slack)) as running:
                await quiet(running)
            assert len(slack.messages) == 1

    asyncio.run(scene())


Refused = tuple[str, Method, dict[str, Any], str, str]
REFUSALS: list[Refused] = [
    ("unknown channel", Method.BOT, {"channel": "nowhere"}, "ChannelNotFound", "invite the app"),
    ("not invited", Method.BOT, {"channel": "private"}, "NotInChannel", "invite the app"),
    ("archived", Method.BOT, {"channel": "old"}, "IsArchived", "name another one"),
    ("wrong token", Method.BOT, {"token": "xoxb-other"}, "InvalidAuth", "new bot token"),
    ("app removed", Method.BOT, {"account": "account_inactive"}, "AccountInactive", "install it again"),
    ("no scope", Method.BOT, {"scopes": set()}, "MissingScope", "chat:write"),
    ("revoked hook", Method.WEBHOOK, {"hook": "no_service"}, "NoService", "new incoming webhook"),
    ("forbidden hook", Method.WEBHOOK, {"hook": "invalid_token"}, "InvalidToken", "new incoming webhook"),
    ("hook of an archived channel", Method.WEBHOOK, {"hook": "channel_is_archived"}, "ChannelIsArchived", "archived"),
]


@pytest.mark.parametrize("refused", REFUSALS, ids=[one[0] for one in REFUSALS])
def test_a_refusal_is_a_condition_an_event_and_a_metric(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, refused: Refused
) -> None:
    _, method, facts, reason, remedy = refused
    caplog.set_level(logging.DEBUG)

    async def scene() -> None:
        with slack_server(spacing=0.0) as slack:
            slack.add("private", member=False)
            slack.add("old", archived=True)
            world, metrics = World(), Metrics()
            changes = {name: value for name, value in facts.items() if name == "channel"}
            found = settings(slack, method, **changes)
            async with alerting(world, slack, tmp_path, found, metrics) as running:
                (tmp_path / ("token" if method is Method.BOT else "webhook-url")).touch()
                for name in facts.keys() - {"channel"}:
                    setattr(slack, name, facts[name])
                world.kill()
                world.kill("api")
                await until(lambda: world.alerted()[1] == reason)
                await until(lambda: world.alerted("deployment-api-app")[1] == reason)
                await quiet(running)
                await asyncio.sleep(0.3)
            assert world.alerted()[0] == "False"
            assert remedy in world.alerted()[2]
            events = [one for path, one in world.objects.items() if "/events/" in path]
            assert {one["involvedObject"]["name"] for one in events} == {"deployment-web-app", "deployment-api-app"}
            assert all(remedy in one["message"] and one["type"] == "Warning" for one in events)
            assert count(metrics, AlertKind.MESSAGE, AlertOutcome.REFUSED) in (1, 2)
            assert len([one for one in slack.calls if "chat" in one or "services" in one]) <= 2
            assert "claim" not in world.alert()
            shown = json.dumps(world.objects) + caplog.text + metrics.expose().decode()
            assert not [secret for secret in SECRETS if secret in shown]

    asyncio.run(scene())


def test_a_missing_secret_says_so_and_a_new_one_is_used_without_a_restart(tmp_path: Path) -> None:
    async def scene() -> None:
        with slack_server(spacing=0.0) as slack:
            world = World()
            (tmp_path / "token").write_text("")
            async with alerting(world, slack, tmp_path, settings(slack)) as running:
                world.kill()
                await until(lambda: world.alerted()[1] == "NoCredential")
                assert "the Secret's key token is empty" in world.alerted()[2]
                (tmp_path / "token").write_text(slack.token)
                world.change(alert=None)
                await until(lambda: slack.messages)
                await quiet(running)

    asyncio.run(scene())


@pytest.mark.parametrize("method", Method)
def test_a_lost_answer_is_asked_for_once_more(tmp_path: Path, caplog: pytest.LogCaptureFixture, method: Method) -> None:
    """The message may have been delivered: memdiag sends it once more rather than never."""

    async def scene() -> None:
        with slack_server(spacing=0.0, faults=[Fault.LOST]) as slack:
            slack.released.set()
            world, metrics = World(), Metrics()
            async with alerting(world, slack, tmp_path, settings(slack, method), metrics):
                world.kill()
                await until(lambda: world.alert().get("told"))
            assert len(slack.messages) == 2
            assert count(metrics, AlertKind.MESSAGE, AlertOutcome.UNCERTAIN) == 1

    asyncio.run(scene())
    assert not [secret for secret in SECRETS if secret in caplog.text]


def test_a_lost_answer_twice_waits_and_is_said(tmp_path: Path) -> None:
    async def scene() -> None:
        with slack_server(spacing=0.0, faults=[Fault.INTERNAL] * 2) as slack:
            world = World()
            async with alerting(world, slack, tmp_path, settings(slack)) as running:
                world.kill()
                await until(lambda: world.alerted()[1] == "AnswerLost")
                await quiet(running)
            assert world.alert()["claim"]["attempt"] == 1
            assert world.alerted()[0] == "Unknown"

    asyncio.run(scene())


def test_no_way_to_slack_is_said_and_tried_again(tmp_path: Path) -> None:
    async def scene() -> None:
        with slack_server() as slack:
            found = settings(slack)
        world = World()
        async with alerting(world, slack, tmp_path, found) as running:
            world.kill()
            await until(lambda: world.alerted()[1] == "SlackUnreachable", 40)
            await quiet(running)
        assert "Connection refused" in world.alerted()[2]
        assert "claim" not in world.alert()

    asyncio.run(scene())


def test_what_a_clock_that_was_ahead_wrote_holds_nothing_back(tmp_path: Path) -> None:
    """The operator's node was a day ahead when it told of the first kill, and was put right since."""

    async def scene() -> None:
        with slack_server(spacing=0.0) as slack:
            world = World()
            found = settings(slack, cooldownMinutes=10, budgetPerHour=1)
            async with alerting(world, slack, tmp_path, found, wall=lambda: time.time() + 86_000.0):
                world.kill()
                await until(lambda: world.alert().get("told"))
            async with alerting(world, slack, tmp_path, found) as running:
                world.change(cause="Growth", mechanism=None)
                await until(lambda: len(slack.messages) == 2)
                await quiet(running)
                world.change(cause="Leak", mechanism=None)
                await quiet(running)
            assert len(slack.messages) == 2
            assert len(world.alert()["sent"]) == 1

    asyncio.run(scene())


def test_a_clock_that_is_put_back_ends_a_storm_all_the_same(tmp_path: Path) -> None:
    async def scene() -> None:
        with slack_server(spacing=0.0) as slack:
            world, ahead = World(), [0.0]
            found = settings(slack, Method.WEBHOOK, storm={"workloads": 2, "seconds": 1})
            async with alerting(world, slack, tmp_path, found, wall=lambda: time.time() + ahead[0]):
                for name in ("one", "two"):
                    world.kill(name)
                await until(lambda: world.alert("deployment-two-app").get("told"))
                ahead[0] = -3600.0
                world.kill("three")
                await until(lambda: world.alert("deployment-three-app").get("told"), 5)
            assert "2 containers" in slack.messages[0].words()

    asyncio.run(scene())


def test_an_alert_that_fails_by_itself_is_no_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is not foreseen is logged, and the diagnosis is looked at again instead of being busy for ever."""

    class Odd(World):
        odd = True

        def get(self, path: str, query: object = None) -> dict[str, Any]:
            if self.odd and "/deployments/" in path:
                raise RuntimeError("not foreseen")
            return super().get(path, query)

    async def scene() -> None:
        with slack_server(spacing=0.0) as slack:
            world = Odd()
            found = settings(slack, allowedChannels=[{"namespaces": ["shop"], "channels": ["#alerts"]}])
            async with alerting(world, slack, tmp_path, found) as running:
                world.kill()
                await until(lambda: "not foreseen" in caplog.text)
                assert not running.waiting()
                world.odd = False
                world.kill()
                await until(lambda: world.alert().get("told"))
            assert "2 kills" in slack.messages[0].words()

    asyncio.run(scene())


def test_an_api_server_that_is_away_repeats_nothing(tmp_path: Path) -> None:
    class Away(World):
        failures = 0

        def replace(self, path: str, body: Any) -> dict[str, Any]:
            alert = (body.get("status") or {}).get("alert") or {}
            if "told" in alert and self.failures < 1:
                self.failures += 1
                raise TransientError("the API server is away", 503)
            return super().replace(path, body)

    async def scene() -> None:
        with slack_server(spacing=0.0) as slack:
            world = Away()
            async with alerting(world, slack, tmp_path, settings(slack)):
                world.kill()
                await until(lambda: world.alert().get("told"))
            assert world.failures == 1
            assert len(slack.messages) == 1

    asyncio.run(scene())


def test_a_diagnosis_that_goes_away_meanwhile_is_no_error(tmp_path: Path) -> None:
    class Going(World):
        def replace(self, path: str, body: Any) -> dict[str, Any]:
            if "claim" in ((body.get("status") or {}).get("alert") or {}):
                self.objects.pop(DIAGNOSIS.path("shop", "deployment-web-app"), None)
                raise NotFoundError(path, 404)
            return super().replace(path, body)

    async def scene() -> None:
        with slack_server(spacing=0.0) as slack:
            world = Going()
            async with alerting(world, slack, tmp_path, settings(slack)) as running:
                world.kill()
                await quiet(running)
            assert not slack.messages

    asyncio.run(scene())


def test_a_message_a_second_and_channel(tmp_path: Path) -> None:
    """Four new diagnoses are no storm: each is told, and Slack never has to say that it is too much."""

    async def scene() -> None:
        with slack_server() as slack:
            world, metrics = World(), Metrics()
            async with alerting(world, slack, tmp_path, settings(slack), metrics, spacing=1.05):
                for number in range(4):
                    world.kill(f"web-{number}")
                await until(lambda: all(world.alert(f"deployment-web-{one}-app").get("told") for one in range(4)), 15)
            times = [one.at for one in slack.messages]
            assert len(times) == 4
            assert min(after - before for before, after in itertools.pairwise(times)) >= 1.0
            assert not slack.refused

    asyncio.run(scene())


def test_news_of_a_thread_in_a_closed_channel_go_where_the_values_say_by_now(tmp_path: Path) -> None:
    """Archived, and another one made of the same name: what the condition advises must help old threads too."""

    async def scene() -> None:
        with slack_server(spacing=0.0) as slack:
            world = World()
            async with alerting(world, slack, tmp_path, settings(slack)) as running:
                world.kill()
                await until(lambda: world.alert().get("told"))
                await quiet(running)
                slack.channels[0].archived = True
                slack.channels[0].name = "alerts-old"
                new = slack.add("alerts")
                world.change(cause="Growth", mechanism=None)
                await until(lambda: len(slack.messages) == 2)
                changed = slack.messages[1]
                assert (changed.channel, changed.thread) == (new.identity, None)
                assert "Was: Leak" in changed.words()
                await quiet(running)
                world.resolve()
                await until(lambda: len(slack.messages) == 3)
                await quiet(running)
            resolved = slack.messages[2]
            assert (resolved.channel, resolved.thread) == (new.identity, changed.ts)
            assert world.alerted()[:2] == ("True", "Sent")

    asyncio.run(scene())


def test_a_thread_in_a_closed_channel_that_the_values_still_name_is_a_refusal(tmp_path: Path) -> None:
    async def scene() -> None:
        with slack_server(spacing=0.0) as slack:
            world = World()
            async with alerting(world, slack, tmp_path, settings(slack)) as running:
                world.kill()
                await until(lambda: world.alert().get("told"))
                slack.channels[0].archived = True
                world.change(cause="Growth", mechanism=None)
                await until(lambda: world.alerted()[1] == "IsArchived")
                await quiet(running)
            assert slack.refused == ["is_archived"] * 2
            assert world.alert()["refusal"]["code"] == "is_archived"

    asyncio.run(scene())


def test_between_two_rounds_of_attempts_no_kill_hurries_the_next(tmp_path: Path) -> None:
    """A container that dies each second while Slack's answers are lost must not use the attempts up within seconds."""

    async def scene() -> None:
        with slack_server(spacing=0.0, faults=[Fault.INTERNAL] * 2) as slack:
            world = World()
            async with alerting(world, slack, tmp_path, settings(slack)) as running:
                for _ in range(4):
                    world.kill()
                    await until(lambda: world.alerted()[1] == "AnswerLost")
                    await quiet(running, 0.1)
            assert world.alert()["claim"]["attempt"] == 1
            assert not slack.messages
            async with alerting(world, slack, tmp_path, settings(slack)):
                await until(lambda: world.alert().get("told"))
            assert "4 kills" in slack.messages[0].words()

    asyncio.run(scene())
