"""Diagnoses in memory, a local Slack and the alerts between them, watched as the operator watches."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from memdiag.alerts.credential import Credential
from memdiag.alerts.settings import Method, Settings, parse
from memdiag.controller.alerting import Alerting
from memdiag.controller.events import Events
from memdiag.controller.metrics import AlertKind, AlertOutcome, Metrics
from memdiag.kube.kinds import DIAGNOSIS
from memdiag.model.report import rfc3339
from tests.alerts.fake_slack import FakeSlack
from tests.controller.support import MemoryApi

PICTURE = b"\x89PNG\r\n\x1a\n" + b"\0" * 64


class World(MemoryApi):
    """Objects in memory whose changes are told, as a watch would."""

    def __init__(self) -> None:
        super().__init__()
        self.watch_with: Callable[[dict[str, Any]], None] | None = None

    def put(self, path: str, item: dict[str, Any]) -> None:
        super().put(path, item)
        if self.watch_with is not None and "/memorydiagnoses/" in path:
            self.watch_with(copy.deepcopy(item))

    def diagnosis(self, name: str = "deployment-web-app", namespace: str = "shop") -> dict[str, Any]:
        return self.objects[DIAGNOSIS.path(namespace, name)]

    def alert(self, name: str = "deployment-web-app", namespace: str = "shop") -> dict[str, Any]:
        found: dict[str, Any] = self.diagnosis(name, namespace)["status"].get("alert") or {}
        return found

    def alerted(self, name: str = "deployment-web-app", namespace: str = "shop") -> tuple[str, str, str]:
        conditions = self.diagnosis(name, namespace)["status"]["conditions"]
        found = next(one for one in conditions if one["type"] == "Alerted")
        return found["status"], found["reason"], found["message"]

    def kill(self, workload: str = "web", namespace: str = "shop", **facts: Any) -> None:
        """Write a diagnosis that counts a kill more, as the diagnoser does."""
        path = DIAGNOSIS.path(namespace, f"deployment-{workload}-app")
        before = self.objects.get(path, {})
        status = before.get("status", {})
        spec = {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": workload}, "container": "app"}
        spec.update(facts.pop("spec", before.get("spec", {})))
        now = facts.pop("when", time.time())
        kills = status.get("kills", {"total": 0, "recent": []})
        one = {"time": rfc3339(now), "pod": f"{workload}-1", "kind": "ContainerKilled", "incident": f"{workload}-kill"}
        changed = {
            "cause": "Leak",
            "mechanism": "HeapLeak",
            "confidencePercent": 90,
            "summary": "Memory leaks.",
            "limit": "96Mi",
            "recommendation": {"action": "FixLeak", "basis": "it leaks"},
            **status,
            "kills": {
                **kills,
                "total": kills["total"] + facts.pop("kills", 1),
                "lastTime": rfc3339(now),
                "recent": [one, *kills["recent"]][:10],
                "beforeInstall": facts.pop("before_install", kills.get("beforeInstall", 0)),
            },
            "conditions": status.get("conditions", [condition("Alerted", "False", "NotSent", "No alert was sent.")]),
            **facts,
        }
        metadata = before.get("metadata") or {"name": f"deployment-{workload}-app", "namespace": namespace}
        self.put(path, {"metadata": dict(metadata), "spec": spec, "status": changed})

    def change(self, workload: str = "web", namespace: str = "shop", **facts: Any) -> None:
        """Write the status of a diagnosis anew."""
        path = DIAGNOSIS.path(namespace, f"deployment-{workload}-app")
        item = copy.deepcopy(self.objects[path])
        item["status"].update(facts)
        self.put(path, item)

    def resolve(self, workload: str = "web", namespace: str = "shop", *, resolved: bool = True) -> None:
        """Turn the condition `Resolved`."""
        path = DIAGNOSIS.path(namespace, f"deployment-{workload}-app")
        others = [one for one in self.objects[path]["status"]["conditions"] if one["type"] != "Resolved"]
        word = condition("Resolved", str(resolved), "QuietSinceChange", "No kill for 24 hours: limit 96Mi → 144Mi.")
        self.change(workload, namespace, conditions=[*others, word])


def condition(kind: str, status: str, reason: str, message: str) -> dict[str, Any]:
    return {
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }  # fmt: skip


def settings(slack: FakeSlack, method: Method = Method.BOT, **changes: Any) -> Settings:
    """Return settings for the local Slack, quick enough for tests."""
    found: dict[str, Any] = {"method": method, "baseURL": slack.api, "cooldownMinutes": 0, "channel": "#alerts"}
    if method is Method.WEBHOOK:
        del found["channel"]
    return parse({"clusterName": "prod-eu", "slack": {**found, **changes}})


def credential(slack: FakeSlack, folder: Path, found: Settings) -> Credential:
    """Return the file that the Secret would be mounted as."""
    path = folder / ("token" if found.method is Method.BOT else "webhook-url")
    if not path.exists():
        path.write_text((slack.token if found.method is Method.BOT else slack.webhook) + "\n")
    return Credential(path, found.method, found.base_url)


@asynccontextmanager
async def alerting(
    world: World, slack: FakeSlack, folder: Path, found: Settings, metrics: Metrics | None = None, **how: Any
) -> AsyncIterator[Alerting]:
    """Run the alerts over a world; what is there already is listed first."""
    counted = metrics or Metrics()
    events = Events(world, counted, "operator-1")
    parts: dict[str, Any] = {
        "settle": 0.05,
        "spacing": 0.0,
        "backoff": 0.02,
        "update_pause": 0.0,
        "picture": None,
        **how,
    }
    running = Alerting(
        world, found, credential(slack, folder, found), events=events, metrics=counted, instance="operator-1", **parts
    )
    loop = asyncio.get_running_loop()
    world.watch_with = lambda item: _call(loop, running, item)
    for path, item in list(world.objects.items()):
        if "/memorydiagnoses/" in path:
            running.changed(copy.deepcopy(item))
    tasks = [asyncio.create_task(running.run()), asyncio.create_task(events.run())]
    try:
        yield running
    finally:
        world.watch_with = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _call(loop: asyncio.AbstractEventLoop, running: Alerting, item: dict[str, Any]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(running.changed, item)


async def until(what: Callable[[], object], seconds: float = 20.0) -> None:
    """Return once it is so. Fails with its name when it never is."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        await asyncio.sleep(0.01)


async def quiet(running: Alerting, seconds: float = 0.2) -> None:
    """Return once nothing has been under way for a while."""
    calm = time.monotonic()
    while time.monotonic() < calm + seconds:
        if running.waiting():
            calm = time.monotonic()
        await asyncio.sleep(0.01)


def count(metrics: Metrics, kind: AlertKind, outcome: AlertOutcome) -> int:
    """Return how often something was tried with this outcome."""
    return int(metrics.alerts.labels(kind, outcome)._value.get())
