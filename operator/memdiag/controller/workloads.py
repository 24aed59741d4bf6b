"""Workloads of pods, asked once a minute for each owner."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from memdiag.kube.api import Api
from memdiag.kube.pods import Pod
from memdiag.kube.workload import Workload, find_workload

KEPT_SECONDS = 60.0
MOST_KEPT = 2_000


class Workloads:
    """Finds the workload of a pod. May be called from any thread."""

    def __init__(self, api: Api, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._kept: OrderedDict[str, tuple[Workload, float]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, pod: Pod) -> Workload:
        """Return the pod's workload. Blocks; raises ApiError when the API server cannot be asked."""
        owner = pod.api_uid if pod.owner is None else pod.owner.uid
        now = self._clock()
        with self._lock:
            kept = self._kept.get(owner)
        if kept is not None and now - kept[1] <= KEPT_SECONDS:
            return kept[0]
        found = find_workload(pod, self._api)
        with self._lock:
            self._kept[owner] = found, now
            self._kept.move_to_end(owner)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return found
