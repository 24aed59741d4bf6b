"""Who works, of several operators of one installation: the holder of a Lease, as Kubernetes' own controllers do it.

It spares work and does not guard it: that one kill is counted once rests on names and resource versions alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from memdiag.kube.api import AlreadyExistsError, Api, ApiError, ConflictError, NotFoundError
from memdiag.model.report import rfc3339

_log = logging.getLogger(__name__)
DURATION = 15.0
"""Seconds after which a Lease that nobody renews is free."""
RENEW = 3.0
_GIVE_UP = 10.0
"""Seconds without renewal after which the holder stops: before anybody else may take the Lease."""


class LeaseLostError(Exception):
    """Somebody else holds the Lease, or it could not be renewed: this operator must end."""


class Lease:
    """One Lease, from one candidate's side. Belongs to the event loop."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        candidate: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        renew: float = RENEW,
        duration: float = DURATION,
    ) -> None:
        self._api = api
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._namespace = namespace
        self._name = name
        self._candidate = candidate
        self._clock = clock
        self._wall = wall
        self._renew = renew
        self._duration = duration
        # its own: in a storm all other threads wait for the API server
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lease")
        self._seen: tuple[str, float] = ("", clock())
        """The resource version that was seen last, and since when: another's clock is not believed."""
        self.held = False
        self._heard = clock()

    async def acquire(self, stop: asyncio.Event) -> None:
        """Wait until this candidate holds the Lease, or is to stop."""
        said = False
        while not stop.is_set():
            try:
                if await self._asked():
                    self.held = True
                    _log.info("holds lease %s", self._name)
                    return
                if not said:
                    said = True
                    _log.info("stands by: another operator holds lease %s", self._name)
            except ApiError as error:
                _log.warning("lease %s not read, trying again: %s", self._name, error)
            try:
                await asyncio.wait_for(stop.wait(), self._renew)
            except TimeoutError:
                continue

    async def keep(self) -> None:
        """Renew the Lease until cancelled. Raises LeaseLostError when it is lost."""
        renewed, most = self._clock(), _GIVE_UP * self._duration / DURATION
        while True:
            await asyncio.sleep(self._renew)
            try:
                if not await asyncio.wait_for(self._asked(), most):
                    raise LeaseLostError(f"another operator took lease {self._name}")
                renewed = self._clock()
            except TimeoutError as error:
                raise LeaseLostError(f"lease {self._name} could not be renewed: no answer") from error
            except ApiError as error:
                _log.warning("lease %s not renewed: %s", self._name, error)
                if self._clock() - renewed > most:
                    raise LeaseLostError(f"lease {self._name} could not be renewed: {error}") from error

    async def _asked(self) -> bool:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._try)

    def age(self) -> float:
        """Return the seconds since the API server last answered."""
        return self._clock() - self._heard

    def release(self) -> None:
        """Give the Lease up, so that a standby need not wait. Blocks; what fails is left to expire."""
        if not self.held:
            return
        self.held = False
        try:
            item = self._api.get(f"{self._path}/{self._name}")
            if item["spec"].get("holderIdentity") == self._candidate:
                self._write(item, holder="")
        except ApiError as error:
            _log.info("lease %s is left to expire: %s", self._name, error)

    def _try(self) -> bool:
        """Take, renew or respect the Lease; say whether it is held. Blocks; raises ApiError."""
        try:
            item = self._api.get(f"{self._path}/{self._name}")
        except NotFoundError:
            return self._create()
        self._heard = self._clock()
        version, holder = str(item["metadata"]["resourceVersion"]), item["spec"].get("holderIdentity")
        if version != self._seen[0]:
            self._seen = version, self._clock()
        if holder and holder != self._candidate and self._clock() - self._seen[1] < self._duration:
            return False
        try:
            self._write(item, self._candidate)
        except ConflictError:
            return False
        return True

    def _create(self) -> bool:
        now = rfc3339(self._wall())
        spec = self._spec(now) | {"acquireTime": now, "leaseTransitions": 0}
        metadata = {"name": self._name, "namespace": self._namespace}
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        try:
            self._api.create(self._path, body)
        except AlreadyExistsError:
            return False
        self._heard = self._clock()
        return True

    def _write(self, item: dict[str, Any], holder: str) -> None:
        now = rfc3339(self._wall())
        spec = {**item["spec"], **self._spec(now), "holderIdentity": holder}
        if holder and item["spec"].get("holderIdentity") != holder:
            spec |= {"acquireTime": now, "leaseTransitions": int(item["spec"].get("leaseTransitions") or 0) + 1}
        made = self._api.replace(f"{self._path}/{self._name}", {**item, "spec": spec})
        self._seen = str(made["metadata"]["resourceVersion"]), self._clock()

    def _spec(self, now: str) -> dict[str, Any]:
        return {
            "holderIdentity": self._candidate,
            "leaseDurationSeconds": max(round(self._duration), 1),
            "renewTime": now,
        }
