"""When memdiag was installed: kills before that are marked, never announced one by one, and summed up once.

The time is the creation of the operator's own service account, which upgrades keep.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from memdiag.controller.events import COMPONENT, REPORTING_CONTROLLER, second
from memdiag.kube.api import Api, PermanentError
from memdiag.model.report import from_rfc3339

_log = logging.getLogger(__name__)
_NAMED = 10
"""Workloads that the summary names."""
_MOST_WORKLOADS = 5_000
_PAUSE = 5.0
"""Seconds without a further old kill after which they are summed up."""


class Installation:
    """Knows the time once it is loaded; without a service account every kill counts as newer."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        service_account: str | None,
        instance: str,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._name = service_account
        self._instance = instance
        self._wall = wall
        self._lock = threading.Lock()
        self._uid = ""
        self._kills: Counter[tuple[str, str]] = Counter()
        self._told = self._counted = 0
        self.time: float | None = None
        """Unix seconds."""

    def load(self) -> None:
        """Read the time. Blocks; raises ApiError when the API server cannot be asked now."""
        if self._name is None:
            return
        path = f"/api/v1/namespaces/{self._namespace}/serviceaccounts/{self._name}"
        try:
            found = self._api.get(path)["metadata"]
        except PermanentError as error:
            _log.warning("the time of the installation is not known, every kill counts as newer: %s", error)
            return
        self._uid = str(found["uid"])
        self.time = from_rfc3339(found["creationTimestamp"])

    def mark(self, incident: dict[str, Any]) -> None:
        """Mark an incident that is about to be written, when its kill is older than the installation."""
        spec = incident["spec"]
        if self.time is not None and from_rfc3339(spec["kill"]["time"]) < self.time:
            spec["foundBeforeInstall"] = True

    def count(self, incident: dict[str, Any]) -> None:
        """Take an incident that was just created into the summary, when it is marked."""
        spec, metadata = incident["spec"], incident["metadata"]
        if not spec.get("foundBeforeInstall"):
            return
        workload = (spec.get("workload") or {}).get("name") or spec["pod"]["name"]
        with self._lock:
            if len(self._kills) < _MOST_WORKLOADS:
                self._kills[(metadata["namespace"], workload)] += 1
            self._counted += 1

    def recall(self, incident: dict[str, Any]) -> None:
        """Take an incident into the summary that an operator before this one summed up."""
        self.count(incident)
        with self._lock:
            self._told = self._counted

    async def run(self, put: Callable[[dict[str, Any]], None], pause: float = _PAUSE) -> None:
        """Sum old kills up each time that no more of them are found, until cancelled."""
        before = self._told
        while True:
            await asyncio.sleep(pause)
            with self._lock:
                now = self._counted
            found = self.summary() if now == before else None
            if found is not None:
                put(found)
            before = now

    def summary(self) -> dict[str, Any] | None:
        """Return the Event that sums up old kills, None when there is nothing to add to it.

        It stands in memdiag's own namespace, since it names workloads of all others.
        """
        with self._lock:
            if self._counted == self._told:
                return None
            self._told = self._counted
            most = self._kills.most_common(_NAMED)
            total, workloads = self._counted, len(self._kills)
        named = ", ".join(f"{namespace}/{name} ({count})" for (namespace, name), count in most)
        others = "" if workloads <= _NAMED else f" and {workloads - _NAMED} more"
        text = (
            f"{total} kills of {workloads} workloads are older than memdiag's installation and were not announced: "
            f"{named}{others}. kubectl get memorydiagnosis -A shows what was found."
        )[:1024]
        _log.info("%s", text)
        now = second(self._wall())
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{self._name}.before-install", "namespace": self._namespace},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "namespace": self._namespace,
                "name": self._name,
                "uid": self._uid,
            },
            "reason": "KillsFoundAtInstall",
            "message": text,
            "type": "Normal",
            "action": "Install",
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": {"component": COMPONENT},
            "reportingComponent": REPORTING_CONTROLLER,
            "reportingInstance": self._instance[:128],
        }
