"""Which channel the owners of a workload wish for: an annotation on it, else on its namespace. Kept for a minute."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from urllib.parse import quote

from memdiag.alerts.routing import ANNOTATION
from memdiag.kube.alert import LONGEST_CHANNEL
from memdiag.kube.api import Api, ApiError
from memdiag.kube.memory_diagnosis import TargetReference

KEPT_SECONDS = 60.0
_MOST_KEPT = 512
_PLURALS = {
    ("apps", "Deployment"): "deployments",
    ("apps", "StatefulSet"): "statefulsets",
    ("apps", "DaemonSet"): "daemonsets",
    ("apps", "ReplicaSet"): "replicasets",
    ("batch", "CronJob"): "cronjobs",
    ("batch", "Job"): "jobs",
}
"""Workloads that are asked; of others only the namespace is."""


class Wishes:
    """May be called from any thread; blocks, never raises ApiError: what cannot be read is no wish."""

    def __init__(self, api: Api, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, str | None]] = OrderedDict()
        self._lock = Lock()

    def of(self, namespace: str, target: TargetReference) -> str | None:
        """Return the channel that an annotation names, None when none does."""
        plural = _PLURALS.get((target.api_version.rpartition("/")[0], target.kind))
        if plural is not None:
            # whoever may edit a diagnosis can write any name, which must not become another path
            path = f"/apis/{quote(target.api_version)}/namespaces/{namespace}/{plural}/{quote(target.name, safe='')}"
            found = self._annotation(path)
            if found is not None:
                return found
        return self._annotation(f"/api/v1/namespaces/{namespace}")

    def _annotation(self, path: str) -> str | None:
        now = self._clock()
        with self._lock:
            kept = self._kept.get(path)
            if kept is not None and now < kept[0]:
                return kept[1]
        try:
            found = (self._api.get(path)["metadata"].get("annotations") or {}).get(ANNOTATION)
        except ApiError:
            found = None
        wish = str(found)[:LONGEST_CHANNEL] if found else None
        with self._lock:
            self._kept[path] = now + KEPT_SECONDS, wish
            self._kept.move_to_end(path)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return wish
