"""Alerts from diagnoses in memory to a local Slack: one thread a diagnosis, what is told when, and what is not."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from memdiag.alerts.settings import Method
from memdiag.controller.alertwishes import Wishes
from memdiag.controller.metrics import AlertKind, AlertOutcome, Metrics
from memdiag.kube.memory_diagnosis import TargetReference
from memdiag.model.report import rfc3339
from tests.alerts.fake_slack import Fault, slack_server
from tests.controller.alertworld import PICTURE, World, alerting, count, quiet, settings, until


def test_one_thread_a_diagnosis(tmp_path: Path) -> None:
    async def scene() -> None:
        with slack_server(spacing=0.0) as slack:
            world, metrics = World(), Metrics()
            async with alerting(world, slack, tmp_path, settings(slack), metrics, picture=lambda _: PICTURE) as running:
                world.kill()
                await until(lambda: world.alert().get("picture") == "Sent")
                await quiet(running)
                (head,) = slack.messages
                assert "1 kill," in head.words()
                assert "see the chart in this thread" in head.words()
                (file,) = slack.files.values()
                assert (file["channel"], file["thread"], file["data"]) == (head.channel, head.ts, PICTURE)
                assert world.alerted()[:2] == ("True", "Sent")
                assert (world.alert()["thread"], world.alert()["channelID"]) == (head.ts, "C0000000001")

                world.kill()
                await until(lambda: "2 kills" in head.words())
                assert len(slack.messages) == 1

                world.change(cause="Growth", mechanism="LoadGrowth")
                await until(lambda: len(slack.messages) == 2)
                world.kill(kills=3)
                world.kill()
                world.kill()
                await until(lambda: len(slack.messages) == 3)
                await quiet(running)
                world.resolve()
                await until(lambda: len(slack.messages) == 4)
                await until(lambda: "Resolved: shop/web" in head.words())
                world.resolve(resolved=False)
                world.kill()
                await until(lambda: len(slack.messages) == 5)
                await quiet(running)
            changed, escalated, resolved, again = slack.answers(head.ts)
            assert "Was: Leak" in changed.words()
            assert "Critical: shop/web" in escalated.words()
            assert "limit 96Mi → 144Mi" in resolved.words()
            assert "Killed again" in again.words()
            assert [bool(one.request.get("reply_broadcast")) for one in (changed, escalated, resolved, again)] == [
                False, True, False, True,
            ]  # fmt: skip
            assert count(metrics, AlertKind.MESSAGE, AlertOutcome.SENT) == 5
            assert count(metrics, AlertKind.PICTURE, AlertOutcome.SENT) == 1
            assert "claim" not in world.alert()

    asyncio.run(scene())


def test_a_webhook_gets_one_message_a_change_of_state(tmp_path: Path) -> None:
    async def scene() -> None:
        with slack_server(spacing=0.0) as slack:
            world = World()
            found = settings(slack, Method.WEBHOOK)
            async with alerting(world, slack, tmp_path, found, picture=lambda _: PICTURE) as running:
                world.kill()
                await until(lambda: world.alert().get("told"))
                world.kill()
                world.kill()
                await quiet(running)
                assert len(slack.messages) == 1
                world.change(cause="Growth", mechanism=None)
                await until(lambda: len(slack.messages) == 2)
                world.resolve()
                await until(lambda: len(slack.messages) == 3)
                await quiet(running)
            assert [one.thread for one in slack.messages] == [None] * 3
            assert not slack.files
            assert set(slack.calls) == {"/services/T0001/B0001/verysecret"}
            assert world.alerted() == ("True", "Sent", "Told by the webhook.")

    asyncio.run(scene())


def test_links_are_never_unfurled_and_names_never_linked(tmp_path: Path) -> None:
    async def scene() -> None:
        with slack_server(spacing=0.0) as slack:
            world = World()
            async with alerting(world, slack, tmp_path, settings(slack)):
                world.kill(summary="Look at https://evil.example <!channel> & @here \x1b[31m\u202e")
                await until(lambda: slack.messages)
            (one,) = slack.messages
            assert (one.request["unfurl_links"], one.request["unfurl_media"]) == (False, False)
            assert "&lt;!channel&gt; &amp; @here" in one.text
            assert "<!channel>" not in one.text
            assert not {"\x1b", "\u202e"} & set(one.text + one.words())
            kinds = {block["text"]["type"] for block in one.blocks if "text" in block}
            assert kinds == {"plain_text"}

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("facts", "changes", "reason"),
    [
        ({"before_install": 1}, {}, "NotSent"),
        ({"when": time.time() - 90_000}, {}, "TooOld"),
        ({}, {"namespaces": {"exclude": ["sh*"]}}, "NamespaceExcluded"),
        ({}, {"namespaces": {"include": ["team-*"]}}, "NamespaceExcluded"),
        ({}, {"minSeverity": "Critical"}, "BelowSeverity"),
        ({"spec": {"mutedUntil": "2999-01-01T00:00:00Z"}}, {}, "Muted"),
    ],
)
def test_what_nobody_is_told(tmp_path: Path, facts: dict[str, Any], changes: dict[str, Any], reason: str) -> None:
    async def scene() -> None:
        with slack_server(spacing=0.0) as slack:
            world = World()
            async with alerting(world, slack, tmp_path, settings(slack, **changes)) as running:
                world.kill(**facts)
                await until(lambda: world.alerted()[1] == reason)
                await quiet(running)
            assert not slack.calls
            assert world.alerted()[0] == "False"

    asyncio.run(scene())


def test_after_a_mute_the_next_kill_is_told_and_those_meanwhile_are_not(tmp_path: Path) -> None:
    async def scene() -> None:
        with slack_server(spacing=0.0) as slack:
            world = World()
            async with alerting(world, slack, tmp_path, settings(slack)) as running:
                world.kill(spec={"mutedUntil": rfc3339(time.time() + 1.2)})
                await until(lambda: world.alerted()[1] == "Muted")
                await asyncio.sleep(1.5)
                await quiet(running)
                assert not slack.messages
                assert "No kill since" in world.alerted()[2]
                world.kill()
                await until(lambda: slack.messages)
                assert "2 kills" in slack.messages[0].words()

    asyncio.run(scene())


def test_within_the_cooldown_the_last_state_waits(tmp_path: Path) -> None:
    async def scene() -> None:
        with slack_server(spacing=0.0) as slack:
            world = World()
            async with alerting(world, slack, tmp_path, settings(slack, cooldownMinutes=0.05)) as running:
                world.kill()
                await until(lambda: world.alert().get("told"))
                for cause in ("Growth", "UnderestimatedLimit", "Growth"):
                    world.change(cause=cause, mechanism=None)
                    await quiet(running, 0.1)
                assert len(slack.messages) == 1
                await until(lambda: len(slack.messages) == 2)
                await quiet(running)
            assert "Now Growth" in slack.messages[1].words()
            assert len(slack.messages) == 2

    asyncio.run(scene())


def test_the_budget_of_a_namespace_outlives_a_restart(tmp_path: Path) -> None:
    async def scene() -> None:
        with slack_server(spacing=0.0) as slack:
            world = World()
            found = settings(slack, budgetPerHour=2, storm={"workloads": 100})
            async with alerting(world, slack, tmp_path, found) as running:
                world.kill("one")
                await until(lambda: world.alert("deployment-one-app").get("told"))
                world.kill("two")
                await until(lambda: world.alert("deployment-two-app").get("told"))
                world.kill("other", "elsewhere")
                await quiet(running)
            assert "The last of 2 messages" in slack.messages[1].words()
            async with alerting(world, slack, tmp_path, found) as running:
                world.kill("three")
                await until(lambda: world.alerted("deployment-three-app")[1] == "BudgetSpent")
                await quiet(running)
            assert len(slack.messages) == 3

    asyncio.run(scene())


def test_a_storm_in_a_namespace_is_one_summary(tmp_path: Path) -> None:
    async def scene() -> None:
        with slack_server(spacing=0.0) as slack:
            world, metrics = World(), Metrics()
            async with alerting(world, slack, tmp_path, settings(slack), metrics) as running:
                for number in range(30):
                    world.kill(f"web-{number}")
                await until(lambda: all(world.alert(f"deployment-web-{one}-app").get("told") for one in range(30)))
                world.kill("late")
                await until(lambda: world.alert("deployment-late-app").get("told"))
                await quiet(running)
            (summary,) = slack.messages
            assert "31 containers OOM-killed in namespace shop" in summary.words()
            assert "and 11 more" in summary.words()
            assert world.alert("deployment-late-app")["inSummary"] is True
            assert world.alerted("deployment-web-7-app")[2] == "Told in #alerts in a summary."
            assert count(metrics, AlertKind.SUMMARY, AlertOutcome.SENT) == 2

    asyncio.run(scene())


def test_a_storm_by_webhook_is_a_summary_and_later_one_more(tmp_path: Path) -> None:
    async def scene() -> None:
        with slack_server(spacing=0.0) as slack:
            world = World()
            found = settings(slack, Method.WEBHOOK, storm={"workloads": 3, "seconds": 1})
            async with alerting(world, slack, tmp_path, found) as running:
                for number in range(5):
                    world.kill(f"web-{number}")
                await until(lambda: world.alert("deployment-web-4-app").get("told"))
                for number in range(5, 9):
                    world.kill(f"web-{number}")
                await until(lambda: world.alert("deployment-web-8-app").get("told"))
                await quiet(running)
            assert ["5 containers" in slack.messages[0].words(), "4 containers" in slack.messages[1].words()] == [
                True
            ] * 2
            assert len(slack.messages) == 2

    asyncio.run(scene())


def test_a_node_that_ran_out_of_memory_is_one_matter(tmp_path: Path) -> None:
    from tests.controller.test_diagnoses import incident_object

    async def scene() -> None:
        with slack_server(spacing=0.0) as slack:
            world = World()
            for number, namespace in enumerate(("shop", "jobs")):
                body = incident_object(number + 1)
                body["metadata"].update(name="web-kill", namespace=namespace)
                world.put(f"/apis/memdiag.dev/v1alpha1/namespaces/{namespace}/memoryincidents/web-kill", body)
            async with alerting(world, slack, tmp_path, settings(slack)) as running:
                for namespace in ("shop", "jobs"):
                    world.kill("web", namespace, cause="NodePressure", mechanism="NodeOvercommit")
                await until(lambda: world.alert(namespace="jobs").get("told"))
                await quiet(running)
            (summary,) = slack.messages
            assert "2 containers OOM-killed on node node-a" in summary.words()
            assert "in namespace jobs" in summary.words()

    asyncio.run(scene())


def test_routes_and_wishes_choose_among_allowed_channels(tmp_path: Path) -> None:
    async def scene() -> None:
        with slack_server(spacing=0.0) as slack:
            leaks, team = slack.add("leaks"), slack.add("team-a")
            world = World()
            for name, wish in (("web", "#Team-A"), ("api", "secret-room")):
                path = f"/apis/apps/v1/namespaces/shop/deployments/{name}"
                world.put(path, {"metadata": {"name": name, "annotations": {"memdiag.dev/slack-channel": wish}}})
            space = {"metadata": {"name": "leaky", "annotations": {"memdiag.dev/slack-channel": "team-a"}}}
            world.put("/api/v1/namespaces/leaky", space)
            found = settings(
                slack,
                routes=[{"channel": "#leaks", "causes": ["Leak"], "namespaces": ["leak*"]}],
                allowedChannels=[{"namespaces": ["shop"], "channels": ["#team-a"]}],
            )
            async with alerting(world, slack, tmp_path, found) as running:
                for workload, namespace in (("web", "shop"), ("api", "shop"), ("worker", "leaky")):
                    world.kill(workload, namespace)
                await until(lambda: len(slack.messages) == 3)
                await quiet(running)
            where = {one.channel: one.words() for one in slack.messages}
            assert "shop/web" in where[team.identity]
            assert "shop/api" in where["C0000000001"]
            assert "asks for secret-room" in where["C0000000001"]
            assert "leaky/worker" in where[leaks.identity]
            assert world.alerted("deployment-web-app")[1] == "Sent"
            assert world.alerted("deployment-api-app")[:2] == ("True", "ChannelNotAllowed")
            assert world.alerted("deployment-worker-app", "leaky")[1] == "ChannelNotAllowed"

    asyncio.run(scene())


def test_a_name_that_no_workload_has_is_asked_for_as_a_name() -> None:
    world = World()
    target = TargetReference(api_version="apps/v1", kind="Deployment", name="../../../other/web\n?x")
    assert Wishes(world).of("shop", target) is None
    assert world.calls[0] == ("GET", "/apis/apps/v1/namespaces/shop/deployments/..%2F..%2F..%2Fother%2Fweb%0A%3Fx")


@pytest.mark.parametrize("gone", ["thread_not_found", "cannot_reply_to_message", "restricted_action_thread_locked"])
def test_a_first_message_that_is_deleted_or_locked_is_no_end(tmp_path: Path, gone: str) -> None:
    async def scene() -> None:
        with slack_server(spacing=0.0, gone=gone) as slack:
            world = World()
            async with alerting(world, slack, tmp_path, settings(slack)) as running:
                world.kill()
                await until(lambda: world.alert().get("told"))
                slack.messages.clear()
                world.change(cause="Growth", mechanism=None)
                await until(lambda: slack.messages)
                await quiet(running)
            (one,) = slack.messages
            assert one.thread is None
            assert world.alert()["thread"] == one.ts

    asyncio.run(scene())


def test_a_deleted_summary_is_followed_by_another_one(tmp_path: Path) -> None:
    async def scene() -> None:
        with slack_server(spacing=0.0) as slack:
            world = World()
            async with alerting(world, slack, tmp_path, settings(slack)) as running:
                for number in range(5):
                    world.kill(f"web-{number}")
                await until(lambda: all(world.alert(f"deployment-web-{one}-app").get("told") for one in range(5)))
                slack.messages.clear()
                world.kill("late")
                await until(lambda: world.alert("deployment-late-app").get("told"))
                await quiet(running)
            (summary,) = slack.messages
            assert "1 container OOM-killed in namespace shop" in summary.words()
            assert slack.refused == ["message_not_found"]

    asyncio.run(scene())


def test_kills_while_the_first_message_is_sent_are_counted_in_it(tmp_path: Path) -> None:
    class Dying(World):
        died = False

        def replace(self, path: str, body: Any) -> dict[str, Any]:
            written = super().replace(path, body)
            if "told" in body["status"].get("alert", {}) and not self.died:
                self.died = True
                self.kill(kills=2)
            return written

    async def scene() -> None:
        with slack_server(spacing=0.0) as slack:
            world = Dying()
            async with alerting(world, slack, tmp_path, settings(slack)) as running:
                world.kill()
                await until(lambda: world.alert().get("told", {}).get("kills") == 3)
                await quiet(running)
            (head,) = slack.messages
            assert "3 kills" in head.words()

    asyncio.run(scene())


@pytest.mark.parametrize("fault", [Fault.LIMITED, Fault.BROKEN])
def test_what_slack_cannot_do_now_is_tried_again(tmp_path: Path, fault: Fault) -> None:
    async def scene() -> None:
        with slack_server(spacing=0.0, faults=[fault] * 2) as slack:
            world, metrics = World(), Metrics()
            async with alerting(world, slack, tmp_path, settings(slack), metrics):
                world.kill()
                await until(lambda: world.alert().get("told"))
            assert len(slack.messages) == 1
            assert count(metrics, AlertKind.MESSAGE, AlertOutcome.BUSY) == 2

    asyncio.run(scene())
