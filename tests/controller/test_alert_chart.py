"""The chart in a diagnosis's thread: drawn from what is kept, and no message is lost or late for it."""

from __future__ import annotations

import asyncio
import io
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from memdiag.controller.alertchart import chart_of
from memdiag.controller.alertfacts import View, view
from memdiag.controller.metrics import AlertKind, AlertOutcome, Metrics
from memdiag.kube.api import TransientError
from memdiag.kube.kinds import DIAGNOSIS, INCIDENT
from tests.alerts.fake_slack import slack_server
from tests.controller.alertworld import PICTURE, World, alerting, count, quiet, settings, until
from tests.controller.test_diagnoses import incident_object

ADVICE = {
    "action": "FixLeak",
    "basis": "it leaks",
    "range": {"low": "128Mi", "high": "192Mi"},
    "stopGap": {"limit": "256Mi", "uptimeSeconds": 3600},
}


def with_incidents(*bodies: dict[str, Any], **facts: Any) -> tuple[World, View]:
    """Return a world with a diagnosis and its incidents."""
    world = World()
    world.kill(**facts)
    for number, body in enumerate(bodies):
        body["metadata"]["name"] = f"kill-{number}"
        world.put(INCIDENT.path("shop", f"kill-{number}"), body)
    return world, view(world.get(DIAGNOSIS.path("shop", "deployment-web-app")))


def test_the_picture_is_drawn_from_the_incidents() -> None:
    world, found = with_incidents(incident_object(1), incident_object(2), recommendation=ADVICE)
    drawn = chart_of(world)(found)
    assert drawn is not None
    assert len(drawn) < 60_000
    image = Image.open(io.BytesIO(drawn))
    assert image.size == (1380, 600)
    assert len(image.getcolors() or ()) > 8


def test_without_memory_there_is_no_picture() -> None:
    bare = incident_object(1)
    for key in ("history", "memory"):
        bare["spec"].pop(key, None)
    for bodies in ((), (bare,)):
        world, found = with_incidents(*bodies)
        assert chart_of(world)(found) is None


def fail(_found: View) -> bytes:
    raise OSError("no font")


def away(_found: View) -> bytes:
    raise TransientError("the API server is away")


@pytest.mark.parametrize(
    ("picture", "scopes", "became"),
    [
        (lambda _: PICTURE, {"chat:write"}, "Refused"),
        (lambda _: b"no PNG", {"chat:write", "files:write"}, "Refused"),
        (lambda _: None, {"chat:write", "files:write"}, "None"),
        (fail, {"chat:write", "files:write"}, "None"),
        (away, {"chat:write", "files:write"}, None),
    ],
    ids=["scope is missing", "not taken", "nothing to draw", "drawing fails", "incidents cannot be read"],
)
def test_a_picture_that_fails_loses_no_message(tmp_path: Path, picture: Any, scopes: set[str], became: str) -> None:
    async def scene() -> None:
        with slack_server(spacing=0.0, scopes=scopes) as slack:
            world, metrics = World(), Metrics()
            how = {"picture": picture, "update_pause": 60.0}
            async with alerting(world, slack, tmp_path, settings(slack), metrics, **how) as running:
                world.kill()
                await until(lambda: world.alert().get("picture") == became and world.alert().get("told"))
                await quiet(running)
                world.change(cause="Growth", mechanism=None)
                await until(lambda: len(slack.messages) == 2)
                await quiet(running)
            assert "see the chart" not in slack.messages[0].words()
            assert count(metrics, AlertKind.MESSAGE, AlertOutcome.SENT) == 2
            assert count(metrics, AlertKind.PICTURE, AlertOutcome.REFUSED) == (1 if became == "Refused" else 0)
            status, reason, message = world.alerted()
            assert (status, reason) == ("True", "PictureRefused" if became == "Refused" else "Sent")
            assert ("files:write" in message) == (scopes == {"chat:write"})

    asyncio.run(scene())


def test_a_picture_keeps_no_message_waiting(tmp_path: Path) -> None:
    """Two diagnoses in one channel: the second is told before the picture of the first, which is still being drawn."""

    async def scene() -> None:
        with slack_server(spacing=0.0) as slack:
            world, drawing = World(), threading.Event()

            def slowly(_found: View) -> bytes:
                drawing.wait(8)
                return PICTURE

            async with alerting(world, slack, tmp_path, settings(slack), picture=slowly) as running:
                world.kill("one")
                world.kill("two")
                await until(lambda: len(slack.messages) == 2)
                assert not slack.files
                drawing.set()
                await until(lambda: len(slack.files) == 2)
                await quiet(running)
            assert {file["thread"] for file in slack.files.values()} == {one.ts for one in slack.messages}

    asyncio.run(scene())


def test_an_operator_that_ended_before_the_picture_adds_it_when_it_is_back(tmp_path: Path) -> None:
    async def scene() -> None:
        with slack_server(spacing=0.0) as slack:
            world = World()
            async with alerting(world, slack, tmp_path, settings(slack)) as running:
                world.kill()
                await until(lambda: world.alert().get("told"))
                await quiet(running)
            assert not slack.files
            async with alerting(world, slack, tmp_path, settings(slack), picture=lambda _: PICTURE) as running:
                await until(lambda: world.alert().get("picture") == "Sent")
                await quiet(running)
            (head,) = slack.messages
            (file,) = slack.files.values()
            assert file["thread"] == head.ts
            assert "see the chart in this thread" in head.words()

    asyncio.run(scene())
